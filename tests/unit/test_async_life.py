"""Starting and stopping from a coroutine."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from eventing_core import (
    BrokerConnectionError,
    EventListener,
    EventManager,
    ListenerCreationError,
    ManagerStateError,
    event,
    event_listener,
)
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.provider import Observer
from eventing_core.testing import await_idle
from tests.support.waiting import until


@event()
@dataclass
class Ping:
    number: int


seen: list[int] = []


@event_listener(Ping)
async def count(event: Ping) -> None:
    seen.append(event.number)


def manager(provider: MemoryProvider | None = None, *listeners: Any) -> EventManager:
    return EventManager(provider or MemoryProvider("here"), listeners=listeners or [count], pipelines=[])


def test_async_with() -> None:
    async def run() -> EventManager:
        async with manager() as started:
            assert started.health().ready
            await started.send_event_async(Ping(1))
            await await_idle(started)
        return started

    seen.clear()
    stopped = asyncio.run(run())
    assert stopped.health().state == "stopped"
    assert seen == [1]


class Slow(MemoryProvider):
    """Connecting and closing take until they are released."""

    def __init__(self) -> None:
        super().__init__("here", MemoryBroker())
        self.opening, self.go_on = threading.Event(), threading.Event()
        self.closing = threading.Event()

    def open(self, observer: Observer) -> None:
        self.opening.set()
        assert self.go_on.wait(10)
        if self.closing.is_set():
            raise BrokerConnectionError("closed meanwhile")
        super().open(observer)

    def close(self, timeout: float) -> None:
        self.closing.set()
        self.go_on.set()
        super().close(timeout)


async def reached(condition: threading.Event) -> None:
    assert await asyncio.to_thread(condition.wait, 10)


def test_the_loop_goes_on_meanwhile() -> None:
    async def run() -> None:
        provider = Slow()
        turned = asyncio.Event()

        async def others() -> None:
            await reached(provider.opening)
            turned.set()  # on the loop, while the start waits
            provider.go_on.set()

        task = asyncio.create_task(others())
        async with manager(provider):
            assert turned.is_set()
        await task

    asyncio.run(run())


def test_errors_of_the_start_are_raised() -> None:
    class Broken(EventListener[Ping]):
        def __init__(self) -> None:
            raise OSError("no database")

        def on(self, event: Ping) -> None: ...

    made = manager(None, event_listener(Ping)(Broken))

    async def run() -> None:
        async with made:
            raise AssertionError

    with pytest.raises(ListenerCreationError, match="no database"):
        asyncio.run(run())
    assert made.health().state == "stopped"
    with pytest.raises(ManagerStateError):
        asyncio.run(run())


def test_a_cancelled_start_leaves_nothing_behind() -> None:
    provider = Slow()
    made = manager(provider)

    async def run() -> None:
        async def enter() -> None:
            async with made:
                raise AssertionError

        task = asyncio.create_task(enter())
        await reached(provider.opening)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert made.health().state == "stopped"

    asyncio.run(run())
    assert provider.closing.is_set()
    until(lambda: not any(thread.name == "eventing-life" for thread in threading.enumerate()), "its thread ends")


def test_a_timeout_around_the_start() -> None:
    provider = Slow()
    made = manager(provider)

    async def run() -> None:
        async with asyncio.timeout(0.05), made:
            raise AssertionError

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert made.health().state == "stopped"


def test_a_stop_goes_to_its_end_where_the_task_is_cancelled() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    @event_listener(Ping)
    def slow(event: Ping) -> None:
        begun.set()
        assert go_on.wait(10)
        ended.set()

    made = manager(None, slow)

    async def run() -> None:
        async def work() -> None:
            async with made:
                await made.send_event_async(Ping(1))
                await reached(begun)

        task = asyncio.create_task(work())
        await reached(begun)
        await asyncio.to_thread(until, lambda: made.health().state != "started", "the stop", 10)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # impatient
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert ended.is_set()
    assert made.health().state == "stopped"


def test_an_error_of_the_body_goes_on_after_the_stop() -> None:
    made = manager()

    async def run() -> None:
        async with made:
            raise LookupError("of the body")

    with pytest.raises(LookupError, match="of the body"):
        asyncio.run(run())
    assert made.health().state == "stopped"


def test_listeners_are_made_in_the_tasks_context() -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
    found: list[str] = []

    @event_listener(Ping)
    class Reads(EventListener[Ping]):
        def __init__(self) -> None:
            found.append(tenant.get())

        def on(self, event: Ping) -> None: ...

    async def run() -> None:
        tenant.set("orders")
        async with manager(None, Reads):
            pass

    asyncio.run(run())
    assert found == ["orders"]


def test_a_full_executor_does_not_keep_it_from_starting() -> None:
    release = threading.Event()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        # More than its threads.
        waiting = [loop.run_in_executor(None, release.wait, 10) for _ in range(40)]
        async with manager():
            release.set()
        await asyncio.gather(*waiting)

    asyncio.run(run())
