"""The states of a manager, by random lives; what carries them out is tested in `test_manager`."""

from __future__ import annotations

import random

import pytest

from eventing_core import EventManager
from eventing_core.manager._states import ENDING, TAKEN, ManagerInput, ManagerState, manager_after
from eventing_core.memory import MemoryProvider
from eventing_core.provider import Observer
from tests.support.lives import possible


@pytest.mark.parametrize("seed", range(10))
def test_a_random_life_keeps_its_promises(seed: int):
    chance = random.Random(seed)  # noqa: S311 (no secret)
    for _ in range(200):
        state, starts, drains = ManagerState.NEW, 0, 0
        for _ in range(40):
            before = state
            happened = chance.choice(possible(state, ManagerInput, manager_after))
            state = manager_after(state, happened)
            if happened is ManagerInput.FORKED:
                assert state is ManagerState.NEW
                starts = drains = 0
                continue
            # It is started once, and one thread alone closes it.
            starts += happened is ManagerInput.START
            drains += happened is ManagerInput.DRAIN
            assert starts <= 1
            assert drains <= 1
            assert before not in ENDING or state in ENDING
            assert before not in TAKEN or state in TAKEN
            # Asked to stop it ends, whatever it does; and it is never closed before a thread was at it.
            assert happened is not ManagerInput.STOP or state in ENDING
            assert state is not ManagerState.STOPPED or before in TAKEN or before is ManagerState.NEW


@pytest.mark.parametrize("state", ManagerState)
def test_a_stop_leads_to_the_end(state: ManagerState):
    stopping = manager_after(state, ManagerInput.STOP)
    if stopping is ManagerState.STOPPING:
        stopping = manager_after(stopping, ManagerInput.DRAIN)
    assert manager_after(stopping, ManagerInput.CLOSED) is ManagerState.STOPPED


def test_its_health_shows_the_states_of_a_life():
    seen: list[str] = []

    class Looking(MemoryProvider):
        def open(self, observer: Observer) -> None:
            seen.append(manager.health().state)
            super().open(observer)

        def close(self, timeout: float) -> None:
            seen.append(manager.health().state)
            super().close(timeout)

    manager = EventManager(Looking("here"), listeners=[], pipelines=[])
    seen.append(manager.health().state)
    manager.start()
    seen.append(manager.health().state)
    manager.stop()
    seen.append(manager.health().state)
    assert seen == ["not started", "starting", "started", "draining", "stopped"]
