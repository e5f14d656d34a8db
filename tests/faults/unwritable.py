"""Messages of foreign senders that a protocol can't carry, among good events."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from proton import Message

from eventing_core import EventManager
from tests.faults.stage import EVENT, Stage
from tests.faults.terms import Figures, Terms
from tests.support.losses import Losses
from tests.support.offenders import DROPPED, EMPTIED, ENDING, NUMBER, TOO_LARGE, put
from tests.support.plain import PlainClient
from tests.support.waiting import until
from tests.support.workers import event_named, listener_of

TITLE = "Messages that STOMP can't carry, among good ones"

#: Of each kind, so many times, with a manager of its own.
ROUNDS = 5

#: Good events before an offending message, and as many after it.
GOOD = 20

#: What is allowed for one message, whose listener has a neighbour and a sender in its process.
LOSSES, SHARED_LOSSES = 4, 2

_QUEUE, _NEIGHBOUR = "Listener", "Neighbour"


def run(terms: Terms) -> Figures:
    """One of each kind at a time; the listener's events go by a foreign sender, the neighbour's by ours."""
    kinds = {**ENDING, **TOO_LARGE, **EMPTIED}
    totals = {"offending messages": 0, "connections lost": 0, "of these shared": 0, "neighbour's events": 0}
    with Stage(terms) as stage, PlainClient(stage.broker) as plain:
        for kind in [*kinds] * terms.count(ROUNDS):
            shared, own, handled = _one(stage, plain, terms, kinds[kind])
            assert shared + own <= LOSSES, f"{kind}: {shared} and {own} connections lost"
            totals["offending messages"] += 1
            totals["connections lost"] += shared + own
            totals["of these shared"] += shared
            totals["neighbour's events"] += handled
        if terms.scale >= 1 or terms.over == "amqp":
            # Over STOMP they are found once the listener has been idle for a minute.
            for offender in DROPPED.values():
                _one(stage, plain, terms, offender)
                totals["offending messages"] += 1
        assert plain.count("DLQ") == 0, "nothing is the broker's to dead-letter"
    return {**totals}


def _one(stage: Stage, plain: PlainClient, terms: Terms, offender: Any) -> tuple[int, int, int]:
    """Losses of the shared connection and of the listener's own, and how many events the neighbour had."""
    numbers = itertools.count()
    kinds = event_named(EVENT), event_named(f"{EVENT}Beside")
    handled: list[int] = []
    beside: list[int] = []
    with Losses() as losses, _manager(stage, terms, kinds, handled, beside) as manager:
        with _sender(manager, kinds[1]) as sent:
            good = [next(numbers) for _ in range(2 * GOOD)]
            for at, number in enumerate(good):
                if at == GOOD:
                    put(stage.broker, plain, EVENT, offender)
                plain.send(EVENT, _event(number))
            until(lambda: {*good} <= {*handled}, lambda: f"{len({*handled})} handled; {losses.errors}", 60)
            until(lambda: plain.count(_QUEUE) == 0, lambda: f"the queue is empty; {losses.errors}", 150)
            until(lambda: not manager.health().degraded, lambda: f"healthy again: {manager.health()}", 30)
        until(lambda: {*sent} <= {*beside}, lambda: f"the neighbour has {len({*beside})} of {len(sent)}", 30)
        shared, own = losses.shared, losses.apart
    assert shared <= SHARED_LOSSES, f"the neighbour was disturbed: {shared} losses"
    letters = plain.count(f"{_QUEUE}.dead")
    assert NUMBER in handled or letters == 1, f"handled, or one dead letter: {letters}"
    if letters:
        letter = plain.take_dead(_QUEUE)
        reason = "undecodable" if terms.over == "amqp" else "undeliverable"
        assert letter.properties["eventing-reason"] == reason, letter.properties
    return shared, own, len(beside)


def _event(number: int) -> Any:
    return Message(id=f"good-{number}", body=b'{"number": %d}' % number, inferred=True, durable=True)


@contextmanager
def _manager(
    stage: Stage, terms: Terms, kinds: tuple[Any, Any], handled: list[int], beside: list[int]
) -> Iterator[EventManager]:
    broker = stage.broker
    place = {"host": broker.host, "port": broker.port, "user": broker.user, "password": broker.password}
    options: dict[str, Any] = {"provider": terms.over, terms.over: place}
    listeners = [listener_of(kinds[0], _QUEUE, handled.append), listener_of(kinds[1], _NEIGHBOUR, beside.append)]
    with EventManager.from_config(listeners=listeners, pipelines=[], **options) as manager:
        yield manager


@contextmanager
def _sender(manager: EventManager, kind: Any) -> Iterator[list[int]]:
    """Send all the time; what was confirmed."""
    confirmed: list[int] = []
    over = threading.Event()

    def send() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            manager.send_event(kind(number=number))
            confirmed.append(number)
            over.wait(0.005)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield confirmed
    finally:
        over.set()
        thread.join()
