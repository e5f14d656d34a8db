"""What becomes of consumers when a connection is lost, on a protocol that says nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from eventing_core.errors import BrokerConnectionError, SubscriptionError
from eventing_core.provider import Destination, Subscription, SubscriptionState
from tests.support.lines import Consumer, Line, Mute, Nothing, Peer, Told
from tests.support.waiting import until

STATES = [SubscriptionState.ACTIVE, SubscriptionState.INACTIVE, SubscriptionState.ACTIVE]


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def line(peer: Peer) -> Iterator[Line]:
    made = Line(peer.config, "line")
    made.open(lambda *_: None)
    until(lambda: bool(peer.taken), "it is accepted", 5)
    yield made
    made.close(1)
    assert not made._thread.is_alive()


@pytest.fixture
def broken_logging() -> Iterator[None]:
    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("the disk is full")

    handler = Full()
    logging.getLogger("eventing.sockets").addHandler(handler)
    yield
    logging.getLogger("eventing.sockets").removeHandler(handler)


def subscribed(line: Line) -> tuple[Consumer, Told]:
    told = Told()
    consumer = line.subscribe(Subscription(destination=Destination("t", "g", kind="queue")), told)
    until(lambda: told.states == STATES[:1], "the subscription", 5)
    assert isinstance(consumer, Consumer)
    return consumer, told


def resting(line: Line, seconds: float) -> Mute:
    """The open connection, which rests for so long from now on."""
    until(lambda: line._generation is not None and line._generation.is_open, "the connection", 5)
    generation = line._generation
    assert generation is not None

    def rest(_: object) -> None:
        generation.tick = lambda: None  # type: ignore[method-assign]
        generation.next_tick = float("inf")
        generation.rests_until = time.monotonic() + seconds

    line.loop.post(rest)
    until(lambda: generation.rests_until > 0, "the rest", 5)
    return generation


def test_what_comes_during_a_rest_is_read_after_it_and_what_is_posted_is_done_at_once(line: Line, peer: Peer) -> None:
    generation = resting(line, 1.0)
    begun = time.monotonic()
    peer.taken[0].send(b"x")
    posted = threading.Event()
    line.loop.post(lambda _: posted.set())
    assert posted.wait(0.5)
    assert time.monotonic() < generation.rests_until
    assert generation.reads == 0
    until(lambda: generation.reads == 1, "the end of the rest", 5)
    assert time.monotonic() >= generation.rests_until - 0.001
    assert time.monotonic() - begun < 3


def test_it_does_not_rest_while_the_socket_takes_nothing(line: Line, peer: Peer) -> None:
    generation = resting(line, 30)
    line.loop.post(lambda _: setattr(generation, "blocked", True))
    peer.taken[0].send(b"x")
    until(lambda: generation.reads > 0, "the read", 5)


def test_a_close_leaves_a_thread_that_starts_meanwhile_to_end_by_itself(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(peer.config, "line")
    dropped_on: list[str] = []
    drop, alive = line._drop, line._thread.is_alive

    def dropped() -> None:
        dropped_on.append(threading.current_thread().name)
        drop()

    def starts_after_the_look() -> bool:
        monkeypatch.setattr(line._thread, "is_alive", alive)
        line.open(lambda *_: None)
        return False

    monkeypatch.setattr(line, "_drop", dropped)
    monkeypatch.setattr(line._thread, "is_alive", starts_after_the_look)
    line.close(1)
    line._thread.join(5)
    assert dropped_on == ["line"]


@pytest.mark.usefixtures("broken_logging")
def test_a_log_line_that_raises_keeps_nobody_from_being_told_of_a_loss(line: Line, peer: Peer) -> None:
    _, told = subscribed(line)
    peer.taken[0].close()
    until(lambda: told.states == STATES, "the next generation", 5)
    assert line.health().connected


@pytest.mark.usefixtures("broken_logging")
def test_a_log_line_that_raises_does_not_end_a_thread_that_had_an_error(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, told = subscribed(line)

    def broken(_: Mute) -> None:
        monkeypatch.undo()
        raise RuntimeError

    monkeypatch.setattr(Mute, "tick", broken)
    until(lambda: told.states == STATES, "the next generation", 5)
    assert line.health().connected


@pytest.mark.usefixtures("broken_logging")
def test_a_log_line_that_raises_keeps_no_consumer_from_attaching_again(line: Line) -> None:
    consumer, told = subscribed(line)
    line.loop.post(consumer.detached, SubscriptionError("the queue was deleted"))
    until(lambda: told.states == STATES, "the next attachment", 5)
    assert line.generation_number == 1


def test_a_refusal_that_ends_the_connection_is_not_met_again_at_once(
    line: Line, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer, told = subscribed(line)
    tries: list[float] = []

    def attach_now(self: Consumer, generation: Mute, session: Nothing) -> None:
        tries.append(time.monotonic())
        if len(tries) == 1:
            # As STOMP has it: whoever is refused loses the connection, too.
            self.in_use("t::g")
            generation.fail(BrokerConnectionError("refused"))
        else:
            self.attached()

    monkeypatch.setattr(Consumer, "attach_now", attach_now)
    peer.taken[0].close()
    until(lambda: told.states[-1] is SubscriptionState.ACTIVE and len(tries) > 1, "it is had again", 5)
    # Meanwhile the connection is there for others.
    assert line.generation_number == 3
    assert tries[1] - tries[0] > 0.5
    assert consumer.subscription.destination.topic == "t"


def test_why_it_can_not_be_had_is_told_beyond_a_loss(line: Line, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, told = subscribed(line)
    monkeypatch.setattr(line, "config", line.config.model_copy(update={"server_name_timeout": 0.0}))

    def attach_now(self: Consumer, generation: Mute, session: Nothing) -> None:
        self.in_use("t::g")
        generation.fail(BrokerConnectionError("refused"))

    monkeypatch.setattr(Consumer, "attach_now", attach_now)
    peer.taken[0].close()
    until(lambda: line.generation_number >= 2 and not line.health().connected, "it is refused")
    until(lambda: line.generation_number >= 3, "the connection is there again")
    active, inactive, failed = SubscriptionState.ACTIVE, SubscriptionState.INACTIVE, SubscriptionState.FAILED
    assert told.states == [active, inactive, failed]
    assert consumer.subscription.destination.topic == "t"
