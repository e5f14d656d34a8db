"""Reading the states and transitions that `docs/architecture.md` shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from tests.support.commands import ROOT


def section(name: str) -> str:
    """What the page says of ``## The states of a {name}``, or ``of the {name}``."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8") + "\n## "
    found = re.search(rf"^## The states of (?:a|an|the) {name}$", text, re.MULTILINE)
    assert found is not None, f"docs/architecture.md: no section on the states of {name}"
    return text[found.end() : text.index("\n## ", found.end())]


def rows(text: str, cells: int) -> list[list[str]]:
    """The rows of the tables with so many columns."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [row for row in found if len(row) == cells and not set(row[0]) <= {"-"} and row[0] not in {"state", "from"}]


def states_shown(text: str) -> list[str]:
    """The states of the table that explains them."""
    return [row[0] for row in rows(text, 2)]


def transitions_shown(text: str) -> Mapping[tuple[str, str], frozenset[str]]:
    """From, to, and the inputs, of the table of transitions."""
    return {(source, target): frozenset(inputs.split(", ")) for source, target, inputs, _ in rows(text, 4)}


def transitions_drawn(text: str) -> set[tuple[str, str]]:
    """From and to, of the drawing, where spaces are written as underscores."""
    found = re.findall(r"^ +(\w+) --> (\w+)$", text, re.MULTILINE)
    return {(source.replace("_", " "), target.replace("_", " ")) for source, target in found}


def values(transitions: Mapping[tuple[Enum, Enum], frozenset[Enum]]) -> Mapping[tuple[str, str], frozenset[str]]:
    """The code's table, by the names that the page uses."""
    return {
        (source.value, target.value): frozenset(each.value for each in inputs)
        for (source, target), inputs in transitions.items()
    }
