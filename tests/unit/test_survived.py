"""What is remembered of lost connections."""

from __future__ import annotations

import pytest

from eventing_core import _survived
from eventing_core._survived import Survived
from eventing_core.memory._queue import MemoryDelivery
from eventing_core.provider import Delivery, Message


def given(name: str, count: int) -> MemoryDelivery:
    return MemoryDelivery(Message(body=b"", message_id=name), 1, count)


def lose(survived: Survived, *lost: Delivery) -> None:
    survived.add(lost)
    survived.note(survived.read())


def test_only_what_was_lost_here_is_taken_off() -> None:
    survived = Survived(2)
    lose(survived, given("a", 2), given("a", 5), given("a", 5), given("a", 1), given("", 4))
    assert survived.crashes("a", 8) == 6
    assert survived.crashes("a", 5) == 4  # the broker has not counted the loss
    assert survived.crashes("b", 8) == 8
    assert survived.crashes("", 8) == 8
    survived.forget("a")
    assert survived.crashes("a", 8) == 8


def test_the_oldest_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_survived, "_MANY", 2)
    survived = Survived(2)
    for name in "abc":
        lose(survived, given(name, 3))
    assert [survived.crashes(name, 4) for name in "abc"] == [4, 3, 3]
    survived.add(given(name, 3) for name in "def")
    assert len(survived.read()) == 2


def test_what_is_lost_is_decoded_when_it_is_read_and_once() -> None:
    class Counting(MemoryDelivery):
        def message(self) -> Message:
            reads.append(1)
            return super().message()

    reads: list[int] = []
    survived = Survived(2)
    assert not survived.add([given("a", 1)])
    assert survived.add([Counting(Message(body=b"", message_id="a"), 1, 3)])
    assert not reads
    first, second = survived.read(), survived.read()  # by two threads at a time
    survived.note(first)
    survived.note(second)
    assert survived.crashes("a", 4) == 3
    assert len(reads) == 2
    assert survived.read() == []
