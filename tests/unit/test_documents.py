"""What README and docs say about settings, files and pages is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from eventing_amqp._config import AmqpConfig
from eventing_core import EventManager, HealthOptions, Options
from eventing_core.configure._config import load_configuration
from eventing_core.configure._plugins import Plugins
from eventing_core.memory import MemoryConfig
from eventing_stomp import StompConfig
from tests.support.commands import ROOT

CONFIGURE = ROOT / "docs" / "how-to" / "configure.md"
DOCUMENTS = [ROOT / "README.md", CONFIGURE, ROOT / "packages" / "eventing-amqp" / "README.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.parent.name)
def test_example_files_are_valid(document: Path, tmp_path: Path):
    examples = re.findall(r"^```toml\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    files = [example for example in examples if re.search(r"^provider = ", example, re.MULTILINE)]
    assert files
    for text in files:
        file = tmp_path / "eventing.toml"
        file.write_text(text, encoding="utf-8")
        assert load_configuration(Plugins(), file).provider_spec.name == "amqp"


def documented(heading: str) -> dict[str, str]:
    """Keys and defaults of the table that follows a line that begins so."""
    text = CONFIGURE.read_text(encoding="utf-8")
    table = text[text.index(f"\n{heading}") :].split("|---", 1)[1].split("\n\n", 1)[0]
    found: dict[str, str] = {}
    for row in table.splitlines()[1:]:
        keys, defaults = row.split("|")[1:3]
        names = re.findall(r"`(\w+)`", keys)
        values = [value.strip(' `"') for value in defaults.split(",")]
        found.update(zip(names, values if len(values) == len(names) else values * len(names), strict=True))
    return found


def shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def test_the_keys_and_defaults_of_the_core():
    table = documented("## Keys")
    own = {"provider", "server_name", "listeners"}
    assert table.keys() == (own | Options.model_fields.keys()) - {"health"}
    assert {key: value for key, value in table.items() if key not in own} == {
        key: shown(field.default) for key, field in Options.model_fields.items() if key != "health"
    }


def test_the_keys_and_defaults_of_the_health_table():
    table = documented("`[health]`")
    assert table.pop("port") == "none"
    assert table == {key: shown(field.default) for key, field in HealthOptions.model_fields.items() if key != "port"}


def test_the_keys_and_defaults_of_the_retry_table():
    manager = EventManager.from_config(provider="memory")
    table = documented("`[retry]`")
    assert table == {key: shown(getattr(manager._retry, key)) for key in table}
    assert table.keys() == {"max_attempts", "initial", "factor", "max_delay", "jitter", "pause_after"}


def test_the_keys_and_defaults_of_the_memory_table():
    assert documented("`[memory]`") == {key: shown(field.default) for key, field in MemoryConfig.model_fields.items()}


def test_the_keys_and_defaults_of_the_amqp_table():
    table = documented("`[amqp]`")
    assert table.keys() == AmqpConfig.model_fields.keys()
    in_words = {"user", "password", "password_file", "failover", "ca_file", "cert_file", "key_file"}
    assert {key: value for key, value in table.items() if key not in in_words} == {
        key: shown(field.default) for key, field in AmqpConfig.model_fields.items() if key not in in_words
    }


def test_the_keys_and_defaults_of_the_stomp_table():
    own = documented("`[stomp]`")
    fields = StompConfig.model_fields
    assert own.keys() == fields.keys() - AmqpConfig.model_fields.keys()
    assert own == {key: shown(fields[key].default) for key in own}
    others = {key for key in AmqpConfig.model_fields if key != "port"}
    assert all(fields[key].default == AmqpConfig.model_fields[key].default for key in others)
    assert fields["port"].default == 61613


PAGES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/*.md"), *ROOT.glob("examples/*/*.md")]


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path):
    links = re.findall(
        r"\]\((?!https?://)([^)# ]*)(?:#([^) ]+))?(?: \"[^\"]*\")?\)", document.read_text(encoding="utf-8")
    )
    assert not [link for link, _ in links if not (document.parent / link).exists()]
    headings = [(link, anchor) for link, anchor in links if anchor]
    assert not [
        f"{link}#{anchor}"
        for link, anchor in headings
        if anchor not in anchors(document if not link else document.parent / link)
    ]


def anchors(document: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_the_start_page_leads_to_every_page():
    folder = ROOT / "docs"
    linked = set(re.findall(r"\]\(([^)#]+)", (folder / "index.md").read_text(encoding="utf-8")))
    pages = {path.relative_to(folder).as_posix() for path in folder.glob("**/*.md") if path.name[0].isalpha()}
    assert pages - {"index.md"} <= linked


def test_every_decision_is_listed():
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(path.name for path in folder.glob("0*.md"))


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200


def test_the_tests_that_are_named_are_there():
    text = (ROOT / "docs" / "explanation" / "lessons.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/.]+)::(\w+)`", text)
    assert len(named) > 20
    kit = ROOT / "packages" / "eventing-core" / "src" / "eventing_core" / "testing"
    for place, name in named:
        files = sorted(kit.glob("*.py")) if place == "kit" else [ROOT / place]
        assert any(re.search(rf"(def|class) {name}\b", file.read_text(encoding="utf-8")) for file in files), name


def said() -> list[str]:
    """What the packages say: all their texts, with ``{}`` for a value; of what is joined, the parts."""
    found: list[str] = []
    for path in ROOT.glob("packages/*/src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_each_message_of_the_troubleshooting_page_is_one_that_the_code_has():
    text = (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([^`]+)` \|", text.partition("## By message")[2], re.MULTILINE)
    assert len(quoted) > 35
    texts = said()
    for message in quoted:
        words = [re.escape(part.strip()) for part in message.split("...") if part.strip(" :")]
        pattern = re.compile(".*?".join(words), re.DOTALL)
        assert any(pattern.search(one) for one in texts), message
