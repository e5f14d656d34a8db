"""What becomes of events that fail, and of those that nobody takes yet, read back from the broker by a plain client."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

import pytest
from proton import Message

from eventing_core import (
    EnvelopePipeline,
    EventListener,
    EventManager,
    Retry,
    envelope_pipeline,
    event,
    event_listener,
)
from eventing_core.provider import Provider
from eventing_core.receive.machine import _failing
from examples.artemis import Artemis
from tests.support.plain import PlainClient
from tests.support.proxy import Proxy
from tests.support.waiting import until

TIMEOUT = 30.0


class NoSuchCustomerError(Exception):
    pass


@dataclass(frozen=True)
class Case:
    """An event and a listener of it.

    Attributes:
        queue: the listener's.
        runs: (event, its header ``eventing-attempts``, time) of each run of ``on``.
    """

    event_name: str
    queue: str
    event_type: Any
    listener: Any
    runs: SimpleQueue[tuple[Any, str, float]]

    def run(self) -> tuple[Any, str, float]:
        return self.runs.get(timeout=TIMEOUT)


@envelope_pipeline()
class Spy(EnvelopePipeline):
    """Makes a header known to the listener."""

    attempts = ""

    def handle(self, envelope: EventManager.Envelope, descriptor: Any) -> Generator[None]:
        type(self).attempts = envelope.get("eventing-attempts", "0")
        yield


@pytest.fixture
def make_case(unique: Callable[[str], str]) -> Callable[..., Case]:
    """``make_case(on, **settings)``; what ``on(text)`` raises fails the run."""

    def make(on: Callable[[str], object] = len, **settings: Any) -> Case:
        runs: SimpleQueue[tuple[Any, str, float]] = SimpleQueue()

        @event(unique("Ordered"), durable=True)
        @dataclass
        class Ordered:
            text: str

        @event_listener(Ordered, name=unique("Listener"), **settings)
        class Listener(EventListener[Ordered]):
            def on(self, event: Ordered) -> None:
                runs.put((event, Spy.attempts, time.monotonic()))
                on(event.text)

        return Case(unique("Ordered"), unique("Listener"), Ordered, Listener, runs)

    return make


def fail(text: str) -> None:
    raise NoSuchCustomerError(f"no customer {text[:20]!r}, größer")


def test_a_dead_letter_as_a_plain_client_finds_it(
    make_case: Callable[..., Case], make_manager: Callable[..., EventManager], plain: PlainClient
):
    case = make_case(fail, retry=Retry(max_attempts=3, initial=0.01))
    manager = make_manager(case.listener)
    manager.start()
    before = datetime.now(UTC)
    manager.send_event(case.event_type("Ada"), headers={"customer": "Да", "kürzel": "ä"})
    letter = plain.take_dead(case.queue)
    assert letter.durable
    assert letter.content_type == "application/json"
    assert json.loads(bytes(letter.body)) == {"text": "Ada"}
    failed_at = datetime.fromisoformat(letter.properties.pop("eventing-first-failed-at"))
    assert 0 <= (failed_at - before).total_seconds() + 0.001 < TIMEOUT
    # Of our own for the removal of duplicates, and no copy of the original's.
    assert letter.properties.pop("_AMQ_DUPL_ID").endswith(f"/{case.queue}/dead3")
    assert letter.properties == {
        "customer": "Да",
        "kürzel": "ä",
        "eventing-reason": "failed",
        "eventing-attempts": "3",
        "eventing-error-type": f"{__name__}.NoSuchCustomerError",
        "eventing-error-message": "no customer 'Ada', größer",
        "eventing-listener": case.queue,
        "eventing-event": case.event_name,
        "eventing-server": "server",
    }
    assert [case.run()[0] for _ in range(3)] == [case.event_type("Ada")] * 3
    assert case.runs.empty()
    # The original is gone, and the queue of dead letters stays, whoever looks after it.
    until(lambda: plain.count(case.queue) == 0, "the original is accepted")
    dead = plain.queue(f"{case.queue}.dead")
    assert dead
    assert (dead["durable"], dead["autoDelete"], dead["routingType"]) == ("true", "false", "ANYCAST")


def test_what_does_not_decode_keeps_its_body(
    make_case: Callable[..., Case], make_manager: Callable[..., EventManager], plain: PlainClient
):
    case = make_case()
    make_manager(case.listener).start()
    plain.send(case.event_name, Message(body='{"text": 1', durable=True, properties={"number": 7}))
    letter = plain.take_dead(case.queue)
    assert bytes(letter.body) == b'{"text": 1'
    assert letter.properties["eventing-reason"] == "undecodable"
    assert letter.properties["number"] == "7"
    assert case.runs.empty()


def test_connections_that_are_lost_during_a_long_on_cost_no_event(
    artemis: Artemis,
    make_case: Callable[..., Case],
    make_manager: Callable[..., EventManager],
    make_provider: Callable[..., Provider],
    plain: PlainClient,
):
    """The broker takes away what was given out 10 times; a copy is counted anew."""
    go_on = threading.Event()
    case = make_case(lambda _: go_on.wait(TIMEOUT))
    with Proxy(artemis.port) as proxy:
        provider = make_provider(port=proxy.port, backoff_initial=0.01, backoff_max=0.05)
        manager = make_manager(case.listener, provider=provider)
        manager.start()
        assert manager._consumers is not None
        (shell,) = manager._consumers._shells
        manager.send_event(case.event_type("Ada"))
        case.run()
        for _ in range(200):  # the broker counts some of them only
            row = plain.queue(case.queue)
            if row is not None and row["messagesAdded"] == "2":
                break
            generation = provider.health().generation
            proxy.reset()

            def is_back(generation: int = generation) -> bool:
                queue: list[Any] = [getattr(each, "delivery", each) for each in [*shell._machine.slots.queue]]
                back = [each for each in queue if each.generation > generation]
                return bool(back or plain.count(case.queue) == 2)

            until(is_back, "it comes again")
            time.sleep(0.05)
        go_on.set()
        assert case.run()[0] == case.event_type("Ada")
        until(lambda: plain.count(case.queue) == 0, "it is accepted")
        manager.stop()
    row = plain.queue(case.queue)
    assert row
    assert row["messagesAdded"] == "2"  # the copy took the original's place
    assert row["messagesKilled"] == "0"


def test_late_retries_wait_on_the_broker(
    make_case: Callable[..., Case],
    make_manager: Callable[..., EventManager],
    plain: PlainClient,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(_failing, "HOLD_LIMIT", 0.0)
    case = make_case(fail, retry=Retry(max_attempts=3, initial=1.0, factor=1.0, jitter=0.0))
    manager = make_manager(case.listener, pipelines=[Spy])
    manager.start()
    manager.send_event(case.event_type("Ada"), headers={"customer": "Ada"})
    _, attempts, first = case.run()
    assert attempts == "0"

    def is_scheduled() -> bool:
        row = plain.queue(case.queue)
        return row is not None and (row["scheduledCount"], row["deliveringCount"]) == ("1", "0")

    until(is_scheduled, lambda: f"a copy waits on the broker; {plain.queue(case.queue)}")
    _, attempts, second = case.run()
    assert attempts == "1"
    assert 1.0 <= second - first < 5.0
    # The count goes on in another process.
    until(is_scheduled, lambda: f"a copy waits on the broker; {plain.queue(case.queue)}")
    manager.stop()
    make_manager(case.listener, pipelines=[Spy], server_name="other").start()
    _, attempts, third = case.run()
    assert attempts == "2"
    assert third - second >= 1.0
    letter = plain.take_dead(case.queue)
    assert letter.properties["eventing-attempts"] == "3"
    assert letter.properties["customer"] == "Ada"
    assert letter.properties["eventing-server"] == "other"
    assert case.runs.empty()
    until(lambda: plain.count(case.queue) == 0, "the last copy is accepted")
    row = plain.queue(case.queue)
    assert row
    # The original and two copies.
    assert row["messagesAdded"] == "3"


def test_large_and_foreign_text_through_all_ways(
    make_case: Callable[..., Case],
    make_manager: Callable[..., EventManager],
    plain: PlainClient,
    monkeypatch: pytest.MonkeyPatch,
):
    """5 MB: sent, retried by a copy, dead-lettered, with headers that are no ASCII."""
    monkeypatch.setattr(_failing, "HOLD_LIMIT", 0.0)
    text = 'Ω≈ç√ 🎉 \x00\x1f"\\ ' * 250_000
    headers = {"größe": "5 MB, Ω🎉", "empty": ""}
    body = json.dumps({"text": text}, ensure_ascii=False, separators=(",", ":")).encode()
    assert len(body) > 5_000_000
    case = make_case(fail, retry=Retry(max_attempts=2, initial=0.1))
    manager = make_manager(case.listener)
    manager.start()
    manager.send_event(case.event_type(text), headers=headers)
    assert [case.run()[0] for _ in range(2)] == [case.event_type(text)] * 2
    letter = plain.take_dead(case.queue)
    assert json.loads(bytes(letter.body)) == {"text": text}
    assert {key: letter.properties[key] for key in headers} == headers


def test_durable_events_wait_for_their_listener(
    make_case: Callable[..., Case], make_manager: Callable[..., EventManager], plain: PlainClient
):
    case = make_case()
    with make_manager(case.listener):
        pass
    sender = make_manager()
    for text in "abc":
        sender.send_event(case.event_type(text))
    assert plain.count(case.queue) == 3
    make_manager(case.listener).start()
    assert [case.run()[0].text for _ in range(3)] == ["a", "b", "c"]


def test_the_queue_of_a_server_that_is_gone(
    make_case: Callable[..., Case], make_manager: Callable[..., EventManager], plain: PlainClient
):
    case = make_case(per_process=True)
    with make_manager(case.listener, server_name="gone"):
        pass
    queue = plain.queue(f"{case.queue}-gone")
    assert queue
    names = ("address", "durable", "autoDelete", "maxConsumers", "consumerCount")
    assert [queue[name] for name in names] == [case.event_name, "true", "true", "1", "0"]
    # It is there for a while, and takes what is sent.
    make_manager().send_event(case.event_type("a"))
    with make_manager(case.listener, server_name="gone"):
        assert case.run()[0].text == "a"
    assert plain.queue(f"{case.queue}.dead") is None
