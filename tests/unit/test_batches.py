"""Batches while a second thread hands over, too."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import pytest

from eventing_core.errors import SendTimeoutError
from eventing_core.provider import Message
from eventing_core.provider._timer import Timer
from eventing_core.runtime._workers import Task
from eventing_core.send._batches import Batches, Told

COUNT = 30_000


class AtOnce(Timer):
    """Doesn't wait, so that both threads hand over all the time."""

    def __init__(self) -> None:
        super().__init__("at-once")
        self.tasks: SimpleQueue[Task | None] = SimpleQueue()

    def call_later(self, delay: float, call: Task, **_: object) -> None:
        self.tasks.put(call)

    def run(self) -> None:
        while (task := self.tasks.get()) is not None:
            task()


@pytest.fixture
def late() -> Iterator[AtOnce]:
    late = AtOnce()
    thread = threading.Thread(target=late.run)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    yield late
    late.tasks.put(None)
    thread.join()
    sys.setswitchinterval(interval)


def test_each_message_goes_once_in_order_to_its_destination_and_is_told_by_its_index(late: AtOnce) -> None:
    handed: list[tuple[str, str]] = []
    threads: set[int] = set()

    def send(to: str, batch: Sequence[Message], told: Told) -> None:
        threads.add(threading.get_ident())
        handed.extend((to, message.message_id) for message in batch)
        told({index: KeyError(message.message_id) for index, message in enumerate(batch)})

    destinations = ["first" if at // 7 % 2 else "second" for at in range(COUNT)]
    batches = Batches(send, late, 10)
    for at, to in enumerate(destinations):
        batches.add(to, Message(bytes(at % 5 * 1000), {}, str(at)), alone=at % 97 == 0)
    batches.end()
    assert batches._given == batches._told > COUNT
    assert handed == [(to, str(at)) for at, to in enumerate(destinations)]
    assert {at: error.args for at, error in batches.failures.items()} == {at: (str(at),) for at in range(COUNT)}
    assert len(threads) == 2


class Interrupting(list[Message]):
    """Is interrupted where the messages that wait are looked at, as by Ctrl-C."""

    interrupt = True

    def __getitem__(self, key: Any) -> Any:
        if self.interrupt:
            self.interrupt = False
            raise KeyboardInterrupt
        return super().__getitem__(key)


def test_an_interruption_of_a_hand_over_loses_nothing() -> None:
    handed: list[tuple[str, str]] = []

    def send(to: str, batch: Sequence[Message], told: Told) -> None:
        handed.extend((to, message.message_id) for message in batch)
        told({})

    batches = Batches(send, Timer("never"), 0.5)
    batches.add("first", Message(b"", {}, "0"))
    batches.add("first", Message(b"", {}, "1"))
    batches._batch = Interrupting(batches._batch)
    with pytest.raises(KeyboardInterrupt):
        batches.add("second", Message(b"", {}, "2"))
    batches.end()
    assert handed == [("first", "0"), ("first", "1")]


@pytest.mark.parametrize(
    ("size", "alone", "window"),
    [
        (10, False, 4000),
        (10, True, 4000),
        (2047, False, 4000),
        (2047, True, 4000),
        (4095, True, 2000),
        (1 << 20, False, 8),
        (20 << 20, False, 1),
    ],
)
def test_so_many_are_unconfirmed_at_most(size: int, alone: bool, window: int) -> None:
    message = Message(bytes(size), {}, "0")
    told: list[Told] = []
    handed = 0

    def send(_: str, batch: Sequence[Message], done: Told) -> None:
        nonlocal handed
        handed += len(batch)
        told.append(done)

    batches = Batches(send, Timer("never"), 0.05)
    for _ in range(window):
        batches.add("to", message, alone=alone)
    with pytest.raises(SendTimeoutError):
        batches.add("to", message, alone=alone)
    assert handed == window
    for done in told:
        done({})
    for _ in range(window):
        batches.add("to", message, alone=alone)
    with pytest.raises(SendTimeoutError):
        batches.end()
    assert handed == 2 * window
