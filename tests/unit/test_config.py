"""Configuration: sources and their order, two phases, and what bad input gets."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from eventing_core.configure._config import Configuration, load_configuration
from eventing_core.configure._options import Options
from eventing_core.configure._plugins import Plugins
from eventing_core.declare._names import flaw_in_name
from eventing_core.declare._retry import Retry
from eventing_core.errors import ConfigError, ProviderNotFoundError
from tests.unit.plugin_site import PROVIDER, Site

SECRET = "hunter2-very-secret"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no variables of ours."""
    import os

    for name in list(os.environ):
        if name.upper().startswith("EVENTING_"):
            monkeypatch.delenv(name)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Two installed providers, ``alpha`` and ``zulu``, and ``memory`` in core's own way."""
    site = Site(tmp_path / "site", monkeypatch)
    site.add_provider("alpha")
    site.add_provider("zulu", "raise SystemExit('imported')")
    if "memory" not in Plugins().installed_providers():
        site.add("eventing-core", "eventing.providers", {"memory": "eventing_core.memory._plugin"}, {})
    yield site
    site.forget()


def load(path: str | Path | None = None, **overrides: Any) -> Configuration:
    return load_configuration(Plugins(), path, overrides)


def write(text: str, name: str = "eventing.toml") -> None:
    Path(name).write_text(dedent(text))


def refused(path: str | Path | None = None, **overrides: Any) -> str:
    """The text of the ConfigError that this configuration gets; the secret is nowhere in it."""
    with pytest.raises(ConfigError) as caught:
        load(path, **overrides)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown + repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None, "the context keeps the input"
    return str(caught.value)


# -- what is valid ----------------------------------------------------------------------------------------------------


def test_nothing_configured_is_memory_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    configuration = load()
    assert configuration.provider_spec.name == "memory"
    assert configuration.options == Options()
    assert configuration.retry == Retry()
    assert flaw_in_name(configuration.server_name) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "events stay in this process" in record.getMessage()


@pytest.mark.parametrize("how", ["file", "variable", "keyword"])
def test_memory_chosen_on_purpose_is_quiet(
    how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    overrides = {}
    if how == "file":
        write('provider = "memory"')
    elif how == "variable":
        monkeypatch.setenv("EVENTING_PROVIDER", "memory")
    else:
        overrides["provider"] = "memory"
    assert load(**overrides).provider_spec.name == "memory"
    assert not caplog.records


def test_a_file_without_provider_still_warns(caplog: pytest.LogCaptureFixture) -> None:
    write("workers = 2")
    assert load().options.workers == 2
    assert len(caplog.records) == 1


def test_whole_file() -> None:
    write(
        """
        provider = "alpha"
        server_name = "web-1"
        workers = 3
        send_timeout = 1.5
        unrouted = "error"
        strict = true

        [retry]
        max_attempts = 7
        initial = 0.5

        [alpha]
        host = "broker"
        password = "hunter2-very-secret"
        hosts = ["a", "b"]

        [zulu]
        whatever = 1
        """
    )
    configuration = load()
    assert configuration.provider_spec.name == "alpha"
    assert configuration.server_name == "web-1"
    assert configuration.options == Options(workers=3, send_timeout=1.5, unrouted="error", strict=True)
    assert configuration.retry == Retry(max_attempts=7, initial=0.5)
    settings: Any = configuration.provider_config
    assert (settings.host, settings.port, settings.hosts) == ("broker", 5672, ["a", "b"])
    assert settings.password.get_secret_value() == SECRET
    assert SECRET not in repr(configuration)


def test_keywords_over_variables_over_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        """
        provider = "memory"
        workers = 2
        max_in_flight = 3
        strict = true
        [retry]
        max_attempts = 2
        initial = 1.0
        factor = 3.0
        [alpha]
        host = "file"
        port = 1
        hosts = ["file"]
        """
    )
    monkeypatch.setenv("EVENTING_PROVIDER", "alpha")
    monkeypatch.setenv("EVENTING_WORKERS", "4")
    monkeypatch.setenv("EVENTING_MAX_IN_FLIGHT", "5")
    monkeypatch.setenv("EVENTING_RETRY__MAX_ATTEMPTS", "4")
    monkeypatch.setenv("EVENTING_RETRY__INITIAL", "2")
    monkeypatch.setenv("EVENTING_ALPHA__PORT", "2")
    monkeypatch.setenv("EVENTING_ALPHA__PASSWORD", SECRET)
    monkeypatch.setenv("EVENTING_ALPHA__HOSTS", '["variable"]')
    monkeypatch.setenv("EVENTING_ZULU__HOST", "left alone")
    configuration = load(workers=6, retry={"max_attempts": 6}, alpha={"port": 3}, zulu={"left": "alone"})
    assert configuration.options == Options(workers=6, max_in_flight=5, strict=True)
    assert configuration.retry == Retry(max_attempts=6, initial=2, factor=3)
    settings: Any = configuration.provider_config
    assert (settings.host, settings.port, settings.hosts) == ("file", 3, ["variable"])
    assert settings.password.get_secret_value() == SECRET


def test_a_table_as_json_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTING_PROVIDER", "alpha")
    monkeypatch.setenv("EVENTING_ALPHA", '{"host": "json", "port": 7}')
    monkeypatch.setenv("EVENTING_ALPHA__PORT", "8")
    settings: Any = load().provider_config
    assert (settings.host, settings.port) == ("json", 8)


def test_retry_object_as_keyword() -> None:
    retry = Retry(max_attempts=2, fatal=(ValueError,))
    assert load(retry=retry).retry is retry


def test_pyproject_only_without_eventing_toml() -> None:
    write("[tool.eventing]\nworkers = 5\n[tool.other]\nx = 1", "pyproject.toml")
    assert load().options.workers == 5
    write("max_in_flight = 9")
    assert load().options == Options(max_in_flight=9)


def test_pyproject_without_our_table_is_no_configuration() -> None:
    write("[project]\nname = 'x'", "pyproject.toml")
    assert load().options == Options()


def test_explicit_path(tmp_path: Path) -> None:
    write("workers = 1")
    other = tmp_path / "other.toml"
    other.write_text("workers = 9")
    assert load(other).options.workers == 9
    assert load(str(other)).options.workers == 9
    project = tmp_path / "pyproject.toml"
    project.write_text("[tool.eventing]\nworkers = 10")
    assert load(project).options.workers == 10


@pytest.mark.parametrize("host", ["", "a b", "a::b", "topic://x", "ho\x00st", "web-1.example.org", "a,b#c?d*"])
def test_default_server_name_is_a_valid_name(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    name = load().server_name
    assert flaw_in_name(name) is None
    assert name == host or flaw_in_name(host) is not None


# -- what is not ------------------------------------------------------------------------------------------------------


def test_unknown_key_in_file_names_file_key_and_nearest() -> None:
    write("wrokers = 2")
    assert refused() == "eventing.toml: unknown key 'wrokers'; did you mean 'workers'?"


def test_unknown_key_in_pyproject() -> None:
    write("[tool.eventing]\nprovidr = 'alpha'", "pyproject.toml")
    assert refused() == "pyproject.toml [tool.eventing]: unknown key 'providr'; did you mean 'provider'?"


def test_key_without_neighbour_lists_all() -> None:
    write("zzzzzzzz = 2")
    keys = refused().partition("; the keys are: ")[2].removesuffix(".").split(", ")
    assert keys == sorted(keys)
    # And those of whatever else is installed.
    assert {"'alpha'", "'max_in_flight'", "'memory'"} <= set(keys)


def test_keys_are_case_sensitive() -> None:
    write("Workers = 2")
    assert "did you mean 'workers'?" in refused()


def test_unknown_keyword() -> None:
    assert refused(wrokers=2) == "keyword argument: unknown key 'wrokers'; did you mean 'workers'?"


def test_unknown_table_says_that_no_provider_has_the_name() -> None:
    write("[kafka]\nhost = 'x'")
    assert "unknown key 'kafka'" in (text := refused())
    assert "no installed provider is named 'kafka'" in text


def test_unknown_key_in_the_providers_table() -> None:
    write(f"provider = 'alpha'\n[alpha]\npasword = '{SECRET}'")
    assert refused() == "eventing.toml: unknown key 'alpha.pasword'; did you mean 'password'?"


def test_a_setting_of_the_provider_at_the_top() -> None:
    write("provider = 'alpha'\nport = 1")
    assert refused() == "eventing.toml: unknown key 'port'; it belongs to the table 'alpha'"


def test_a_setting_of_the_core_below_a_table() -> None:
    write("provider = 'alpha'\n[alpha]\nworkers = 1")
    assert refused().endswith(
        "unknown key 'alpha.workers'; it belongs to the top level, above the first table: workers"
    )


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("EVENTING_WROKERS", "EVENTING_WORKERS"),
        ("EVENTING_ALPHA_PASSWORD", "EVENTING_ALPHA__PASSWORD"),
        ("EVENTING_RETRY_MAX_ATTEMPTS", "EVENTING_RETRY__MAX_ATTEMPTS"),
        ("eventing_provder", "EVENTING_PROVIDER"),
        ("EVENTING_WORKERS__X", "EVENTING_WORKERS"),
    ],
)
def test_unknown_variable(variable: str, nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, SECRET)
    assert refused(provider="alpha") == f"unknown environment variable {variable}; did you mean {nearest}?"


@pytest.mark.parametrize(
    ("variable", "key", "nearest"),
    [
        ("EVENTING_ALPHA__PASWORD", "alpha.pasword", "password"),
        ("EVENTING_RETRY__MAX_ATEMPTS", "retry.max_atempts", "max_attempts"),
    ],
)
def test_unknown_nested_variable(variable: str, key: str, nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, SECRET)
    assert (
        refused(provider="alpha") == f"environment variable {variable}: unknown key {key!r}; did you mean {nearest!r}?"
    )


def test_variable_of_a_provider_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTING_KAFKA__PASSWORD", SECRET)
    assert "unknown environment variable EVENTING_KAFKA__PASSWORD" in refused()


def test_wrong_types_are_listed_with_their_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    write(f"workers = '{SECRET}'")
    monkeypatch.setenv("EVENTING_SEND_TIMEOUT", SECRET)
    text = refused(unrouted=SECRET)
    assert "3 settings are wrong:" in text
    assert "eventing.toml: workers: Input should be a valid integer" in text
    assert "environment variable EVENTING_SEND_TIMEOUT: send_timeout: Input should be a valid number" in text
    assert "keyword argument: unrouted: Input should be 'warn', 'error' or 'ignore'" in text


def test_wrong_type_in_the_providers_table(monkeypatch: pytest.MonkeyPatch) -> None:
    write("provider = 'alpha'\n[alpha]\nport = 1")
    monkeypatch.setenv("EVENTING_ALPHA__PORT", SECRET)
    text = refused()
    assert text.startswith("environment variable EVENTING_ALPHA__PORT: alpha.port: Input should be a valid integer")


def test_secret_of_a_wrong_type() -> None:
    text = refused(provider="alpha", alpha={"password": [SECRET]})
    assert text.startswith("keyword argument: alpha.password: Input should be a valid string")


def test_table_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    write(f"provider = 'alpha'\nalpha = '{SECRET}'")
    assert refused().startswith("eventing.toml: alpha: this has to be a table: write [alpha] above")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("EVENTING_ALPHA", f"{{'{SECRET}'"), ("EVENTING_ALPHA__HOSTS", SECRET), ("EVENTING_RETRY", SECRET)],
)
def test_broken_json(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    assert refused(provider="alpha").startswith(
        f"{variable}: a table or a list in an environment variable must be JSON: write"
    )


def test_range_of_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[retry]\ninitial = 1")
    monkeypatch.setenv("EVENTING_RETRY__MAX_ATTEMPTS", "0")
    text = refused()
    assert text == (
        "environment variable EVENTING_RETRY__MAX_ATTEMPTS and eventing.toml: retry: max_attempts must be a whole "
        "number, at least 1"
    )


def test_fatal_is_no_setting() -> None:
    write("[retry]\nfatal = ['ValueError']")
    assert "unknown key 'retry.fatal'" in refused()


def test_server_name_out_of_the_rules() -> None:
    write("server_name = 'a::b'")
    assert refused() == "eventing.toml: server_name: this is not a valid name: it contains '::'. Choose another one"


def test_required_setting_of_a_provider(site: Site) -> None:
    site.add_provider("bravo", PROVIDER.replace('host: str = "localhost"', "host: str"))
    assert refused(provider="bravo") == "bravo.host must be set, in the file or as EVENTING_BRAVO__HOST"


def test_provider_with_the_name_of_a_setting(site: Site) -> None:
    site.add_provider("strict")
    assert "has the name of a setting" in refused(provider="strict")


def test_provider_that_is_not_installed() -> None:
    write("provider = 'kafka'\n[kafka]\nhost = 'x'")
    with pytest.raises(ProviderNotFoundError, match="no provider 'kafka' is installed") as caught:
        load()
    assert "pip install" not in str(caught.value)


def test_broken_toml_names_file_and_line() -> None:
    write("workers = 1\npassword = '" + SECRET)
    text = refused()
    assert text.startswith("eventing.toml is not valid TOML")
    assert "line 2" in text


def test_broken_pyproject_names_file_and_line() -> None:
    write("[tool\n", "pyproject.toml")
    assert "pyproject.toml is not valid TOML" in (text := refused())
    assert "line 1" in text


def test_a_byte_order_mark_before_the_file_is_no_part_of_it() -> None:
    for name, text in (("eventing.toml", "workers = 7"), ("pyproject.toml", "[tool.eventing]\nworkers = 7")):
        Path(name).write_bytes(text.encode("utf-8-sig"))
        assert load().options.workers == 7
        Path(name).unlink()


def test_file_that_is_not_utf8() -> None:
    Path("eventing.toml").write_bytes(b"workers = 1\nserver_name = '\xff'\n")
    assert refused() == "eventing.toml is not valid TOML: it isn't UTF-8 (at line 2). Save it as UTF-8."


@pytest.mark.parametrize("text", ["tool = 1", "[tool]\neventing = 1"])
def test_table_in_pyproject_that_is_none(text: str) -> None:
    write(text, "pyproject.toml")
    if text == "tool = 1":
        assert load().options == Options()
    else:
        assert refused() == "pyproject.toml: tool.eventing must be a table"


def test_path_that_does_not_exist() -> None:
    assert "'nowhere.toml' doesn't exist" in refused("nowhere.toml")
    assert "doesn't exist" in refused(Path.cwd())


def test_given_pyproject_without_our_table() -> None:
    write("[project]\nname = 'x'", "pyproject.toml")
    assert refused("pyproject.toml") == "pyproject.toml has no table [tool.eventing]: add it, or name another file"
