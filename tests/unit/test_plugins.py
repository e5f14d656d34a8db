"""Plugins are found by entry point, loaded one by one, and refused with a reason."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from eventing_core.configure._plugins import Plugins, installed_providers
from eventing_core.errors import ProviderLoadError, ProviderNotFoundError
from eventing_core.provider import SPI_VERSION
from tests.unit.plugin_site import PROVIDER, Site

PIPELINES = """
    from eventing_core.declare._pipeline import EnvelopePipeline
    from eventing_core.hookspecs import hookimpl

    class Tracing(EnvelopePipeline):
        pass

    @hookimpl
    def eventing_pipelines():
        return [Tracing()]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(tmp_path / "site", monkeypatch)
    yield site
    site.forget()


def test_listing_imports_nothing(site: Site) -> None:
    modules = [site.add_provider("zulu"), site.add_provider("alpha", "raise SystemExit('imported')")]
    names = [name for name in installed_providers() if name in ("alpha", "zulu")]
    assert names == ["alpha", "zulu"]
    assert not set(modules) & set(sys.modules)


def test_only_the_chosen_provider_is_imported(site: Site) -> None:
    chosen = site.add_provider("alpha")
    other = site.add_provider("zulu")
    spec = Plugins().load_provider("alpha")
    assert spec.name == "alpha"
    assert spec.config().model_dump()["port"] == 5672
    assert chosen in sys.modules
    assert other not in sys.modules


def test_loading_twice_gives_the_same_provider_and_two_can_be_loaded(site: Site) -> None:
    site.add_provider("alpha")
    site.add_provider("zulu")
    plugins = Plugins()
    names = [plugins.load_provider(name).name for name in ("alpha", "zulu", "alpha")]
    assert names == ["alpha", "zulu", "alpha"]


def test_managers_share_no_plugins(site: Site) -> None:
    site.add_provider("alpha", PROVIDER + PIPELINES)
    first, second = Plugins(), Plugins()
    first.load_provider("alpha")
    assert len(first.load_pipelines()) == 1
    assert second.load_pipelines() == []


def test_unknown_name_tells_what_is_installed_and_the_nearest(site: Site) -> None:
    site.add_provider("alpha")
    with pytest.raises(ProviderNotFoundError) as caught:
        Plugins().load_provider("alhpa")
    text = str(caught.value)
    assert re.search(r"Installed: .*\balpha\b", text)
    assert "Did you mean 'alpha'?" in text
    # Whoever likes may publish a package of a name that was mistyped.
    assert "pip install" not in text


@pytest.mark.parametrize("name", ["", "AMQP", "am-qp", "1amqp", "a_b", "amqp\n", "../x"])
def test_a_name_out_of_the_pattern_is_refused_without_a_pip_line(name: str) -> None:
    with pytest.raises(ProviderNotFoundError, match="is not a valid provider name") as caught:
        Plugins().load_provider(name)
    assert "pip install" not in str(caught.value)


def test_failing_import(site: Site) -> None:
    site.add_provider("alpha", "import a_driver_that_is_missing")
    with pytest.raises(ProviderLoadError, match=r"'alpha' of eventing-alpha 1\.0.*a_driver_that_is_missing") as caught:
        Plugins().load_provider("alpha")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_broken_source(site: Site) -> None:
    site.add_provider("alpha", "def (")
    with pytest.raises(ProviderLoadError, match="can't be imported: SyntaxError") as caught:
        Plugins().load_provider("alpha")
    assert isinstance(caught.value.__cause__, SyntaxError)


def test_misspelt_hook(site: Site) -> None:
    site.add_provider("alpha", PROVIDER.replace("eventing_provider", "eventing_provder"))
    plugins = Plugins()
    with pytest.raises(ProviderLoadError, match=r"eventing_provder.*The hooks are: .*eventing_provider") as caught:
        plugins.load_provider("alpha")
    assert caught.value.__cause__ is not None
    # Nothing of it stays behind, to spoil what is loaded next.
    site.add_provider("zulu")
    assert plugins.load_provider("zulu").name == "zulu"


def test_hook_with_unknown_argument(site: Site) -> None:
    site.add_provider("alpha", PROVIDER.replace("eventing_provider()", "eventing_provider(config)"))
    with pytest.raises(ProviderLoadError, match="config"):
        Plugins().load_provider("alpha")


def test_missing_hook(site: Site) -> None:
    site.add_provider("alpha", "x = 1")
    with pytest.raises(ProviderLoadError, match="doesn't implement the hook eventing_provider"):
        Plugins().load_provider("alpha")


def test_hook_without_its_decorator(site: Site) -> None:
    site.add_provider("alpha", PROVIDER.replace("@hookimpl", ""))
    with pytest.raises(ProviderLoadError, match="needs @hookimpl"):
        Plugins().load_provider("alpha")


def test_raising_hook(site: Site) -> None:
    site.add_provider("alpha", PROVIDER.replace("return ProviderSpec", "1 / 0; return ProviderSpec"))
    with pytest.raises(ProviderLoadError, match="eventing_provider raised ZeroDivisionError") as caught:
        Plugins().load_provider("alpha")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("old", "new", "flaw"),
    [
        ("spi_version=1", "spi_version='1'", "the spi_version of its ProviderSpec is '1', and must be a number"),
        ("name={name!r}", "name='other'", "named 'other'"),
        ("config=Config", "config=dict", "not a subclass of ProviderConfig"),
        ("return ProviderSpec(", "return dict(", "returned dict instead of a ProviderSpec"),
    ],
)
def test_unusable_spec(site: Site, old: str, new: str, flaw: str) -> None:
    assert old in PROVIDER
    site.add_provider("alpha", PROVIDER.replace(old, new))
    with pytest.raises(ProviderLoadError, match=flaw):
        Plugins().load_provider("alpha")


#: As a provider asks for the core, in its order of things.
REQUIRES = ('eventing-core[testing]; extra == "test"', "eventing-core-tools>=7", "eventing-core<0.2,>=0.1")


@pytest.mark.parametrize(
    ("written_for", "remedy"),
    [
        (SPI_VERSION + 1, "Install a newer eventing-core or an older eventing-alpha"),
        (SPI_VERSION - 1, "Install a newer eventing-alpha or an older eventing-core"),
    ],
    ids=["newer", "older"],
)
def test_a_plugin_for_another_interface_is_refused(site: Site, written_for: int, remedy: str) -> None:
    site.add_provider("alpha", PROVIDER.replace("spi_version=1", f"spi_version={written_for}"), REQUIRES)
    with pytest.raises(ProviderLoadError) as caught:
        Plugins().load_provider("alpha")
    assert str(caught.value) == (
        "the provider 'alpha' of eventing-alpha 1.0 (throwaway_alpha) can't be used: it was written for version "
        f"{written_for} of the provider interface, and eventing-core {version('eventing-core')} has version "
        f"{SPI_VERSION}. {remedy}; this eventing-alpha requires eventing-core<0.2,>=0.1."
    )


def test_a_plugin_that_asks_for_no_core_is_refused_all_the_same(site: Site) -> None:
    site.add_provider("alpha", PROVIDER.replace("spi_version=1", "spi_version=99"))
    with pytest.raises(ProviderLoadError, match=r"for version 99 .*an older eventing-alpha\.$"):
        Plugins().load_provider("alpha")


def test_a_plugin_says_for_which_interface_it_is(site: Site) -> None:
    """There is no default: that would claim the version that happens to be installed."""
    site.add_provider("alpha", PROVIDER.replace(", spi_version=1", ""))
    with pytest.raises(ProviderLoadError, match=r"'alpha' of eventing-alpha 1\.0 .*missing .*'spi_version'"):
        Plugins().load_provider("alpha")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import Provider,", "import Lease, Provider,"),
        ("factory=make", "factory=make, leases=True"),
    ],
    ids=["import", "hook"],
)
def test_what_the_core_does_not_have_is_laid_to_the_versions(site: Site, old: str, new: str) -> None:
    """A plugin for another interface may fail before it can say so."""
    assert old in PROVIDER
    site.add_provider("alpha", PROVIDER.replace(old, new), REQUIRES)
    with pytest.raises(ProviderLoadError) as caught:
        Plugins().load_provider("alpha")
    hint = f"It requires eventing-core<0.2,>=0.1, but {version('eventing-core')} is installed"
    assert str(caught.value).endswith(hint)


def test_other_failures_are_not_laid_to_the_versions(site: Site) -> None:
    site.add_provider("alpha", "import a_driver_that_is_missing", REQUIRES)
    with pytest.raises(ProviderLoadError) as caught:
        Plugins().load_provider("alpha")
    assert "asks for" not in str(caught.value)


def test_two_distributions_with_one_name(site: Site) -> None:
    site.add_provider("alpha")
    site.add("my-alpha", "eventing.providers", {"alpha": "my_alpha"}, {"my_alpha": "x = 1"})
    with pytest.raises(ProviderLoadError, match=r"offered by eventing-alpha and my-alpha. Uninstall all but one"):
        Plugins().load_provider("alpha")


def test_one_distribution_found_twice_is_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add_provider("alpha")
    monkeypatch.setattr(sys, "path", [sys.path[0], *sys.path])
    assert Plugins().load_provider("alpha").name == "alpha"


def test_pipelines_of_plugins(site: Site) -> None:
    site.add("tracing", "eventing.plugins", {"tracing": "throwaway_tracing"}, {"throwaway_tracing": PIPELINES})
    (pipeline,) = Plugins().load_pipelines()
    assert type(pipeline).__name__ == "Tracing"


def test_plugin_and_provider_may_share_a_name_or_a_module(site: Site) -> None:
    site.add_provider("alpha", PROVIDER + PIPELINES)
    site.add("tracing", "eventing.plugins", {"alpha": "throwaway_tracing"}, {"throwaway_tracing": PIPELINES})
    site.add("again", "eventing.plugins", {"again": "throwaway_alpha"}, {})
    plugins = Plugins()
    plugins.load_provider("alpha")
    modules = sorted(type(pipeline).__module__ for pipeline in plugins.load_pipelines())
    assert modules == ["throwaway_alpha", "throwaway_tracing"]


@pytest.mark.parametrize("result", ["[Tracing]", "Tracing()", "None.x"])
def test_plugin_with_wrong_pipelines(site: Site, result: str) -> None:
    source = PIPELINES.replace("[Tracing()]", result)
    site.add("tracing", "eventing.plugins", {"tracing": "throwaway_tracing"}, {"throwaway_tracing": source})
    with pytest.raises(ProviderLoadError, match=r"tracing.*eventing_pipelines"):
        Plugins().load_pipelines()


def test_two_plugins_with_one_name(site: Site) -> None:
    for distribution in ("one", "two"):
        site.add(distribution, "eventing.plugins", {"tracing": distribution}, {distribution: PIPELINES})
    with pytest.raises(ProviderLoadError, match="offered by one and two"):
        Plugins().load_pipelines()


def test_importing_the_package_loads_no_settings_and_no_container_library() -> None:
    heavy = {"pydantic_settings", "injector", "dishka", "svcs"}
    code = f"import sys, eventing_core; print(*sorted({heavy!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
