"""All that may happen to a machine in small worlds, and much of it in wide ones, against the invariants."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum

import pytest

from eventing_core.receive.machine._states import DELIVERY_TRANSITIONS, LISTENER_TRANSITIONS, Input
from tests.machine.exploring import explore, walk
from tests.machine.scopes import SCOPES, STATES, wide, wide_pair
from tests.machine.world import Seen

#: Walks at random, and with two queues, in so many parts.
_WALKS, _PAIRS, _PARTS = 3000, 1500, 4


@pytest.fixture(scope="module")
def seen() -> Seen:
    return Seen()


@pytest.mark.parametrize("name", SCOPES)
def test_every_sequence_keeps_the_invariants_and_comes_to_an_end(name: str, seen: Seen):
    scope, depth = SCOPES[name]
    explored = explore(scope, depth, seen)
    assert (explored.depth, explored.states) == (depth, STATES[name])


@pytest.mark.parametrize("part", range(_PARTS))
def test_long_sequences_at_random_keep_them_too(part: int, seen: Seen):
    for seed in range(part, _WALKS, _PARTS):
        walk(wide, seed, 150, seen)
        if seed < _PAIRS:
            walk(wide_pair, seed, 200, seen)


def test_the_transitions_of_the_listener_are_those_of_the_table(seen: Seen):
    assert _by_pair(seen.listener) == LISTENER_TRANSITIONS


def test_the_transitions_of_deliveries_are_those_of_the_table(seen: Seen):
    assert _by_pair(seen.delivery) == DELIVERY_TRANSITIONS


def _by_pair(found: Collection[tuple[Enum, Enum, Input]]) -> Mapping[tuple[Enum, Enum], frozenset[Input]]:
    pairs = {(source, target) for source, target, _ in found}
    return {pair: frozenset(told for source, target, told in found if (source, target) == pair) for pair in pairs}
