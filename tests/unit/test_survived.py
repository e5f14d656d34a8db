"""What is remembered of lost connections."""

from __future__ import annotations

import pytest

from eventing_core import _survived
from eventing_core._survived import Survived
from eventing_core.memory._queue import MemoryDelivery
from eventing_core.provider import Message


def given(name: str, count: int) -> MemoryDelivery:
    return MemoryDelivery(Message(body=b"", message_id=name), 1, count)


def test_only_what_was_lost_here_is_taken_off() -> None:
    survived = Survived(2)
    survived.add([given("a", 2), given("a", 5), given("a", 5), given("a", 1), given("", 4)])
    assert survived.crashes(given("a", 8)) == 6
    assert survived.crashes(given("a", 5)) == 4  # the broker has not counted the loss
    assert survived.crashes(given("b", 8)) == 8
    assert survived.crashes(given("", 8)) == 8
    survived.forget([given("a", 8)])
    assert survived.crashes(given("a", 8)) == 8


def test_the_oldest_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_survived, "_MANY", 2)
    survived = Survived(2)
    survived.add(given(name, 3) for name in "abc")
    assert [survived.crashes(given(name, 4)) for name in "abc"] == [4, 3, 3]
