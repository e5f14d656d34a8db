"""What blocks the event loop of asynchronous listeners is warned of, with the user's own line."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

import pytest

from eventing_core import EventListener, EventManager, event_listener
from eventing_core.memory import MemoryProvider
from eventing_core.runtime import _loop_watch
from tests.support.dispatching import Tick
from tests.support.waiting import until

Warnings = Callable[[], list[str]]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Warnings:
    monkeypatch.setattr(_loop_watch, "_LOOK", 0.1)
    caplog.set_level(logging.WARNING, "eventing")
    return lambda: [
        record.getMessage() for record in caplog.records if "has blocked the event loop" in record.getMessage()
    ]


def manager_of(*listeners: type[EventListener[Tick]]) -> EventManager:
    return EventManager(MemoryProvider("here"), listeners=listeners, pipelines=[])


def test_a_blocking_call_is_warned_of_with_its_line_and_once(warnings: Warnings) -> None:
    go_on = threading.Semaphore(0)

    @event_listener(Tick)
    class Blocks(EventListener[Tick]):
        async def on(self, event: Tick) -> None:
            assert go_on.acquire(timeout=10)  # it blocks here

    with manager_of(Blocks) as manager:
        manager.send_events([Tick(1), Tick(2)])
        until(lambda: len(warnings()) == 1, "it is warned of", 10)
        (text,) = warnings()
        assert "Blocks on Tick: has blocked the event loop" in text
        assert "it blocks here" in text
        assert __file__ in text
        assert "eventing_core" not in text
        assert "asyncio.to_thread" in text
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 0.5, "more looks", 5)
        go_on.release()
        until(lambda: time.monotonic() - began > 1.2, "the same place again, before it was quiet", 5)
        go_on.release()
    assert len(warnings()) == 1


def test_a_place_is_warned_of_again_after_it_has_recovered(warnings: Warnings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loop_watch, "_QUIET", 0.2)
    go_on, calm = threading.Semaphore(0), threading.Event()

    @event_listener(Tick, concurrency=2)
    class Blocks(EventListener[Tick]):
        async def on(self, event: Tick) -> None:
            if event.number == 0:
                await asyncio.sleep(0.7)
                calm.set()
            else:
                assert go_on.acquire(timeout=10)

    with manager_of(Blocks) as manager:
        manager.send_event(Tick(1))
        until(lambda: len(warnings()) == 1, "it is warned of", 10)
        go_on.release()
        manager.send_event(Tick(0))
        assert calm.wait(10)
        manager.send_event(Tick(2))
        until(lambda: len(warnings()) == 2, "it is warned of again", 10)
        go_on.release()


def test_a_blocking_library_call_shows_the_way_there(warnings: Warnings) -> None:
    """The line of ``on`` first, then what it called; also from a task that a listener started."""
    done = threading.Event()

    @event_listener(Tick)
    class Starts(EventListener[Tick]):
        async def on(self, event: Tick) -> None:
            self.task = asyncio.create_task(background(), name="mine")
            await self.task

    async def background() -> None:
        wait()

    def wait() -> None:
        assert done.wait(10)

    with manager_of(Starts) as manager:
        manager.send_event(Tick(1))
        until(lambda: len(warnings()) == 1, "it is warned of", 10)
        done.set()
    (text,) = warnings()
    assert "the task 'mine', which a listener started," in text
    assert text.index("in background") < text.index("in wait")


def test_what_awaits_is_not_warned_of_and_an_idle_loop_is_not_looked_at(
    warnings: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = _loop_watch.LoopWatch._look

    def counted(self: _loop_watch.LoopWatch) -> None:
        nonlocal looks
        looks += 1
        look(self)

    monkeypatch.setattr(_loop_watch.LoopWatch, "_look", counted)
    done = threading.Event()

    @event_listener(Tick)
    class Awaits(EventListener[Tick]):
        async def on(self, event: Tick) -> None:
            await asyncio.sleep(1)
            done.set()

    with manager_of(Awaits) as manager:
        assert looks == 0
        manager.send_event(Tick(1))
        assert done.wait(10)
        assert manager._consumers is not None
        watch = manager._consumers._watch
        assert watch is not None
        until(lambda: not watch.on, "it looks no more", 10)
        assert looks >= 5
        before = looks
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 0.5, "time passes", 5)
        assert looks == before
    assert warnings() == []


def test_a_blocking_plain_listener_is_no_matter(warnings: Warnings) -> None:
    begun = time.monotonic()

    @event_listener(Tick)
    class Plain(EventListener[Tick]):
        def on(self, event: Tick) -> None:
            until(lambda: time.monotonic() - begun > 0.6, "time passes", 5)

    with manager_of(Plain) as manager:
        manager.send_event(Tick(1))
    assert warnings() == []
