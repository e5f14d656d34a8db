"""`docs/architecture.md` shows the states and transitions that the code has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

import pytest

from eventing_core.receive.machine._states import (
    DELIVERY_TRANSITIONS,
    LISTENER_TRANSITIONS,
    DeliveryState,
    Input,
    ListenerState,
)
from tests.support.commands import ROOT

_TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
_BOTH = pytest.mark.parametrize(
    ("name", "states", "transitions", "not_drawn"),
    [
        ("listener", ListenerState, LISTENER_TRANSITIONS, {ListenerState.DETACHED, ListenerState.DRAINING}),
        ("delivery", DeliveryState, DELIVERY_TRANSITIONS, {DeliveryState.VOID, DeliveryState.LEFT}),
    ],
)


def section(name: str) -> str:
    begin = _TEXT.index(f"## The states of a {name}")
    return _TEXT[begin : _TEXT.index("\n## ", begin)]


def rows(text: str, cells: int) -> list[list[str]]:
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [row for row in found if len(row) == cells and not set(row[0]) <= {"-"} and row[0] not in {"state", "from"}]


@_BOTH
def test_the_states_are_those_of_the_code(
    name: str, states: type[Enum], transitions: Mapping[tuple[Enum, Enum], frozenset[Input]], not_drawn: set[Enum]
):
    assert [row[0] for row in rows(section(name), 2)] == [state.value for state in states]


@_BOTH
def test_the_transitions_are_those_of_the_code(
    name: str, states: type[Enum], transitions: Mapping[tuple[Enum, Enum], frozenset[Input]], not_drawn: set[Enum]
):
    shown = {
        (states(source), states(target)): {Input(each) for each in inputs.split(", ")}
        for source, target, inputs, _ in rows(section(name), 4)
    }
    assert shown == transitions


@_BOTH
def test_the_drawing_has_the_same_transitions(
    name: str, states: type[Enum], transitions: Mapping[tuple[Enum, Enum], frozenset[Input]], not_drawn: set[Enum]
):
    drawn = {
        (states(one), states(other)) for one, other in re.findall(r"^ +(\w+) --> (\w+)$", section(name), re.MULTILINE)
    }
    assert drawn == {pair for pair in transitions if pair[1] not in not_drawn}
