"""Every state with every input: a transition, or an error that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import pytest

from eventing_core.manager._states import MANAGER_TRANSITIONS, ManagerInput, ManagerState, manager_after
from eventing_core.provider._transitions import TransitionError
from eventing_core.provider.sockets._states import (
    ATTEMPT_TRANSITIONS,
    CONNECTION_TRANSITIONS,
    AttemptInput,
    AttemptState,
    ConnectionInput,
    ConnectionState,
    attempt_after,
    connection_after,
)

TABLES: list[Any] = [
    pytest.param(CONNECTION_TRANSITIONS, ConnectionState, ConnectionInput, connection_after, id="connection"),
    pytest.param(ATTEMPT_TRANSITIONS, AttemptState, AttemptInput, attempt_after, id="attempt"),
    pytest.param(MANAGER_TRANSITIONS, ManagerState, ManagerInput, manager_after, id="manager"),
]
EACH = pytest.mark.parametrize(("table", "states", "inputs", "after"), TABLES)

Table = Mapping[tuple[Enum, Enum], frozenset[Enum]]


@EACH
def test_each_input_in_each_state_leads_to_one_state_or_is_an_error(
    table: Table, states: type[Enum], inputs: type[Enum], after: Callable[[Enum, Enum], Enum]
):
    defined = 0
    for state in states:
        for happened in inputs:
            targets = [target for (source, target), on in table.items() if source is state and happened in on]
            assert len(targets) <= 1, (state, happened)
            if targets:
                defined += 1
                assert after(state, happened) is targets[0]
            else:
                with pytest.raises(TransitionError, match=rf"{state.value} does not accept '{happened.value}'"):
                    after(state, happened)
    assert defined == sum(map(len, table.values()))


@EACH
def test_each_state_can_be_reached_and_each_input_means_something(
    table: Table, states: type[Enum], inputs: type[Enum], after: Callable[[Enum, Enum], Enum]
):
    assert {state for pair in table for state in pair} == set(states)
    assert {happened for on in table.values() for happened in on} == set(inputs)
    reached = {next(iter(states))}
    while new := {target for source, target in table if source in reached} - reached:
        reached |= new
    assert reached == set(states)
