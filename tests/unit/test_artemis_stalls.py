"""Queues that have messages, and give a waiting consumer none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from eventing_core.provider.artemis import Queue, Reply
from eventing_core.provider.artemis import _stalls as stalls

QUEUE = Queue(name="Mail", address="Order", durable=True)

EMPTY = {"name": "Mail", "messageCount": "0", "deliveringCount": "0", "scheduledCount": "0", "consumerCount": "1"}


def row(**changes: str) -> Mapping[str, str]:
    return {**EMPTY, **changes}


@pytest.mark.parametrize(
    ("changes", "stalled"),
    [
        ({}, False),
        ({"messageCount": "3"}, True),
        ({"messageCount": "3", "scheduledCount": "3"}, False),
        ({"messageCount": "3", "deliveringCount": "3"}, False),
        ({"messageCount": "3", "scheduledCount": "1", "deliveringCount": "1"}, True),
        # Another consumer may have a group's, or all of an exclusive queue.
        ({"messageCount": "3", "deliveringCount": "1", "consumerCount": "2"}, False),
        ({"messageCount": "3", "consumerCount": "2"}, True),
    ],
    ids=str,
)
def test_what_is_ready_and_not_given_is_a_stall(changes: dict[str, str], stalled: bool) -> None:
    assert bool(stalls.judge(row(**changes)).text) is stalled


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"paused": "true"}, "it is paused"), ({"filter": "a=1"}, "the filter 'a=1'"), ({}, "see the broker's log")],
    ids=str,
)
def test_it_says_why_as_far_as_is_known(changes: dict[str, str], words: str) -> None:
    text = stalls.judge(row(messageCount="2", **changes)).text
    assert words in text
    assert "'Mail' has 2 messages" in text


class Consumer:
    def __init__(self) -> None:
        self.batches = 0
        self.is_waiting = True
        self.place = "127.0.0.1:1"
        self.told: list[str] = []
        self.hoarded: list[int] = []

    def stalls(self, text: str) -> None:
        self.told.append(text)

    def hoards(self, numbers: Sequence[int]) -> None:
        self.hoarded += numbers


class Broker:
    """Management, and the loop under it, at once; time goes by hand."""

    denied = False

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.row: Mapping[str, str] = EMPTY
        self.asked: list[str] = []
        self.loop = self
        self.delivering = [{"consumerName": "ServerConsumer [id=a:session:7, filter", "elements": [{"messageID": 5}]}]
        self._due: list[tuple[float, Callable[[], None]]] = []
        monkeypatch.setattr("eventing_core.provider.artemis._stalls.time.monotonic", lambda: self.now)

    def call_in(self, delay: float, call: Callable[[], None]) -> Any:
        self._due.append((self.now + delay, call))
        return self

    def cancel(self) -> None:
        self._due.clear()

    def pass_by(self, seconds: float) -> None:
        until = self.now + seconds
        while self._due and min(self._due, key=lambda due: due[0])[0] <= until:
            first = min(self._due, key=lambda due: due[0])
            self._due.remove(first)
            self.now = first[0]
            first[1]()
        self.now = until

    def call(self, _: str, operation: str, __: Sequence[Any], reply: Callable[[Reply], None]) -> None:
        self.asked.append(operation)
        if operation == "listQueues":
            reply(Reply("done", json.dumps({"data": [self.row], "count": 1})))
        elif operation == "listConsumers":
            rows = [{"session": "session", "remoteAddress": "127.0.0.1:1"}, {"session": "b", "remoteAddress": "::1:2"}]
            reply(Reply("done", json.dumps({"data": rows})))
        else:
            reply(Reply("done", json.dumps(self.delivering)))


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    return Broker(monkeypatch)


def watched(broker: Broker) -> tuple[stalls.StallWatch, Consumer]:
    watch, consumer = stalls.StallWatch(broker), Consumer()  # type: ignore[arg-type]
    watch.watch(QUEUE, consumer)
    return watch, consumer


def test_nothing_is_asked_about_a_consumer_that_gets_something(broker: Broker) -> None:
    _, consumer = watched(broker)
    for _ in range(20):
        consumer.batches += 1
        broker.pass_by(stalls.PATIENCE / 2)
    assert not broker.asked


def test_nothing_is_asked_about_a_consumer_that_is_busy(broker: Broker) -> None:
    _, consumer = watched(broker)
    consumer.is_waiting = False
    broker.pass_by(10 * stalls.PATIENCE)
    assert not broker.asked


def test_an_idle_consumer_of_an_empty_queue_costs_a_question_now_and_then(broker: Broker) -> None:
    _, consumer = watched(broker)
    broker.pass_by(10 * stalls.PATIENCE)
    assert {*broker.asked} == {"listQueues"}
    assert len(broker.asked) <= 20
    assert not consumer.told


def test_a_stall_is_told_once_it_is_confirmed(broker: Broker) -> None:
    _, consumer = watched(broker)
    broker.row = row(messageCount="3")
    broker.pass_by(stalls.PATIENCE)
    assert not consumer.told
    broker.pass_by(stalls.CONFIRMATION)
    assert len(consumer.told) == 1


def test_what_comes_before_it_is_confirmed_is_no_stall(broker: Broker) -> None:
    _, consumer = watched(broker)
    broker.row = row(messageCount="3")
    broker.pass_by(stalls.PATIENCE)
    consumer.batches += 1
    broker.pass_by(stalls.CONFIRMATION)
    assert not consumer.told


def test_what_is_delivered_to_it_and_never_came_is_told_by_its_numbers(broker: Broker) -> None:
    _, consumer = watched(broker)
    broker.row = row(messageCount="1", deliveringCount="1")
    broker.pass_by(stalls.PATIENCE + stalls.CONFIRMATION)
    assert consumer.hoarded == [5]
    assert not consumer.told


def test_what_is_delivered_to_another_one_is_not_told(broker: Broker) -> None:
    _, consumer = watched(broker)
    broker.delivering[0]["consumerName"] = "ServerConsumer [id=a:b:7, filter"
    broker.row = row(messageCount="1", deliveringCount="1", consumerCount="2")
    broker.pass_by(stalls.PATIENCE + stalls.CONFIRMATION)
    assert not consumer.hoarded


def test_after_the_connection_nobody_is_asked(broker: Broker) -> None:
    watch, _ = watched(broker)
    watch.lost()
    broker.pass_by(10 * stalls.PATIENCE)
    assert not broker.asked
