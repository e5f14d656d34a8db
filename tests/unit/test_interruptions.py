"""Ctrl-C at any step of a send or a stop: afterwards nothing is counted wrongly, and everything goes on."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import pytest

from eventing_core import EventListener, EventManager, Options, event_listener
from eventing_core.memory import MemoryProvider
from eventing_core.provider import Destination, Done, Message, Producer
from eventing_core.provider.sockets import Loop
from eventing_core.send._room import Room
from tests.support.commands import ROOT
from tests.support.dispatching import Tick
from tests.support.interrupts import Interruption, at_each_place
from tests.support.waiting import until

SHORT = 1.0  # seconds; what is broken takes 2 to 15


class Threaded(MemoryProvider):
    """Confirms on a thread of its own, soon."""

    def __init__(self) -> None:
        super().__init__("here")
        self.sends: SimpleQueue[tuple[int, Done] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._confirm, daemon=True)
        self.thread.start()

    def _confirm(self) -> None:
        while (send := self.sends.get()) is not None:
            count, done = send
            for index in range(count):
                done(index, None)

    def producer(self, destination: Destination) -> Producer:
        put = self.sends.put

        class Puts(Producer):
            def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
                put((len(batch), done))

        return Puts()


class Quick(EventListener[Tick]):
    def on(self, event: Tick) -> None: ...


OPTIONS = Options(unrouted="ignore", max_in_flight=3, send_timeout=5, stop_timeout=5, workers=2)


@pytest.fixture(params=["threaded", "memory", "memory with a listener"])
def manager(request: pytest.FixtureRequest) -> Iterator[EventManager]:
    provider: Any = Threaded() if request.param == "threaded" else MemoryProvider("here")
    listeners: list[type[EventListener[Tick]]] = []
    if "listener" in request.param:
        listeners = [event_listener(Tick)(type("Quick", (Quick,), {}))]
    manager = EventManager(provider, listeners=listeners, pipelines=[], options=OPTIONS)
    if listeners:
        manager.start()
    manager.send_events([Tick(1), Tick(2)])
    manager.submit_event(Tick(3)).add_done_callback(lambda _: None)
    yield manager
    began = time.monotonic()
    manager.stop()
    assert time.monotonic() - began < SHORT
    if isinstance(provider, Threaded):
        provider.sends.put(None)


WAYS: dict[str, Callable[[EventManager], object]] = {
    "send_event": lambda manager: manager.send_event(Tick(1)),
    "send_events": lambda manager: manager.send_events([Tick(1), Tick(2), Tick(3)]),
    "submit_event": lambda manager: manager.submit_event(Tick(1)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_send_can_be_interrupted_anywhere(manager: EventManager, way: str) -> None:
    sender = manager._sender

    def is_quiet() -> bool:
        return len(sender._in_flight) == 0 and len(sender._room) == 0

    def check(place: str) -> None:
        began = time.monotonic()
        until(is_quiet, f"nothing is counted after {place}", 5)
        manager.send_event(Tick(1), timeout=2)
        manager.submit_event(Tick(1), timeout=2).result(2)
        assert time.monotonic() - began < SHORT, place
        until(is_quiet, f"nothing is counted after {place}", 5)

    began = 0.0

    def act() -> None:
        nonlocal began
        began = time.monotonic()
        try:
            WAYS[way](manager)
        finally:
            took = time.monotonic() - began
            assert took < SHORT

    places = at_each_place(act, check)
    assert places > 30


@pytest.mark.parametrize("kind", ["sends", "listens", "async"])
def test_a_stop_can_be_interrupted_anywhere(kind: str) -> None:
    @event_listener(Tick)
    class Plain(EventListener[Tick]):
        def on(self, event: Tick) -> None: ...

    @event_listener(Tick)
    class Async(EventListener[Tick]):
        async def on(self, event: Tick) -> None: ...

    kinds: dict[str, list[type[EventListener[Tick]]]] = {"sends": [], "listens": [Plain], "async": [Async]}
    listeners = kinds[kind]
    at, came = 1, True
    while came:
        manager = EventManager(MemoryProvider("here"), listeners=listeners, pipelines=[], options=OPTIONS)
        before = threading.active_count()
        manager.start()
        manager.send_event(Tick(1))
        interruption = Interruption(at)
        began = time.monotonic()
        try:
            with interruption:
                manager.stop()
        except KeyboardInterrupt:
            pass
        manager.stop()
        took = time.monotonic() - began
        assert took < SHORT, interruption.place
        assert manager.health().state == "stopped", interruption.place
        until(lambda before=before: threading.active_count() <= before, interruption.place, 5)  # type: ignore[misc]
        came = interruption.came
        at += 1 if at < 30 else 3
    assert at > 30


def test_a_post_to_the_io_thread_can_be_interrupted_anywhere() -> None:
    loop, over, ran = Loop(), threading.Event(), threading.Semaphore(0)

    def turn() -> None:
        while not over.is_set():
            loop.sleep(None)
            loop.run_posted()

    thread = threading.Thread(target=turn)
    thread.start()

    def post() -> None:
        until(lambda: loop._sleeping, "it sleeps", 5)
        loop.post(lambda _: ran.release())

    def check(place: str) -> None:
        # What was posted in spite of it needs no other to come, and the next one is noticed at once.
        until(lambda: not loop._inbox, f"it is carried out: {place}", 5)
        until(lambda: loop._sleeping, "it sleeps", 5)
        while ran.acquire(blocking=False):
            pass
        loop.post(lambda _: ran.release())
        assert ran.acquire(timeout=SHORT), place

    places = at_each_place(post, check, within="provider/sockets/_loop.py")
    assert places >= 3
    over.set()
    loop.post(lambda _: None)
    thread.join()
    loop.close()


def test_a_place_is_given_back_by_its_name_however_far_its_taking_came() -> None:
    room = Room(2)

    def act() -> None:
        try:
            assert room.take("a", 1)
        finally:
            sys.settrace(None)
            room.give_back("a")

    assert at_each_place(act, lambda _: None, within="send/_room.py") >= 3
    assert len(room) == 0
    assert room.take("a", 0)
    assert room.take("b", 0)
    assert not room.take("c", 0)
    waits = threading.Timer(0.05, room.give_back, ("a",))
    waits.start()
    assert room.take("c", 5)
    waits.join()


SCRIPT = """
    import os, random, signal, sys, threading, time
    from dataclasses import dataclass
    from eventing_core import EventListener, EventManager, Options, event, event_listener
    from eventing_core.memory import MemoryProvider

    @event()
    @dataclass
    class Tick:
        number: int

    @event_listener(Tick, prefetch=64)
    class Listener(EventListener[Tick]):
        def on(self, event): ...

    manager = EventManager(
        MemoryProvider("here"), listeners=[Listener], pipelines=[],
        options=Options(max_in_flight=10, workers=2, send_timeout=5, stop_timeout=20),
    )
    manager.start()
    manager.send_event(Tick(0))
    armed, handled = threading.Event(), threading.Event()
    over = False
    rest = random.Random(1)

    def interrupt():
        while not over:
            armed.wait()
            armed.clear()
            if over:
                return
            end = time.perf_counter() + rest.random() * 0.0003
            while time.perf_counter() < end:
                pass
            os.kill(os.getpid(), signal.SIGINT)
            handled.wait()
            handled.clear()

    killer = threading.Thread(target=interrupt, daemon=True)
    killer.start()
    ways = [
        lambda: manager.send_event(Tick(1)),
        lambda: manager.send_events([Tick(1), Tick(2), Tick(3)]),
        lambda: manager.submit_event(Tick(1)),
    ]
    slowest, count, others = 0.0, 0, []
    began = time.monotonic()
    while count < COUNT:
        way = ways[count % 3]
        start = time.monotonic()
        try:
            armed.set()
            while True:
                way()
        except KeyboardInterrupt:
            pass
        except RuntimeError as error:  # of threading's own, which a signal handler interrupted
            others.append(error)
        count += 1
        handled.set()
        slowest = max(slowest, time.monotonic() - start)
    over = True
    armed.set()
    killer.join()
    start = time.monotonic()
    manager.send_event(Tick(1), timeout=2)
    manager.submit_event(Tick(1), timeout=2).result(2)
    next_send = time.monotonic() - start
    deadline = time.monotonic() + 10
    while manager._sender._in_flight and time.monotonic() < deadline:
        time.sleep(0.01)
    left = len(manager._sender._in_flight), len(manager._sender._room)
    start = time.monotonic()
    manager.stop()
    stop = time.monotonic() - start
    print(count, left, slowest < 2, next_send < 1, stop < 5, manager.health().listeners[0].error, len(others) < 10)
"""


def test_ten_thousand_signals_leave_nothing_behind() -> None:
    script = textwrap.dedent(SCRIPT).replace("COUNT", "10_000")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False, cwd=ROOT
    )
    assert done.stdout == "10000 (0, 0) True True True  True\n", done.stdout + done.stderr[-3000:]
    assert math.isfinite(0)
