"""What health tells, and time limits of listeners."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventing_core import (
    DeclarationError,
    EventListener,
    EventManager,
    HandlerTimeoutError,
    Retry,
    SendTimeoutError,
    event_listener,
)
from eventing_core.memory import MemoryBroker
from eventing_core.provider import Health
from eventing_core.receive._queues import dead_letters_of
from eventing_core.runtime._health import ListenerHealth, ManagerHealth, SendingHealth, StuckRun
from eventing_core.testing import Log
from eventing_core.testing._kit import Kit, Sample
from tests.support.waiting import until

ONCE = Retry(max_attempts=1, pause_after=0)


@pytest.fixture
def kit() -> Iterator[Kit]:
    broker = MemoryBroker.shared("time limits")
    kit = Kit({"provider": "memory", "memory": {"broker": broker.name}})
    yield kit
    kit.close()


# -- time limits ------------------------------------------------------------------------------------------------------


def test_an_async_listener_that_takes_too_long_is_cancelled_and_has_failed(kit: Kit):
    kind = kit.event()
    cleaned = threading.Event()

    async def on(_: Sample) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    listener = kit.listener(kind, on, asynchronous=True, timeout=0.05, retry=ONCE)
    manager = kit.manager(listener)
    manager.send_event(kind(1))
    dead = dead_letters_of(kit.queue(listener=listener))
    assert cleaned.wait(10)
    until(lambda: not manager.health().listeners[0].running, "the attempt ends")
    manager.stop()
    (letter,) = kit.read(dead)
    assert letter.headers["eventing-error-type"] == f"{HandlerTimeoutError.__module__}.HandlerTimeoutError"
    assert "0.05 s" in letter.headers["eventing-error-message"]


def test_a_timeout_of_the_listeners_own_stays_what_it_is(kit: Kit):
    kind = kit.event()

    async def on(_: Sample) -> None:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    listener = kit.listener(kind, on, asynchronous=True, timeout=60, retry=ONCE)
    manager = kit.manager(listener)
    manager.send_event(kind(1))
    until(lambda: not manager.health().listeners[0].running, "the attempt ends")
    manager.stop()
    (letter,) = kit.read(dead_letters_of(kit.queue(listener=listener)))
    assert letter.headers["eventing-error-type"] == "TimeoutError"


def test_a_listener_within_its_time_is_left_alone(kit: Kit):
    kind, handled = kit.event(), Log[int]()

    async def on(event: Sample) -> None:
        await asyncio.sleep(0)
        handled.add(event.number)

    manager = kit.manager(kit.listener(kind, on, asynchronous=True, timeout=60))
    manager.send_event(kind(1))
    assert handled.wait(1, "it is handled") == [1]


@pytest.mark.parametrize("timeout", [0, -1, "1", True, float("nan"), float("inf")])
def test_a_time_limit_that_is_none_is_refused(timeout: Any):
    @event_listener(Kit({"provider": "memory"}).event(), timeout=timeout)
    class Slow(EventListener[Any]):
        def on(self, event: Any) -> None: ...

    with pytest.raises(DeclarationError, match="Slow: timeout must be a number of seconds"):
        EventManager.from_config(provider="memory", listeners=[Slow], pipelines=[]).start()


def test_a_body_that_is_too_large_is_dead_lettered(kit: Kit):
    kind, handled = kit.event(), Log[str]()
    listener = kit.listener(kind, lambda event: handled.add(event.text))
    manager = kit.manager(listener, max_body_bytes=100)
    manager.send_event(kind(1, "x" * 100))
    manager.send_event(kind(2, "fits"))
    assert handled.wait(1, "what is small enough is handled") == ["fits"]
    dead = dead_letters_of(kit.queue(listener=listener))
    manager.stop()
    (letter,) = kit.read(dead)
    assert letter.headers["eventing-reason"] == "undecodable"
    assert "max_body_bytes" in letter.headers["eventing-error-message"]


# -- what is stuck ----------------------------------------------------------------------------------------------------


def where_it_hangs(go_on: threading.Event) -> None:
    go_on.wait(30)


@pytest.mark.parametrize("own", [True, False])
def test_a_stuck_worker_is_told_with_its_stack(kit: Kit, own: bool):
    kind, go_on = kit.event(), kit.blocker()
    settings: dict[str, Any] = {"timeout": 0.05} if own else {}
    listener = kit.listener(kind, lambda _: where_it_hangs(go_on), **settings)
    manager = kit.manager(listener, workers=1, stuck_after=3600 if own else 0.05)
    assert manager.health().alive
    manager.send_event(kind(1))
    until(lambda: bool(manager.health().listeners[0].stuck), "health tells that it is stuck")
    health = manager.health()
    (stuck,) = health.listeners[0].stuck
    assert "where_it_hangs" in stuck.stack
    assert stuck.seconds >= 0.05
    assert "worker" in stuck.thread
    assert (health.alive, health.ready) == (False, False)
    go_on.set()
    until(lambda: manager.health().alive, "it is alive again")
    assert not manager.health().degraded


def test_a_listener_whose_runs_are_all_stuck_consumes_nothing(kit: Kit):
    kind, go_on = kit.event(), kit.blocker()
    manager = kit.manager(kit.listener(kind, lambda _: where_it_hangs(go_on)), workers=8, stuck_after=0.05)
    manager.send_event(kind(1))
    until(lambda: not manager.health().consuming, "health tells that it doesn't consume")
    health = manager.health()
    assert (health.alive, health.ready, health.workers, health.stuck_workers) == (True, False, 8, 1)
    go_on.set()
    until(lambda: manager.health().ready, "it consumes again")


def test_an_event_loop_that_is_blocked_is_not_alive(kit: Kit):
    kind, go_on = kit.event(), kit.blocker()

    async def on(_: Sample) -> None:
        where_it_hangs(go_on)

    manager = kit.manager(kit.listener(kind, on, asynchronous=True, concurrency=2), stuck_after=0.05)
    assert manager.health().alive
    manager.send_event(kind(1))
    until(lambda: not manager.health().alive, "health tells that the loop is blocked")
    assert manager.health().loop_blocked
    go_on.set()
    until(lambda: manager.health().alive, "it answers again")


def test_tasks_that_wait_for_long_are_no_stuck_workers(kit: Kit):
    tasks, threads, go_on = kit.event(), kit.event(), asyncio.Event()

    async def on(_: Sample) -> None:
        await go_on.wait()

    listeners = [
        kit.listener(tasks, on, asynchronous=True, concurrency=8),
        kit.listener(threads, lambda _: None),
    ]
    manager = kit.manager(*listeners, workers=4, stuck_after=0.05)
    manager.send_events(tasks(number) for number in range(8))
    until(lambda: len(manager.health().listeners[0].stuck) == 8, "health tells that they are stuck")
    assert manager.health().alive
    manager.stop(0.05)


def test_a_task_that_waits_too_long_is_told_with_its_stack(kit: Kit):
    kind, blocker = kit.event(), kit.blocker()

    async def deep() -> None:
        while not blocker.is_set():  # noqa: ASYNC110 (set by another thread)
            await asyncio.sleep(0.005)

    async def on(_: Sample) -> None:
        await deep()

    manager = kit.manager(kit.listener(kind, on, asynchronous=True), stuck_after=0.05)
    manager.send_event(kind(1))
    until(lambda: bool(manager.health().listeners[0].stuck), "health tells that it is stuck")
    (stuck,) = manager.health().listeners[0].stuck
    assert "deep" in stuck.stack
    assert manager.health().alive


def test_stop_says_where_a_listener_hangs(kit: Kit, caplog: pytest.LogCaptureFixture):
    kind, go_on = kit.event(), kit.blocker()
    begun = threading.Event()

    def on(_: Sample) -> None:
        begun.set()
        where_it_hangs(go_on)

    manager = kit.manager(kit.listener(kind, on))
    manager.send_event(kind(1))
    assert begun.wait(10)
    with caplog.at_level(logging.WARNING, "eventing"):
        manager.stop(0.05)
    assert "still running when stop_timeout ended" in caplog.text
    assert manager.health().listeners[0].listener in caplog.text
    assert "where_it_hangs" in caplog.text


# -- sending ----------------------------------------------------------------------------------------------------------


def test_a_send_that_failed_is_told_until_one_is_confirmed():
    broker = MemoryBroker.shared("health", max_messages=1)
    kit = Kit({"provider": "memory", "memory": {"broker": broker.name}})
    try:
        kind, go_on = kit.event(), kit.blocker()
        manager = kit.manager(kit.listener(kind, lambda _: go_on.wait(30)))
        manager.send_event(kind(1))
        with pytest.raises(SendTimeoutError):
            manager.send_event(kind(2), timeout=0.05)
        health = manager.health()
        assert "SendTimeoutError" in health.sending.error
        assert health.sending.in_flight == 0
        assert (health.ready, health.degraded) == (True, True)
        go_on.set()
        manager.send_event(kind(3))
        assert not manager.health().sending.error
        assert not manager.health().degraded
    finally:
        kit.close()


# -- the sums ---------------------------------------------------------------------------------------------------------


def a_listener(**settings: Any) -> ListenerHealth:
    return ListenerHealth(**{"listener": "L", "event": "E", "consuming": True, "running": 0, "held": 0, **settings})


def of(*listeners: ListenerHealth, connected: bool = True, **settings: Any) -> ManagerHealth:
    provider = Health(connected=connected, generation=1, error="")
    return ManagerHealth(**{"state": "started", "provider": provider, "listeners": listeners, **settings})


STUCK = StuckRun(seconds=1, thread="t", stack="")


@pytest.mark.parametrize(
    ("health", "alive", "ready", "degraded"),
    [
        (of, True, True, False),
        (lambda: of(a_listener()), True, True, False),
        (lambda: of(a_listener(), state="starting"), True, False, False),
        (lambda: of(a_listener(), connected=False), True, False, False),
        (lambda: of(a_listener(), a_listener(consuming=False, error="e")), True, False, False),
        (lambda: of(a_listener(), a_listener(consuming=False, paused=True)), True, True, True),
        (lambda: of(a_listener(error="a copy can't be stored")), True, True, True),
        (lambda: of(a_listener(), sending=SendingHealth(error="e")), True, True, True),
        (lambda: of(a_listener(stuck=(STUCK,)), workers=2, stuck_workers=1), True, True, True),
        (lambda: of(a_listener(stuck=(STUCK,)), workers=1, stuck_workers=1), False, True, True),
        (lambda: of(a_listener(stuck=(STUCK,)), workers=2), True, True, True),
        (lambda: of(a_listener(), loop_blocked=True), False, True, False),
    ],
)
def test_alive_ready_and_degraded(health: Callable[[], ManagerHealth], alive: bool, ready: bool, degraded: bool):
    it = health()
    assert (it.alive, it.ready, it.degraded) == (alive, ready, degraded)
