"""Calls that block, on an event loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from injector import Injector

from eventing_core import EventListener, EventManager, ManagerStateError, Options, event, event_listener
from eventing_core.injector import EventingModule
from eventing_core.memory import MemoryProvider
from eventing_core.runtime._running_loops import _warned
from eventing_core.testing import wait_idle


@event()
@dataclass
class Ping:
    number: int


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    _warned.clear()
    yield
    _warned.clear()


@pytest.fixture
def manager() -> Iterator[EventManager]:
    options = Options(unrouted="ignore")
    with EventManager(MemoryProvider("here"), listeners=[], pipelines=[], options=options) as manager:
        yield manager


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "blocks the event loop" in record.getMessage()]


def in_a_coroutine(call: Callable[[], object]) -> None:
    async def run() -> None:
        call()

    asyncio.run(run())


@pytest.mark.parametrize("method", ["send_event", "send_events", "submit_event"])
def test_a_blocking_send_on_another_loop_is_warned_of(
    manager: EventManager, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    def call() -> None:
        getattr(manager, method)([Ping(1)] if method == "send_events" else Ping(1))

    in_a_coroutine(call)
    line = call.__code__.co_firstlineno + 1
    assert warnings(caplog) == [
        f"{__file__}:{line}: {method} blocks the event loop that calls it; use 'await send_event_async(...)'"
    ]


def test_once_for_each_line(manager: EventManager, caplog: pytest.LogCaptureFixture) -> None:
    def calls() -> None:
        for number in range(5):
            manager.send_event(Ping(number))
        manager.send_event(Ping(5))

    in_a_coroutine(calls)
    in_a_coroutine(calls)
    assert len(warnings(caplog)) == 2


def test_not_elsewhere(manager: EventManager, caplog: pytest.LogCaptureFixture) -> None:
    manager.send_event(Ping(1))

    async def run() -> None:
        await manager.send_event_async(Ping(2))
        await asyncio.to_thread(manager.send_event, Ping(3))
        await asyncio.get_running_loop().run_in_executor(None, manager.send_event, Ping(4))

    asyncio.run(run())
    assert warnings(caplog) == []


def test_in_a_notebook_nothing_is_said(
    manager: EventManager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell: list[object] = [object()]
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell[0]))
    in_a_coroutine(lambda: manager.send_event(Ping(1)))
    assert warnings(caplog) == []
    shell[0] = None  # it is imported, and the program doesn't run in it
    in_a_coroutine(lambda: manager.send_event(Ping(1)))
    assert len(warnings(caplog)) == 1


def test_on_the_managers_own_loop_it_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    raised: list[BaseException] = []

    @event_listener(Ping)
    class Blocks(EventListener[Ping]):
        async def on(self, event: Ping) -> None:
            for call in (own.send_event, own.submit_event):
                try:
                    call(Ping(2))
                except ManagerStateError as error:
                    raised.append(error)

    own = EventManager(MemoryProvider("here"), listeners=[Blocks], pipelines=[])
    with own:
        own.send_event(Ping(1))
        wait_idle(own)
    assert len(raised) == 2
    assert "use 'await send_event_async(...)'" in str(raised[0])
    assert warnings(caplog) == []


def test_another_managers_loop_is_a_foreign_one(manager: EventManager, caplog: pytest.LogCaptureFixture) -> None:
    @event_listener(Ping)
    async def forward(event: Ping) -> None:
        manager.send_event(event)

    with EventManager(MemoryProvider("there"), listeners=[forward], pipelines=[]) as other:
        other.send_event(Ping(1))
        wait_idle(other)
    assert len(warnings(caplog)) == 1


def test_start_and_stop_name_async_with(caplog: pytest.LogCaptureFixture) -> None:
    made = EventManager(MemoryProvider("here"), listeners=[], pipelines=[])

    def call() -> None:
        with made:
            pass

    in_a_coroutine(call)
    texts = warnings(caplog)
    first = call.__code__.co_firstlineno + 1
    assert texts[0] == f"{__file__}:{first}: start blocks the event loop that calls it; use 'async with manager'"
    assert "stop blocks the event loop" in "".join(texts) or len(texts) == 1  # both on one line


def test_a_container_is_not_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    environment = Injector([EventingModule(provider=MemoryProvider("here"), listeners=[], pipelines=[])])

    def call() -> None:
        environment.get(EventManager)

    in_a_coroutine(call)
    environment.get(EventManager).stop()
    (text,) = warnings(caplog)
    assert text.startswith(f"{__file__}:{call.__code__.co_firstlineno + 1}: start blocks")


def test_a_stop_in_an_async_listener_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    stopped = threading.Event()

    @event_listener(Ping)
    async def stops(event: Ping) -> None:
        own.stop()
        stopped.set()

    own = EventManager(MemoryProvider("here"), listeners=[stops], pipelines=[])
    own.start()
    own.send_event(Ping(1))
    assert stopped.wait(10)
    own.stop()
    assert warnings(caplog) == []


def test_the_memory_of_lines_is_bounded(manager: EventManager, caplog: pytest.LogCaptureFixture) -> None:
    _warned.update(("elsewhere.py", number) for number in range(1000))
    in_a_coroutine(lambda: manager.send_event(Ping(1)))
    assert warnings(caplog) == []
    assert len(_warned) == 1000


def test_a_logging_handler_that_raises_costs_no_event(manager: EventManager, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no log")

    monkeypatch.setattr("eventing_core.runtime._running_loops._log.warning", refuse)
    in_a_coroutine(lambda: manager.send_event(Ping(1)))
    assert _warned
