"""What the log says of a connection and of a queue: each change once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pytest

from eventing_core import EventManager
from eventing_core.errors import (
    AuthenticationError,
    BrokerConnectionError,
    QueueNameConflictError,
    SubscriptionError,
)
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.provider import Destination, Subscription, SubscriptionState
from eventing_core.provider.sockets import _consumer
from eventing_core.provider.sockets._connecting import Connector
from tests.support.lines import Consumer, Line, Mute, Nothing, Peer, Told
from tests.support.waiting import until

Attach = Callable[[Consumer, Mute, Nothing], None]


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def line(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(_consumer, "_RETRY", (0.01, 0.01))
    monkeypatch.setattr(_consumer, "_KNOCK", 0.01)
    made = Line(peer.config, "line")
    made.open(lambda *_: None)
    yield made
    made.close(1)


def subscribed(line: Line, member: str = "") -> tuple[Consumer, Told]:
    told = Told()
    consumer = line.subscribe(Subscription(destination=Destination("Event", "Listener", member, "queue")), told)
    assert isinstance(consumer, Consumer)
    return consumer, told


def records(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[tuple[str, str]]:
    """What is logged from that level on, by level."""
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.levelno >= level]


def refusing(error: Exception, times: int) -> tuple[list[float], Attach]:
    """Cannot be attached to, so many times."""
    tries: list[float] = []

    def attach_now(self: Consumer, generation: Mute, session: Nothing) -> None:
        tries.append(time.monotonic())
        if len(tries) > times:
            self.attached()
        else:
            assert isinstance(error, SubscriptionError)
            self.refused(error)

    return tries, attach_now


@pytest.mark.parametrize("kind", [SubscriptionError, QueueNameConflictError])
def test_a_queue_that_can_not_be_had_again_is_said_once_and_so_is_its_return(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: type[SubscriptionError]
) -> None:
    consumer, told = subscribed(line)
    until(lambda: told.states == [SubscriptionState.ACTIVE], "the subscription", 5)
    tries, attach_now = refusing(kind("the queue has a filter. Delete it."), 5)
    monkeypatch.setattr(Consumer, "attach_now", attach_now)
    line.loop.post(consumer.detached, SubscriptionError("the queue was deleted"))
    until(lambda: told.states[-1] is SubscriptionState.ACTIVE and len(tries) == 6, "it is back", 5)
    until(lambda: "consuming again" in caplog.text, "it is said", 5)
    assert records(caplog) == [
        ("WARNING", "Event::Listener: interrupted: the queue was deleted; attaching again"),
        # A final one is told as a failure, once, and the dispatcher logs that.
        *(
            [("ERROR", "Event::Listener: not consuming: the queue has a filter. Delete it.; trying again")]
            if kind is SubscriptionError
            else []
        ),
        ("INFO", "Event::Listener: consuming again"),
    ]
    assert told.states.count(SubscriptionState.FAILED) == (kind is QueueNameConflictError)


def test_a_second_trouble_is_said_again(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    consumer, told = subscribed(line)
    for number in range(1, 3):
        line.loop.post(consumer.detached, SubscriptionError(f"trouble {number}"))
        until(lambda: caplog.text.count("consuming again") == number, "it is back", 5)  # noqa: B023 (awaited here)
    assert [level for level, _ in records(caplog)] == ["WARNING", "INFO"] * 2
    assert told.states[-1] is SubscriptionState.ACTIVE


def test_waiting_for_a_queue_of_the_same_server_name_is_said_at_once(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []

    def attach_now(self: Consumer, generation: Mute, session: Nothing) -> None:
        tries.append(1)
        if len(tries) > 5:
            self.attached()
        else:
            self.in_use("Listener-web-1")

    monkeypatch.setattr(Consumer, "attach_now", attach_now)
    _, told = subscribed(line, "web-1")
    until(lambda: told.states == [SubscriptionState.ACTIVE], "the subscription", 5)
    until(lambda: "Event::Listener-web-1: consuming" in caplog.text, "it is said", 5)
    (level, text), recovery = records(caplog)
    assert level == "WARNING"
    assert recovery == ("INFO", "Event::Listener-web-1: consuming")
    for part in ("Event::Listener-web-1: waits up to 65 s", "'web-1'", "give each its own server_name"):
        assert part in text


def test_one_that_never_gets_it_fails_with_what_to_set(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(line, "config", line.config.model_copy(update={"server_name_timeout": 0.0}))
    monkeypatch.setattr(Consumer, "attach_now", lambda self, *_: self.in_use("Listener-web-1"))
    _, told = subscribed(line, "web-1")
    until(lambda: told.states == [SubscriptionState.FAILED], "the subscription", 5)
    # There was nothing to wait for.
    assert records(caplog) == []


@pytest.mark.parametrize(
    ("error", "aloud"), [(AuthenticationError, 1), (BrokerConnectionError, 0)], ids=["lasting", "passing"]
)
def test_why_a_connection_can_not_be_had_again(
    peer: Peer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BrokerConnectionError],
    aloud: int,
) -> None:
    generations: list[bool] = []
    made = Line(peer.config, "line")
    made.open(lambda connected, _: generations.append(connected))
    monkeypatch.setattr(Connector, "_connect", failing(error, 4, Connector._connect))
    try:
        until(lambda: bool(peer.taken), "the peer has it", 5)
        peer.taken[0].close()
        until(lambda: generations == [True, False, True], "it is back", 10)
    finally:
        made.close(1)
    told = records(caplog)
    assert len(told) == aloud
    if aloud:
        level, text = told[0]
        assert level == "ERROR"
        assert "refused; trying again, until the broker or the settings are changed" in text
    assert caplog.text.count("trying again") == 4


def failing(error: type[Exception], times: int, then: Callable[..., object]) -> Callable[..., object]:
    left = [error("127.0.0.1:1: refused")] * times

    def call(*arguments: object) -> object:
        if left:
            raise left.pop()
        return then(*arguments)

    return call


def test_a_manager_says_each_loss_and_each_return_once(caplog: pytest.LogCaptureFixture) -> None:
    broker = MemoryBroker()
    with EventManager(MemoryProvider("server", broker), listeners=[], pipelines=[]):
        for _ in range(2):
            before = caplog.text.count("connected again")
            broker.restart()
            until(lambda: caplog.text.count("connected again") > before, "it is back", 5)  # noqa: B023 (awaited here)
    told = [(level, text) for level, text in records(caplog) if "connect" in text]
    assert told[0] == ("INFO", "memory: connected")
    assert [level for level, _ in told[1:]] == ["WARNING", "INFO"] * 2
    assert all("connection lost" in text and text.endswith("; reconnecting") for _, text in told[1::2])
    assert {text for _, text in told[2::2]} == {"memory: connected again"}
