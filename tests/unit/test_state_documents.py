"""`docs/architecture.md` shows the states and transitions that the code has."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import pytest

from eventing_core.manager._states import MANAGER_TRANSITIONS, ManagerState
from eventing_core.provider.sockets._quarantine import STANDING_TRANSITIONS, Standing
from eventing_core.provider.sockets._states import (
    ATTEMPT_TRANSITIONS,
    CONNECTION_TRANSITIONS,
    AttemptState,
    ConnectionState,
)
from tests.support.documented import section, states_shown, transitions_drawn, transitions_shown, values

Transitions = Mapping[tuple[Enum, Enum], frozenset[Enum]]

#: With the inputs that the drawing leaves out, and a sentence tells of.
EACH = pytest.mark.parametrize(
    ("name", "states", "transitions", "not_drawn"),
    [
        ("manager", ManagerState, MANAGER_TRANSITIONS, {"forked"}),
        ("connection", ConnectionState, CONNECTION_TRANSITIONS, {"crashed", "forked"}),
        ("quarantine", Standing, STANDING_TRANSITIONS, set[str]()),
        ("connect attempt", AttemptState, ATTEMPT_TRANSITIONS, {"cancelled"}),
    ],
)


@EACH
def test_the_states_are_those_of_the_code(name: str, states: type[Enum], transitions: Transitions, not_drawn: set[str]):
    assert states_shown(section(name)) == [state.value for state in states]


@EACH
def test_the_transitions_are_those_of_the_code(
    name: str, states: type[Enum], transitions: Transitions, not_drawn: set[str]
):
    assert transitions_shown(section(name)) == values(transitions)


@EACH
def test_the_drawing_has_the_same_transitions(
    name: str, states: type[Enum], transitions: Transitions, not_drawn: set[str]
):
    shown = {pair for pair, inputs in values(transitions).items() if pair[0] != pair[1] and inputs - not_drawn}
    assert transitions_drawn(section(name)) == shown
