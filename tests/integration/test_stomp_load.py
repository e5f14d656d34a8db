"""Large messages and slow peers over STOMP, with TLS and without: what is held is bounded, and nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eventing_core import EventManager, SendEventsError
from eventing_core.errors import SendRejectedError
from eventing_core.provider import Message
from eventing_core.testing import Recorder
from eventing_stomp import StompProvider
from examples.artemis import Artemis
from tests.support.bench import Bench, accepting, opened
from tests.support.plain import PlainClient
from tests.support.proxy import Proxy
from tests.support.tls import Authority
from tests.support.waiting import until
from tests.support.workers import event_named, listener_of

pytestmark = pytest.mark.usefixtures("stomp")

TIMEOUT = 60.0


@pytest.fixture
def stomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "kind", "stomp")


@contextmanager
def two(artemis: Artemis, name: str, **settings: Any) -> Iterator[tuple[Bench, Bench]]:
    """Two processes' providers on one queue; the settings are those of the first."""
    with opened(artemis, name, **settings) as first, opened(artemis, name) as second:
        yield first, second


# -- what a listener holds --------------------------------------------------------------------------------------------

LARGE = "x" * 100_000


@pytest.mark.parametrize("limit", [1_000_000, 3_000_000])
def test_a_listener_holds_no_more_bytes_than_it_may(artemis: Artemis, unique: Callable[[str], str], limit: int):
    count = 200
    with two(artemis, unique("bytes"), prefetch_bytes=limit) as (first, second):
        # It may have as many as there are, and settles none of them.
        holding = first.listen_active(window=500)
        first.put(*[f"{number:03d}{LARGE}" for number in range(count)])
        # What a window of two or more asks for is one message beyond the limit, at most.
        most = limit // len(LARGE) + 1
        holding.wait(most // 2)
        rest = accepting(second.listen_active(window=10))
        rest.wait(count - most, "what one can't hold, the other gets")
        held = len(holding.bodies())
        assert most // 2 <= held <= most
        first.provider.close(10)
        rest.wait(count, "what was held goes back")
        assert sorted(body[:3] for body in rest.bodies()) == [f"{number:03d}" for number in range(count)]


@pytest.mark.parametrize("body", ["x", LARGE], ids=["small", "large"])
def test_a_window_of_one_holds_one_message(artemis: Artemis, unique: Callable[[str], str], body: str):
    with two(artemis, unique("one")) as (first, second):
        holding = first.listen_active(window=1)
        first.put(*[f"{number:02d}{body}" for number in range(20)])
        holding.wait(1)
        rest = accepting(second.listen_active(window=10))
        rest.wait(19, "what one can't hold, the other gets")
        assert len(holding.bodies()) == 1


def test_one_large_message_does_not_make_a_listener_hoard_small_ones(artemis: Artemis, unique: Callable[[str], str]):
    small = "y" * 200
    with two(artemis, unique("hoard")) as (first, second):
        recorder = accepting(first.listen_active(window=2))
        total = 0

        def handle(window: int, *bodies: str) -> None:
            nonlocal total
            recorder.handle.window(window)
            first.put(*bodies)
            total += len(bodies)
            recorder.wait(total)

        # As a listener's window grows.
        for window in (2, 8, 64, 500):
            handle(window, *[small] * 50)
        handle(500, "x" * 1_000_000)
        handle(500, *[small] * 20)
        # From now on it settles nothing.
        recorder.react = None
        first.put(*[f"{number:05d}{small}" for number in range(10_000)])
        rest = accepting(second.listen_active(window=500))
        rest.wait(10_000 - 4 * 500, "the other gets nearly all")


# -- what a broker doesn't take ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["topic", "queue", "dead"])
def test_what_is_too_large_for_the_broker_fails_alone(artemis: Artemis, unique: Callable[[str], str], where: str):
    # Artemis takes bodies of any size that fits into its memory; headers have to fit into a record of its journal.
    with opened(artemis, unique("large")) as bench:
        bench.listen_active()
        destination = getattr(bench, where)
        bench.put("before", to=destination)
        done = bench.send("a", "b", to=destination)
        too_large = Message(
            body=b"x", headers={"k": "x" * 1_000_000}, message_id="large", dedup_id="large", durable=True
        )
        bench.provider.producer(destination).send([too_large], done, deadline=float("inf"))
        later = bench.send("c", to=destination)
        errors = [error for _, error in done.wait(3)]
        ((refused),) = [error for error in errors if error is not None]
        assert isinstance(refused, SendRejectedError)
        assert [error for _, error in later.wait(1)] == [None]
        # It was refused at once, and not sent again.
        assert len(bench.connected.items()) <= 3
        bench.put("after", to=destination)


# -- peers that are slow, under TLS and without -----------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def slow(
    secure_artemis: Artemis, authority: Authority, request: pytest.FixtureRequest
) -> Iterator[tuple[Artemis, Proxy, dict[str, Any]]]:
    """A broker, a proxy before it, and the settings to reach it; a broker that doesn't read isn't taken for dead."""
    broker = secure_artemis
    tls = {"tls": True, "ca_file": authority.certificate} if request.param else {}
    with Proxy(broker.tls_port if tls else broker.port) as proxy:
        yield broker, proxy, {"port": proxy.port, "heartbeat": 60, **tls}


def output_of(provider: Any) -> tuple[int, bool]:
    """The bytes that wait for the socket, and whether that takes no more."""
    generation = provider._connection._generation
    return len(generation._outgoing), generation.blocked


def listening_on(broker: Artemis, event_type: Any, name: str, handled: list[int]) -> EventManager:
    """A listener that is connected to the broker itself."""
    provider = StompProvider("reader", broker.host, broker.port, broker.user, broker.password)
    return EventManager(provider, listeners=[listener_of(event_type, name, handled.append)], pipelines=[])


@contextmanager
def writing(broker: Artemis, event_type: Any, settings: dict[str, Any]) -> Iterator[tuple[EventManager, StompProvider]]:
    provider = StompProvider("writer", broker.host, user=broker.user, password=broker.password, **settings)
    with EventManager(provider, listeners=[], pipelines=[]) as manager:
        manager.send_event(event_type(number=-1))
        yield manager, provider


@pytest.mark.timeout(180)
def test_a_producer_that_outruns_a_slow_broker_waits(
    slow: tuple[Artemis, Proxy, dict[str, Any]], unique: Callable[[str], str]
):
    broker, proxy, settings = slow
    event_type = event_named(unique("Outrun"))
    count, padding = 4_500, "x" * 20_000
    handled: list[int] = []
    taken = 0

    def events() -> Iterator[Any]:
        nonlocal taken
        for number in range(count):
            taken += 1
            yield event_type(number=number)

    listening = listening_on(broker, event_type, unique("Listener"), handled)
    with listening, writing(broker, event_type, settings) as (manager, provider):
        proxy.silence("to_server")
        sending = threading.Thread(
            target=lambda: manager.send_events(events(), headers={"padding": padding}, timeout=120)
        )
        sending.start()
        # Some 90 MB are to be sent.
        until(lambda: output_of(provider)[1], "the socket takes no more")
        before = 0

        def waits() -> bool:
            nonlocal before
            last, before = before, taken
            threading.Event().wait(0.3)
            return last == taken

        until(waits, "the producer waits")
        output, blocked = output_of(provider)
        assert blocked
        assert output < (1 << 20) + 2 * len(padding)
        assert taken < count
        proxy.speak()
        sending.join(TIMEOUT)
        assert not sending.is_alive()
        until(lambda: len(handled) > count, lambda: f"all is handled: {len(handled)}")
        assert handled == [-1, *range(count)]
        assert output_of(provider) == (0, False)


@pytest.mark.timeout(180)
def test_a_loss_under_load_loses_nothing(slow: tuple[Artemis, Proxy, dict[str, Any]], unique: Callable[[str], str]):
    broker, proxy, settings = slow
    event_type = event_named(unique("Lost"))
    count = 20_000
    handled: list[int] = []
    listening = listening_on(broker, event_type, unique("Listener"), handled)
    with listening, writing(broker, event_type, {**settings, "backoff_initial": 0.05}) as (manager, _):
        failures: list[Exception] = []

        def send() -> None:
            try:
                manager.send_events((event_type(number=number) for number in range(count)), timeout=120)
            except SendEventsError as error:
                failures.append(error)

        sending = threading.Thread(target=send)
        sending.start()
        for share in range(1, 5):
            until(lambda share=share: len(handled) > count * share // 6, "events come")  # type: ignore[misc]
            proxy.reset()
        # Artemis 2.44 sometimes stands still for 10 s after a reset under load: the thread that ends the one connection
        # and the one that has to close its channel wait for each other until then.
        sending.join(TIMEOUT)
        assert not sending.is_alive()
        assert not failures
        until(lambda: len(handled) > count, lambda: f"all is handled: {len(handled)}")
        # Sent again under their old ids, they are stored once.
        assert sorted(handled) == list(range(-1, count))


def test_large_messages_cross_both_ways_at_once(
    slow: tuple[Artemis, Proxy, dict[str, Any]], unique: Callable[[str], str]
):
    broker, _, settings = slow
    with opened(broker, unique("cross"), **settings) as bench:
        recorder: Recorder = accepting(bench.listen_active(window=20))
        bodies = [f"{number:03d}" + "ä" * 500_000 for number in range(40)]
        results = bench.send(*bodies, seconds=TIMEOUT)
        assert [error for _, error in results.wait(40)] == [None] * 40
        recorder.wait(40)
        assert recorder.bodies() == bodies
        with PlainClient(broker) as plain:
            until(lambda: plain.count(bench.queue.group) == 0, "all are accepted")
