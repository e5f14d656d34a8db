"""Messages that STOMP can't carry: their listener goes on, its neighbours aren't disturbed, and nothing is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from proton import Message, timestamp

from eventing_amqp import AMQProvider
from eventing_core import EventManager
from eventing_core.provider.artemis import _stalls
from eventing_core.provider.sockets import Standing
from eventing_stomp import StompProvider, _isolation
from examples.artemis import Artemis, User
from examples.dead_letters import DeadLetters, ElsewhereError
from tests.support.bench import Bench, opened
from tests.support.losses import Losses
from tests.support.offenders import DROPPED, EMPTIED, ENDING, NUMBER, TOO_LARGE, data, put
from tests.support.plain import PlainClient
from tests.support.waiting import until
from tests.support.workers import event_named, listener_of

GOOD = 20

#: All rights but to manage.
UNMANAGED = User(
    name="unmanaged",
    password="secret",
    permissions=frozenset(
        {
            *("send", "consume", "browse", "createAddress", "deleteAddress"),
            *("createDurableQueue", "deleteDurableQueue", "createNonDurableQueue", "deleteNonDurableQueue"),
        }
    ),
)


class Listening:
    """A manager with one listener; a neighbour, where that is wanted."""

    def __init__(self, artemis: Artemis, name: str, provider: Any, **settings: Any) -> None:
        self.artemis = artemis
        self.event, self.queue = name, f"Listener-{name}"
        self.handled: list[int] = []
        self.beside: list[int] = []
        self.kinds = event_named(name), event_named(f"{name}Beside")
        listeners = [
            listener_of(self.kinds[0], self.queue, self.handled.append, **settings),
            listener_of(self.kinds[1], f"Beside-{name}", self.beside.append),
        ]
        self.manager = EventManager(provider, listeners=listeners, pipelines=[])

    def send_good(self, plain: PlainClient, first: int, count: int = GOOD) -> None:
        for number in range(first, first + count):
            body = b'{"number": %d}' % number
            plain.send(self.event, Message(id=f"good-{number}", body=body, inferred=True, durable=True))

    def has(self, count: int) -> bool:
        return {*range(count)} <= {*self.handled}

    def letters(self, plain: PlainClient) -> list[dict[str, Any]]:
        return [dict(plain.take_dead(self.queue).properties) for _ in range(plain.count(f"{self.queue}.dead"))]

    def error(self) -> str:
        return self.manager.health().listeners[0].error

    @property
    def consumer(self) -> Any:
        provider: Any = self.manager._provider
        return next(
            handle.consumer
            for handle in provider._connection._apart._handles
            if handle.consumer.subscription.destination.group == self.queue
        )


@contextmanager
def listening(
    artemis: Artemis, name: str, kind: Any = StompProvider, user: str = "", password: str = "", **settings: Any
) -> Iterator[Listening]:
    place = {"host": artemis.host, "port": artemis.port}
    provider = kind("server", **place, user=user or artemis.user, password=password or artemis.password)
    listening = Listening(artemis, name, provider, **settings)
    with listening.manager:
        yield listening


@pytest.mark.parametrize("kind", [*ENDING, *TOO_LARGE])
def test_one_among_good_events_costs_the_neighbour_two_connections_at_most(
    artemis: Artemis, plain: PlainClient, unique: Callable[[str], str], kind: str
):
    offender = {**ENDING, **TOO_LARGE}[kind]
    with listening(artemis, unique("ending")) as here, Losses() as losses:
        before = plain.count("DLQ")
        here.send_good(plain, 0)
        put(artemis, plain, here.event, offender)
        here.send_good(plain, GOOD)
        until(lambda: here.has(2 * GOOD), lambda: f"{here.handled}; {losses.errors}", 30)
        until(lambda: plain.count(f"{here.queue}.dead") == 1, lambda: f"a dead letter; {losses.errors}", 30)
        assert losses.shared <= 2
        assert losses.shared + losses.apart <= 4
        assert plain.count("DLQ") == before
        until(lambda: not here.manager.health().degraded, here.error)
        here.manager.send_event(here.kinds[1](number=1))
        until(lambda: here.beside == [1], "the neighbour goes on")
    [letter] = here.letters(plain)
    assert letter["eventing-reason"] == "undeliverable"
    assert letter["eventing-listener"] == here.queue
    moved = plain.take(f"{here.queue}.undeliverable", capability="queue")
    annotations = {str(key): value for key, value in moved.annotations.items()}
    assert str(annotations["x-opt-ORIG-MESSAGE-ID"]) == letter["eventing_undeliverable_id"]
    assert letter["eventing_undeliverable_queue"] == f"{here.queue}.undeliverable"
    assert moved.properties == offender.properties, "it was moved unchanged"
    assert moved.body == offender.body or bytes(moved.body) == offender.body


def test_several_in_a_row_and_one_at_each_end(artemis: Artemis, plain: PlainClient, unique: Callable[[str], str]):
    with listening(artemis, unique("row")) as here, Losses() as losses:
        for kind in ("UUID", "list property"):
            put(artemis, plain, here.event, ENDING[kind])
        here.send_good(plain, 0)
        for kind in ("timestamp", "UUID", "map with a list"):
            put(artemis, plain, here.event, ENDING[kind])
        here.send_good(plain, GOOD)
        put(artemis, plain, here.event, ENDING["timestamp"])
        until(lambda: here.has(2 * GOOD), lambda: f"{here.handled}; {losses.errors}", 60)
        until(lambda: plain.count(f"{here.queue}.dead") == 6, lambda: f"six dead letters; {losses.errors}", 60)
        assert losses.shared <= 2
        assert losses.apart <= 2 * 6
    assert plain.count(f"{here.queue}.undeliverable") == 6
    assert len({letter["eventing_undeliverable_id"] for letter in here.letters(plain)}) == 6


def aside(plain: PlainClient, queue: str) -> int:
    """How many messages were set aside."""
    return int((plain.queue(f"{queue}.undeliverable") or {}).get("messageCount", 0))


@pytest.mark.parametrize("settings", [{"ordered": True}, {"per_process": True}, {"concurrency": 8}], ids=str)
def test_each_kind_of_listener(
    artemis: Artemis, plain: PlainClient, unique: Callable[[str], str], settings: dict[str, Any]
):
    with listening(artemis, unique("kinds"), **settings) as here, Losses() as losses:
        queue = here.queue + ("-server" if "per_process" in settings else "")
        here.send_good(plain, 0)
        put(artemis, plain, here.event, ENDING["timestamp"])
        here.send_good(plain, GOOD)
        until(lambda: here.has(2 * GOOD), lambda: f"{here.handled}; {losses.errors}", 30)
        until(lambda: aside(plain, queue) == 1, lambda: f"set aside; {losses.errors}", 30)
        # With several frames on their way a loss can meet the shared connection once more.
        assert losses.shared <= (3 if "concurrency" in settings else 2)
        if "ordered" in settings:
            assert [*dict.fromkeys(here.handled)] == [*range(2 * GOOD)]
        # It has its whole window again.
        until(lambda: here.consumer.isolation.quarantine.standing is Standing.APART, "it is quiet", 30)
        here.send_good(plain, 2 * GOOD, 100)
        until(lambda: here.has(2 * GOOD + 100), "all are handled", 30)


def test_health_and_log_say_so_until_it_is_set_aside(
    artemis: Artemis, plain: PlainClient, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
):

    go_on = threading.Event()
    module: Any = _isolation
    inherited = module.set_aside

    def later(session: Any, queue: Any, offender: Any, then: Callable[[Any], None]) -> None:
        def look() -> None:
            if go_on.is_set():
                inherited(session, queue, offender, then)
            else:
                session.management.loop.call_in(0.05, look)

        look()

    monkeypatch.setattr(_isolation, "set_aside", later)
    with listening(artemis, unique("health")) as here, Losses() as losses:
        put(artemis, plain, here.event, ENDING["timestamp"])
        until(lambda: here.error().startswith("quarantined"), here.error)
        assert here.queue in here.error()
        assert [error for error in losses.errors if "quarantined" in error and here.queue in error]
        go_on.set()
        until(lambda: plain.count(f"{here.queue}.dead") == 1, "a dead letter")
        until(lambda: here.error() == "", here.error)
        assert len(losses.errors) == 2, "one error for the quarantine, one for the dead letter"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artemis]:
    reason = Artemis.unavailable()
    if reason:
        pytest.skip(reason)
    with Artemis(folder=tmp_path_factory.mktemp("narrow") / "broker", users=[UNMANAGED]) as broker:
        yield broker


@pytest.mark.timeout(120)
def test_without_the_right_to_manage_all_good_events_are_handled(narrow: Artemis, unique: Callable[[str], str]):
    name = unique("unmanaged")
    user = {"user": UNMANAGED.name, "password": UNMANAGED.password}
    with PlainClient(narrow) as plain, listening(narrow, name, **user) as here, Losses() as losses:
        here.send_good(plain, 0)
        put(narrow, plain, here.event, ENDING["timestamp"])
        here.send_good(plain, GOOD)
        until(lambda: "quarantined" in here.error(), here.error, 30)
        assert "'manage' and 'send' on activemq.management" in here.error()
        until(lambda: here.has(2 * GOOD), lambda: f"{here.handled}; {losses.errors}", 100)
        until(lambda: plain.count("DLQ") == 1, "the broker takes the offending one, and no other", 60)
        assert plain.count(here.queue) == 0
        assert losses.shared <= 2
        errors = [error for error in losses.errors if "quarantined" in error]
        assert len(errors) == 1, errors


@pytest.mark.parametrize("kind", DROPPED)
def test_what_the_broker_never_writes_is_found_when_the_listener_is_idle(
    artemis: Artemis, plain: PlainClient, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, kind: str
):
    monkeypatch.setattr(_stalls, "PATIENCE", 1.0)
    monkeypatch.setattr(_stalls, "CONFIRMATION", 0.2)
    with listening(artemis, unique("dropped")) as here, Losses() as losses:
        here.send_good(plain, 0)
        put(artemis, plain, here.event, DROPPED[kind])
        here.send_good(plain, GOOD)
        until(lambda: here.has(2 * GOOD), lambda: f"{here.handled}", 30)
        until(lambda: plain.count(f"{here.queue}.dead") == 1, lambda: f"a dead letter; {losses.errors}", 30)
        assert losses.shared == losses.apart == 0
        assert plain.count(here.queue) == 0
        until(lambda: not here.manager.health().degraded, here.error)
    [letter] = here.letters(plain)
    assert letter["eventing-reason"] == "undeliverable"
    assert plain.count(f"{here.queue}.undeliverable") == 1


@pytest.mark.parametrize("kind", EMPTIED)
def test_what_the_broker_writes_without_its_body_is_set_aside(
    artemis: Artemis, plain: PlainClient, unique: Callable[[str], str], kind: str
):
    with listening(artemis, unique("emptied"), concurrency=3) as here, Losses() as losses:
        here.send_good(plain, 0)
        for _ in range(3):
            put(artemis, plain, here.event, EMPTIED[kind])
        here.send_good(plain, GOOD)
        until(lambda: here.has(2 * GOOD), lambda: f"{here.handled}", 30)
        until(lambda: plain.count(f"{here.queue}.dead") == 3, lambda: f"dead letters; {losses.errors}", 30)
        assert losses.shared == losses.apart == 0
    assert {letter["eventing-reason"] for letter in here.letters(plain)} == {"undeliverable"}
    moved = plain.take(f"{here.queue}.undeliverable", capability="queue")
    assert moved.body == EMPTIED[kind].body


#: Bodies of foreign senders, and what comes of them over AMQP and over STOMP.
BODIES: dict[str, tuple[Any, str, str]] = {
    "null": (Message(body=None, inferred=False, durable=True), "undecodable", "undecodable"),
    "nothing": (b"\x00\x53\x70\xc0\x02\x01\x41", "undecodable", "undecodable"),
    "text": (Message(body=f'{{"number": {NUMBER}}}', inferred=False, durable=True), "handled", "handled"),
    "binary": (Message(body=b'{"number": %d}' % NUMBER, inferred=False, durable=True), "handled", "handled"),
    "number": (Message(body=7, inferred=False, durable=True), "undecodable", "undeliverable"),
    "timestamp": (Message(body=timestamp(7), inferred=False, durable=True), "undecodable", "undeliverable"),
    "null property": (
        Message(body=b'{"number": %d}' % NUMBER, inferred=True, durable=True, properties={"a": None}),
        "handled",
        "handled",
    ),
    "two data sections": (data(b'{"number":') + data(b"%d}" % NUMBER), "handled", "undecodable"),
}


@pytest.mark.parametrize("over", ["amqp", "stomp"])
@pytest.mark.parametrize("body", BODIES)
def test_a_foreign_body_is_handled_or_its_dead_letter_says_why(
    artemis: Artemis, plain: PlainClient, unique: Callable[[str], str], over: str, body: str
):
    offender, *results = BODIES[body]
    result = results[over == "stomp"]
    with listening(artemis, unique("body"), {"amqp": AMQProvider, "stomp": StompProvider}[over]) as here:
        put(artemis, plain, here.event, offender)
        if result == "handled":
            until(lambda: here.handled == [NUMBER], here.error)
        else:
            until(lambda: plain.count(f"{here.queue}.dead") == 1, here.error)
            [letter] = here.letters(plain)
            assert letter["eventing-reason"] == result
            if body == "two data sections":
                assert "only the first comes over STOMP" in letter["eventing-error-message"]
            elif result == "undeliverable":
                assert "STOMP can't carry" in letter["eventing-error-message"]


@pytest.mark.parametrize("over", ["amqp", "stomp"])
def test_a_queue_that_gives_a_waiting_listener_nothing_is_reported(
    artemis: Artemis, plain: PlainClient, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, over: str
):
    monkeypatch.setattr(_stalls, "PATIENCE", 1.0)
    monkeypatch.setattr(_stalls, "CONFIRMATION", 0.2)
    with listening(artemis, unique("stalled"), {"amqp": AMQProvider, "stomp": StompProvider}[over]) as here:
        plain.manage(f"queue.{here.queue}", "pause")
        here.send_good(plain, 0)
        until(lambda: "it is paused" in here.error(), here.error, 20)
        assert here.manager.health().degraded
        plain.manage(f"queue.{here.queue}", "resume")
        until(lambda: here.has(GOOD), "all are handled")
        assert here.error() == ""


def test_replaying_leaves_a_dead_letter_whose_event_is_elsewhere(
    artemis: Artemis, plain: PlainClient, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Bench, "kind", "stomp")
    with listening(artemis, unique("replay")) as here:
        put(artemis, plain, here.event, EMPTIED["map"])
        until(lambda: plain.count(f"{here.queue}.dead") == 1, "a dead letter")
    with (
        opened(artemis, unique("reader")) as bench,
        DeadLetters(bench.provider, here.event, here.queue, durable=True) as letters,
    ):
        letter = letters.take(10.0)
        assert letter is not None
        with pytest.raises(ElsewhereError, match=rf"'{here.queue}\.undeliverable'"):
            letters.replay(letter)
    assert plain.count(f"{here.queue}.dead") == 1


def test_a_queue_that_is_deleted_twice_is_no_reason_to_stay_in_quarantine(
    artemis: Artemis, plain: PlainClient, unique: Callable[[str], str]
):
    with listening(artemis, unique("deleted")) as here, Losses() as losses:
        for at in range(3):
            until(lambda: plain.queue(here.queue) is not None, "the queue is there")
            until(lambda: here.manager.health().ready, here.error)
            plain.manage("broker", "destroyQueue", here.queue, True)
            until(lambda at=at: losses.shared + losses.apart > at or plain.queue(here.queue) is not None, "noticed")  # type: ignore[misc]
        until(lambda: here.manager.health().ready and not here.manager.health().degraded, here.error, 60)
        here.send_good(plain, 0)
        until(lambda: here.has(GOOD), lambda: f"{here.handled}; {losses.errors}", 60)
    assert plain.count(f"{here.queue}.dead") == 0


def test_nothing_is_left_of_a_listeners_own_connection(
    artemis: Artemis, plain: PlainClient, unique: Callable[[str], str]
):
    before = {*threading.enumerate()}
    with listening(artemis, unique("left")) as here:
        put(artemis, plain, here.event, ENDING["timestamp"])
        until(lambda: plain.count(f"{here.queue}.dead") == 1, here.error)
        assert len([thread for thread in threading.enumerate() if thread.name.startswith("eventing-stomp")]) == 2
    left = [thread.name for thread in {*threading.enumerate()} - before if thread.is_alive()]
    assert not left, left
    answer = json.loads(
        plain.manage(
            "broker", "listConsumers", json.dumps({"field": "queue", "operation": "EQUALS", "value": here.queue}), 1, 10
        )
    )
    assert json.loads(answer[0])["count"] == 0
