"""Subscriptions that move to a connection of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from eventing_core.errors import BrokerConnectionError
from eventing_core.provider import Destination, Outcome
from eventing_core.provider.sockets import Apart, ApartHandle
from tests.support.waiting import until


class Consumer:
    flaw = "something"

    def __init__(self) -> None:
        self.subscription = SimpleNamespace(destination=Destination("Order", "Mail", kind="queue"))
        self.calls: list[str] = []

    def retire(self) -> None:
        self.calls.append("retire")

    def settle(self, batch: Any, outcome: Outcome) -> None:
        self.calls.append("settle")

    def window(self, size: int) -> None:
        self.calls.append(f"window {size}")

    def close(self) -> Future[None]:
        self.calls.append("close")
        closed: Future[None] = Future()
        closed.set_result(None)
        return closed


class Home:
    def __init__(self, problems: list[Exception], opening: threading.Event | None = None) -> None:
        self._problems = problems
        self._opening = opening
        self._closed = threading.Event()
        self.welcomed: list[Any] = []
        self.is_closed = False

    def open(self, observer: Callable[[bool, Exception | None], None]) -> None:
        if self._opening is not None:
            self._opening.set()
            assert self._closed.wait(10)
            raise BrokerConnectionError("closed while it was connecting")
        if self._problems:
            raise self._problems.pop()
        observer(True, None)

    def close(self, timeout: float) -> None:
        del timeout
        self.is_closed = True
        self._closed.set()

    def abandon(self) -> None:
        self.is_closed = True

    def adopt(self, consumer: Consumer) -> Consumer:
        del consumer
        return Consumer()

    def welcome(self, consumer: Consumer) -> None:
        self.welcomed.append(consumer)


class Bench:
    def __init__(self, problems: list[Exception] | None = None, opening: threading.Event | None = None) -> None:
        self.homes: list[Home] = []
        self.shared = Consumer()
        shared: Any = self.shared

        def make() -> Home:
            self.homes.append(Home(problems or [], opening))
            return self.homes[-1]

        self.handle = ApartHandle(shared, make, (0.01, 0.02))
        self.apart = Apart()
        self.apart.add(self.handle)

    def move(self) -> Any:
        self.handle.move()
        until(lambda: bool(self.homes and self.homes[-1].welcomed), "it has moved", 5)
        return self.homes[-1].welcomed[0]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = {*threading.enumerate()}
    yield
    until(lambda: {*threading.enumerate()} <= before, "no thread is left", 5)


def test_it_stays_where_it_is_until_it_moves() -> None:
    bench = Bench()
    bench.handle.window(3)
    bench.handle.settle([], Outcome.ACCEPT)
    assert bench.shared.calls == ["window 3", "settle"]
    assert bench.handle.flaw == "something"
    assert bench.handle.close().done()
    assert not bench.homes


def test_after_it_has_moved_the_new_one_is_told() -> None:
    bench = Bench()
    moved = bench.move()
    bench.handle.window(1)
    assert bench.shared.calls == ["retire"]
    assert moved.calls == ["window 1"]
    assert bench.handle.close().done()
    until(lambda: bench.homes[0].is_closed, "its connection is closed", 5)
    assert moved.calls == ["window 1", "close"]


def test_it_goes_on_trying_to_connect() -> None:
    bench = Bench([BrokerConnectionError("no"), BrokerConnectionError("not yet")])
    bench.move()
    assert len(bench.homes) == 3
    bench.apart.end(5.0)
    assert bench.homes[-1].is_closed


def test_closed_while_it_connects_it_never_moves() -> None:
    opening = threading.Event()
    bench = Bench(opening=opening)
    bench.handle.move()
    assert opening.wait(5)
    bench.handle.close()
    until(lambda: bench.homes[0].is_closed, "the attempt is ended", 5)
    assert not bench.homes[0].welcomed


def test_the_end_waits_for_one_that_moves() -> None:
    opening = threading.Event()
    bench = Bench(opening=opening)
    bench.handle.move()
    assert opening.wait(5)
    begun = time.monotonic()
    bench.apart.end(5.0)
    assert time.monotonic() - begun < 4
    assert bench.homes[0].is_closed


def test_in_a_child_its_connection_is_dropped() -> None:
    bench = Bench()
    bench.move()
    bench.apart.abandon()
    assert bench.homes[0].is_closed
    assert bench.handle.close().done()
