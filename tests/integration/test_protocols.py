"""An event sent over one protocol reaches a listener on the other, in both directions, as it was sent."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any
from uuid import UUID, uuid4

import proton
import pytest

from eventing_core import (
    Envelope,
    EnvelopePipeline,
    EventListener,
    EventManager,
    Retry,
    envelope_pipeline,
    event,
    event_listener,
)
from eventing_core.provider import Destination, Message
from eventing_core.receive.machine import _failing
from eventing_core.testing import Confirmations, Recorder
from examples.artemis import Artemis
from examples.dead_letters import DeadLetters
from tests.support.bench import PROVIDERS, Bench, accepting, opened
from tests.support.plain import PlainClient
from tests.support.raw import RawStomp
from tests.support.waiting import until

TIMEOUT = 30.0
TEXT = "Grüße, 世界 🎉"

#: Who sends, and who receives.
DIRECTIONS = [("amqp", "stomp"), ("stomp", "amqp")]

HEADERS = {
    "customer": "Ada",
    "empty": "",
    "unicode": TEXT,
    "schlüssel 世界": TEXT,
    "line": "a\nb\r\nc\r",
    "colon:in:key": "a:b",
    "backslash\\n": "a\\nb\\cc\\",
    "spaces": " outer ",
    "long": "x" * 10_000,
    "number": "1",
    "true": "true",
    "id": "of the sender's",
    "eventing-attempts": "2",
}


@pytest.fixture
def ends(
    artemis: Artemis, unique: Callable[[str], str], request: pytest.FixtureRequest
) -> Iterator[tuple[Bench, Bench]]:
    """Two providers on one event and queue: the one that sends, and the one that receives."""
    name = unique("protocols")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

        def end(kind: str) -> Bench:
            patch.setattr(Bench, "kind", kind)
            return stack.enter_context(opened(artemis, name))

        sending, receiving = request.param
        yield end(sending), end(receiving)


both_ways = pytest.mark.parametrize("ends", DIRECTIONS, indirect=True, ids="-".join)


def put(bench: Bench, *messages: Message, to: Destination | None = None, delay: float = 0.0) -> None:
    done = Confirmations()
    bench.provider.producer(to or bench.topic).send(messages, done, deadline=time.monotonic() + TIMEOUT, delay=delay)
    assert [error for _, error in done.wait(len(messages))] == [None] * len(messages)


def taken(recorder: Recorder, count: int) -> list[Message]:
    return [delivery.message() for delivery in recorder.wait(count)]


def message(body: bytes = b"{}", **fields: Any) -> Message:
    ids = {"message_id": uuid4().hex, "dedup_id": uuid4().hex}
    return Message(body=body, **{**ids, "content_type": "application/json", "durable": True, **fields})


@both_ways
def test_a_message_arrives_as_it_was_sent(ends: tuple[Bench, Bench]):
    sender, receiver = ends
    recorder = accepting(receiver.listen_active(window=100))
    sent = [
        message(b'{"text":"' + TEXT.encode() + b'"}', headers=HEADERS),
        message(b""),
        message(b"\0\n\r\xff" * 100, content_type="application/octet-stream"),
        message(content_type="text/plain; charset=utf-8"),
        message(content_type=""),
        message(message_id=f"id:with {TEXT}\n"),
        message(message_id="ID:AMQP_UUID:not-one"),
        message(message_id="", dedup_id=""),
        message(durable=False),
    ]
    put(sender, *sent)
    assert taken(recorder, len(sent)) == sent


@both_ways
def test_a_large_message_arrives_as_it_was_sent(ends: tuple[Bench, Bench]):
    sender, receiver = ends
    recorder = accepting(receiver.listen_active(window=100))
    # Of 5 MB and more: brokers keep them elsewhere than small ones.
    body = "".join(f"{number:07d} {TEXT}\n" for number in range(180_000)).encode()
    assert len(body) > 5_000_000
    sent = [message(body, headers=HEADERS), message(b"after it")]
    put(sender, *sent)
    assert taken(recorder, 2) == sent


@both_ways
def test_a_repeated_message_is_stored_once(ends: tuple[Bench, Bench]):
    sender, receiver = ends
    recorder = accepting(receiver.listen_active(window=100))
    once, last = message(b"once"), message(b"last")
    put(sender, once, once)
    put(receiver, once, last)
    assert taken(recorder, 2) == [once, last]


@both_ways
def test_a_copy_reaches_its_queue_alone_and_after_its_delay(ends: tuple[Bench, Bench]):
    sender, receiver = ends
    recorder = accepting(receiver.listen_active(window=100))
    neighbour = Destination(receiver.queue.topic, f"{receiver.queue.group}2", kind="queue", durable=True)
    other = accepting(receiver.listen_active(neighbour, window=100))
    # Over STOMP a copy for one queue has no id to be known by.
    ids = {"dedup_id": ""} if sender.provider.name == "stomp" else {}
    at_once, later, for_all = message(b"at once", **ids), message(b"later", **ids), message(b"for all")
    began = time.monotonic()
    put(sender, later, to=sender.queue, delay=1.0)
    put(sender, at_once, to=sender.queue)
    put(sender, for_all)
    assert taken(recorder, 2) == [at_once, for_all]
    assert taken(recorder, 3)[2] == later
    assert time.monotonic() - began >= 0.9
    assert taken(other, 1) == [for_all]


@both_ways
def test_a_dead_letter_is_there_for_the_other(ends: tuple[Bench, Bench]):
    sender, receiver = ends
    letter = message(b"dead", headers={"eventing-error-message": f"a\n{TEXT}"})
    sender.listen_active()
    put(sender, letter, to=sender.dead)
    assert taken(receiver.listen_active(receiver.dead, window=1), 1) == [letter]


@both_ways
def test_what_one_gives_back_the_other_gets(ends: tuple[Bench, Bench]):
    sender, receiver = ends
    first = sender.listen_active(window=10)
    sent = [message(b"%d" % number) for number in range(5)]
    put(sender, *sent)
    first.wait(5)
    first.settle(first.deliveries.items()[:2])
    first.handle.close().result(TIMEOUT)
    assert taken(accepting(receiver.listen_active(window=10)), 3) == sent[2:]


# -- strangers on AMQP, to listeners on STOMP --------------------------------------------------------------------------


@pytest.fixture
def stomp(artemis: Artemis, unique: Callable[[str], str]) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bench, "kind", "stomp")
        with opened(artemis, unique("stranger")) as bench:
            yield bench


#: Properties that are named like headers of STOMP. With "content-length", Artemis 2.44 takes the message for one that
#: came over STOMP, and makes something else of a text body.
OWN = {
    **dict.fromkeys(("ack", "message-id", "subscription", "destination", "receipt", "transaction", "id"), "7"),
    **dict.fromkeys(("persistent", "priority", "expires", "timestamp", "type", "reply-to"), "x"),
    "redelivered": "true",
}


def test_properties_named_like_stomps_headers_do_no_harm(stomp: Bench, plain: PlainClient):
    recorder = accepting(stomp.listen_active(window=10))
    for key, value in OWN.items():
        plain.send(stomp.topic.topic, proton.Message(body=key, properties={key: value, "own": key}, durable=True))
    plain.send(stomp.topic.topic, proton.Message(body="all", properties=OWN, durable=True))
    got = taken(recorder, len(OWN) + 1)
    assert [one.body.decode() for one in got] == [*OWN, "all"]
    assert [one.headers.get("own") for one in got] == [*OWN, None]
    assert [one.durable for one in got] == [True] * len(got)
    assert {delivery.delivery_count for delivery in recorder.deliveries.items()} == {0}
    # Each was accepted, by its own number.
    until(lambda: plain.count(stomp.queue.group) == 0, "all are accepted")
    assert len(recorder.bodies()) == len(got)
    assert stomp.connected.items() == [(True, None)]


def test_a_text_with_nul_arrives_whole(stomp: Bench, plain: PlainClient):
    recorder = accepting(stomp.listen_active(window=10))
    bodies = ["a\0b", "\0ab", "after"]
    for body in bodies:
        plain.send(stomp.topic.topic, proton.Message(body=body, durable=True))
    assert [one.body.decode() for one in taken(recorder, len(bodies))] == bodies
    assert stomp.connected.items() == [(True, None)]


def test_what_artemis_makes_of_a_damaged_frame_ends_no_connection(stomp: Bench, artemis: Artemis):
    recorder = accepting(stomp.listen_active(window=10))
    # Its third header has no colon.
    damaged = f"SEND\ndestination:{stomp.topic.topic}\ndestination-type:MULTICAST\ncontent-length:6\n0\n\nbroken\0"
    with closing(RawStomp(artemis)) as raw:
        raw.put([damaged.encode()])
    put(stomp, message(b"after"))
    assert [one.body for one in taken(recorder, 2)] == [b"", b"after"]
    assert stomp.connected.items() == [(True, None)]


def test_a_property_that_no_event_could_have_passes_on(stomp: Bench, plain: PlainClient):
    recorder = accepting(stomp.listen_active(window=10))
    properties = {"nul": "a\0b", "ke\0y:\n\\": "c", "": "d", "number": 5, "flag": True, "half": 0.5}
    plain.send(stomp.topic.topic, proton.Message(body="x", properties=properties, durable=True))
    expected = {**properties, "number": "5", "flag": "true", "half": "0.5"}
    (got,) = taken(recorder, 1)
    assert got.headers == expected
    # As a copy of it, which has to arrive.
    put(stomp, got, to=stomp.dead)
    (copy,) = taken(accepting(stomp.listen_active(stomp.dead, window=1)), 1)
    assert copy == got


def test_the_ids_of_strangers_are_read(stomp: Bench, plain: PlainClient):
    recorder = accepting(stomp.listen_active(window=10))
    ids: dict[str, Any] = {
        "00000000-0000-0000-0000-000000000005": UUID(int=5),
        "7": proton.ulong(7),
        "00FF": b"\x00\xff",
        "plain": "plain",
        "ID:x": "ID:x",
        "": None,
    }
    for key in ids.values():
        plain.send(stomp.topic.topic, proton.Message(body="x", id=key, content_type="text/x"))
    got = taken(recorder, len(ids))
    assert [one.message_id for one in got] == [*ids]
    assert {one.content_type for one in got} == {"text/x"}
    assert {one.durable for one in got} == {False}


# -- whole events -----------------------------------------------------------------------------------------------------


@pytest.fixture
def manager_on(artemis: Artemis) -> Iterator[Callable[..., EventManager]]:
    """``manager_on(kind, *listeners, **options)``: started; stopped after the test."""
    with ExitStack() as stack:

        def make(kind: str, *listeners: Any, **options: Any) -> EventManager:
            provider = PROVIDERS[kind](
                f"on-{kind}", artemis.host, port=artemis.port, user=artemis.user, password=artemis.password
            )
            manager = EventManager(provider, listeners=listeners, **{"pipelines": [], **options})
            stack.enter_context(manager)
            return manager

        yield make


@dataclass
class Case:
    """An event, and a listener that raises as long as it is told to."""

    names: tuple[str, str]
    event_type: Any
    listener: Any
    spy: Any
    #: The event and its headers in each run of ``on``.
    runs: SimpleQueue[tuple[Any, dict[str, str]]]
    fails: list[bool]

    def run(self) -> tuple[Any, dict[str, str]]:
        return self.runs.get(timeout=TIMEOUT)


@pytest.fixture
def case(unique: Callable[[str], str]) -> Case:
    runs: SimpleQueue[tuple[Any, dict[str, str]]] = SimpleQueue()
    fails = [True]
    names = unique("Written"), unique("Reader")

    @envelope_pipeline()
    class Spy(EnvelopePipeline):
        def handle(self, envelope: Envelope, event_listener_descriptor: Any) -> None:
            seen.headers = dict(envelope.headers)

    seen = threading.local()

    @event(names[0], durable=True)
    @dataclass
    class Written:
        text: str
        words: list[str]

    @event_listener(Written, name=names[1], retry=Retry(max_attempts=3, initial=0.5, factor=1, jitter=0))
    class Reader(EventListener[Written]):
        def on(self, event: Written) -> None:
            runs.put((event, seen.headers))
            if fails[0]:
                raise ValueError(f"not\nyet: {TEXT}")

    return Case(names, Written, Reader, Spy, runs, fails)


both_kinds = pytest.mark.parametrize(("sender", "receiver"), DIRECTIONS)

#: What a pipeline or a caller may set.
SET = {key: value for key, value in HEADERS.items() if not key.startswith("eventing-") and key != "id"}


@both_kinds
def test_an_event_is_handled_as_it_was_sent(
    manager_on: Callable[..., EventManager], case: Case, sender: str, receiver: str
):
    case.fails[0] = False
    manager_on(receiver, case.listener, pipelines=[case.spy])
    sent = case.event_type(TEXT, [TEXT, "a\nb", '"\\'])
    manager_on(sender).send_event(sent, headers=SET)
    handled, headers = case.run()
    assert handled == sent
    assert headers == SET


@both_kinds
def test_a_retry_copy_of_one_is_handled_by_the_other(
    manager_on: Callable[..., EventManager],
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
    sender: str,
    receiver: str,
):
    # No wait is short enough to be held.
    monkeypatch.setattr(_failing, "HOLD_LIMIT", 0.0)
    first = manager_on(sender, case.listener, pipelines=[case.spy])
    sent = case.event_type(TEXT, [])
    first.send_event(sent, headers=SET)
    assert case.run() == (sent, SET)
    first.stop()
    case.fails[0] = False
    manager_on(receiver, case.listener, pipelines=[case.spy])
    handled, headers = case.run()
    assert handled == sent
    assert headers.pop("eventing-attempts") == "1"
    assert headers.pop("eventing-first-failed-at")
    assert headers == SET


@both_kinds
def test_a_dead_letter_of_one_is_read_by_the_other(
    manager_on: Callable[..., EventManager], case: Case, artemis: Artemis, sender: str, receiver: str
):
    manager_on(receiver, case.listener, pipelines=[case.spy])
    sent = case.event_type(TEXT, ["x"])
    manager_on(sender).send_event(sent, headers=SET)
    runs = [case.run() for _ in range(3)]
    assert [handled for handled, _ in runs] == [sent] * 3
    # Where the provider holds an event for its retry, no copy says that it is one.
    assert {headers.get("eventing-attempts", "") for _, headers in runs[1:]} <= {"", "1", "2"}
    provider = PROVIDERS[sender](
        "reader", artemis.host, port=artemis.port, user=artemis.user, password=artemis.password
    )
    provider.open(lambda *_: None)
    try:
        with DeadLetters(provider, *case.names, durable=True) as letters:
            letter = letters.take(TIMEOUT)
            assert letter is not None
            got = letter.message()
            letters.remove(letter)
    finally:
        provider.close(5)
    assert json.loads(got.body) == dataclasses.asdict(sent)
    assert got.content_type == "application/json"
    assert got.durable
    assert got.message_id
    assert got.headers["eventing-error-type"] == "ValueError"
    assert got.headers["eventing-error-message"] == f"not\nyet: {TEXT}"
    assert got.headers["eventing-attempts"] == "3"
    assert got.headers["eventing-server"] == f"on-{receiver}"
    assert {key: value for key, value in got.headers.items() if not key.startswith("eventing-")} == SET
