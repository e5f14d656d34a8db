"""RabbitMQ: users who lack a right, server names, TLS, wrong settings, and load."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from eventing_core import EventManager, Retry, errors
from eventing_core.provider import Destination, SubscriptionState
from eventing_stomp import StompProvider
from examples.artemis import Artemis
from tests.support.bench import Bench, accepting, failure_of, opened
from tests.support.proxy import Proxy
from tests.support.rabbitmq import RabbitMQ, User
from tests.support.tls import Authority
from tests.support.waiting import until
from tests.support.workers import event_named, listener_of

TIMEOUT = 30.0
INACTIVE = SubscriptionState.INACTIVE

#: What is refused is refused within this time, in seconds: nobody waits for a deadline.
SOON = 10.0

#: All but names that begin so.
NOT_CLOSED = r"^(?!Closed)"

#: Users, by what each lacks.
USERS = {
    "queue-configure": User(name="queue-configure", configure=NOT_CLOSED),
    "queue-write": User(name="queue-write", write=NOT_CLOSED),
    "queue-read": User(name="queue-read", read=NOT_CLOSED),
    "topic-read": User(name="topic-read", topics=(".*", NOT_CLOSED)),
    "topic-write": User(name="topic-write", topics=(NOT_CLOSED, ".*")),
    "exchange-read": User(name="exchange-read", read=r"^(?!amq\.topic$)"),
    "exchange-write": User(name="exchange-write", write=r"^(?!amq\.topic$)"),
    "acks-configure": User(name="acks-configure", configure=r"^(?!eventing\.acks)"),
    "acks-read": User(name="acks-read", read=r"^(?!eventing\.acks)"),
    "dead-configure": User(name="dead-configure", configure=r"^(?!Closed.*\.dead$)"),
    "dead-write": User(name="dead-write", write=r"^(?!amq\.default$)"),
    # Has the rights that the README of eventing-stomp lists, and no other.
    "documented": User(
        name="documented",
        configure=r"^(Own.*|eventing\.acks\..*)$",
        write=r"^(Own.*|amq\.topic|amq\.default)$",
        read=r"^(Own.*|eventing\.acks\..*|amq\.topic)$",
    ),
}


@pytest.fixture(scope="module")
def narrow(rabbitmq: RabbitMQ) -> RabbitMQ:
    """The broker of all tests, with the users."""
    rabbitmq.define(*USERS.values())
    return rabbitmq


@pytest.fixture(autouse=True)
def stomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "kind", "stomp")


@pytest.fixture
def bench_of(narrow: RabbitMQ, unique: Callable[[str], str]) -> Iterator[Callable[..., Bench]]:
    """``bench_of(user, **settings)``: open as that user; closed after the test."""
    with ExitStack() as stack:

        def make(user: str = "", **settings: Any) -> Bench:
            who = {"user": user, "password": USERS[user].password} if user else {}
            return stack.enter_context(opened(narrow, unique("r"), broker="rabbitmq", **who, **settings))

        yield make


def provider_on(broker: RabbitMQ, server_name: str = "server", /, **settings: Any) -> StompProvider:
    place = {"host": broker.host, "port": broker.port, "user": broker.user, "password": broker.password}
    quick = {"backoff_initial": 0.05, "backoff_max": 0.3}
    return StompProvider(server_name, **{"broker": "rabbitmq", **place, **quick, **settings})


@pytest.fixture
def manager_on(narrow: RabbitMQ) -> Iterator[Callable[..., EventManager]]:
    """``manager_on(*listeners, server_name="server", user="", **settings)``; stopped after the test."""
    with ExitStack() as stack:

        def make(*listeners: Any, server_name: str = "server", user: str = "", **settings: Any) -> EventManager:
            who = {"user": user, "password": USERS[user].password} if user else {}
            provider = provider_on(narrow, server_name, **who, **settings)
            manager = EventManager(provider, listeners=listeners, pipelines=[])
            stack.callback(manager.stop)
            return manager

        yield make


def queue_of(event: str, listener: str = "Listener") -> Destination:
    return Destination(event, listener, kind="queue", durable=True)


def topic_of(event: str) -> Destination:
    return Destination(event, durable=True)


def connections(bench: Bench) -> int:
    return sum(connected for connected, _ in bench.connected.items())


# -- rights -----------------------------------------------------------------------------------------------------------

#: By the user: what the error of its listener names.
LISTENERS = {
    "queue-configure": "queue '{closed}::Listener'",
    "queue-write": "queue '{closed}::Listener'",
    "queue-read": "queue '{closed}::Listener'",
    "topic-read": "topic '{closed}' in exchange 'amq.topic'",
    "exchange-read": "exchange 'amq.topic'",
    "acks-configure": "queue 'eventing.acks.",
    "acks-read": "queue 'eventing.acks.",
}


@pytest.mark.parametrize("user", [user for user in LISTENERS if user.startswith(("queue", "topic"))])
def test_a_listener_without_a_right_fails_alone(
    bench_of: Callable[..., Bench], unique: Callable[[str], str], user: str
):
    bench = bench_of(user)
    closed, first, second = unique("Closed"), unique("Open"), unique("Other")
    before = accepting(bench.listen_active(queue_of(first), window=10))
    began = time.monotonic()
    refused = bench.listen(queue_of(closed), window=10)
    after = bench.listen(queue_of(second), window=10)
    error = failure_of(refused)
    assert time.monotonic() - began < SOON
    assert type(error) is errors.SubscriptionError
    assert LISTENERS[user].format(closed=closed) in str(error)
    after.wait_active()
    # Who sends the same event goes on, too.
    for event in (closed, first, second):
        bench.put("a", to=topic_of(event))
    before.wait(1)
    accepting(after).wait(1)
    # It was refused once, and is not tried again.
    assert connections(bench) == 2
    assert len(refused.states.items()) == 1


@pytest.mark.parametrize("user", [user for user in LISTENERS if user.startswith(("exchange", "acks"))])
def test_without_a_right_that_all_listeners_need_each_of_them_fails(
    bench_of: Callable[..., Bench], unique: Callable[[str], str], user: str
):
    bench = bench_of(user)
    names = [unique(name) for name in ("One", "Two", "Three")]
    for recorder in [bench.listen(queue_of(name)) for name in names]:
        error = failure_of(recorder)
        assert type(error) is errors.SubscriptionError
        assert LISTENERS[user] in str(error)
    for name in names:
        bench.put("a", to=topic_of(name))
    assert connections(bench) <= 1 + len(names)


@pytest.mark.parametrize("user", LISTENERS)
def test_a_manager_whose_listener_lacks_a_right_does_not_start(
    manager_on: Callable[..., EventManager], unique: Callable[[str], str], user: str
):
    closed = unique("Closed")
    good = listener_of(event_named(unique("Open")), "Listener", abs)
    manager = manager_on(good, listener_of(event_named(closed), "Listener", abs), user=user)
    began = time.monotonic()
    with pytest.raises(errors.SubscriptionError) as caught:
        manager.start()
    assert time.monotonic() - began < SOON
    assert LISTENERS[user].format(closed=closed) in str(caught.value)
    assert "ACCESS_REFUSED" in str(caught.value)


def test_sends_without_the_right_to_their_key_fail_alone(bench_of: Callable[..., Bench], unique: Callable[[str], str]):
    bench = bench_of("topic-write")
    closed, other = unique("Closed"), unique("Open")
    listening = [accepting(bench.listen_active(queue_of(name), window=10)) for name in (closed, other)]
    began = time.monotonic()
    refused = bench.send(*"abc", to=topic_of(closed))
    confirmed = bench.send(*"abc", to=topic_of(other))
    for _, error in refused.wait(3):
        assert isinstance(error, errors.SendRejectedError)
        assert f"topic '{closed}' in exchange 'amq.topic'" in str(error)
        assert not error.in_doubt
    assert [error for _, error in confirmed.wait(3)] == [None] * 3
    assert time.monotonic() - began < SOON
    listening[1].wait(3)
    # The listener of the event that can't be sent goes on.
    bench_of().put("d", to=topic_of(closed))
    listening[0].wait(1)
    assert listening[0].bodies() == ["d"]


def test_many_sends_without_the_right_to_their_key_end_soon_and_others_go_on(
    bench_of: Callable[..., Bench], unique: Callable[[str], str]
):
    bench = bench_of("topic-write")
    closed, other = unique("Closed"), unique("Open")
    neighbour = accepting(bench.listen_active(queue_of(other), window=10))
    for _ in range(3):
        began = time.monotonic()
        refused = bench.send(*map(str, range(2_000)), to=topic_of(closed))
        confirmed = bench.send("a", to=topic_of(other))
        assert all(isinstance(error, errors.SendRejectedError) for _, error in refused.wait(2_000))
        assert confirmed.wait(1)[0][1] is None
        assert time.monotonic() - began < SOON
    neighbour.wait(3)
    assert connections(bench) <= 1 + 3 * 2


def test_sends_without_the_right_to_the_exchange_fail_and_listeners_go_on(
    bench_of: Callable[..., Bench], unique: Callable[[str], str]
):
    bench = bench_of("exchange-write")
    names = unique("One"), unique("Two")
    listening = [accepting(bench.listen_active(queue_of(name), window=10)) for name in names]
    for name in names:
        ((_, error),) = bench.send("a", to=topic_of(name)).wait(1)
        assert isinstance(error, errors.SendRejectedError)
        assert "exchange 'amq.topic'" in str(error)
    other = bench_of()
    for name, recorder in zip(names, listening, strict=True):
        other.put("b", to=topic_of(name))
        recorder.wait(1)
        assert recorder.bodies() == ["b"]


def test_a_send_whose_confirmation_is_late_is_in_doubt_where_a_listener_of_its_event_is_refused(
    narrow: RabbitMQ, bench_of: Callable[..., Bench], unique: Callable[[str], str]
):
    closed = unique("Closed")
    reader = accepting(bench_of().listen_active(queue_of(closed), window=10))
    with Proxy(narrow.port) as proxy:
        bench = bench_of("topic-read", port=proxy.port)
        bench.put("a", to=topic_of(closed))
        proxy.hold_confirmations()
        done = bench.send("b", to=topic_of(closed))
        proxy.wait_until_held(1)
        # The broker names the key, and not what it was wanted for.
        refused = bench.listen(queue_of(closed))
        ((_, error),) = done.wait(1)
        proxy.release_confirmations()
        assert error is None or (isinstance(error, errors.SendRejectedError) and error.in_doubt)
        assert type(failure_of(refused)) is errors.SubscriptionError
    reader.wait(2)


@pytest.mark.parametrize(
    ("user", "names"), [("dead-configure", "queue '{closed}::Listener.dead'"), ("dead-write", "exchange 'amq.default'")]
)
def test_an_event_whose_dead_letter_can_not_be_stored_is_kept(
    narrow: RabbitMQ, manager_on: Callable[..., EventManager], unique: Callable[[str], str], user: str, names: str
):
    closed, other = event_named(unique("Closed")), event_named(unique("Open"))
    handled: list[int] = []

    def fail(_: int) -> None:
        raise ValueError("no")

    # It is given back after each refusal.
    refused = listener_of(closed, "Listener", fail, retry=Retry(max_attempts=1))
    manager = manager_on(refused, listener_of(other, "Listener", handled.append), user=user)
    manager.start()
    manager.send_event(closed(number=1))

    def error() -> str:
        return manager.health().listeners[0].error

    until(lambda: bool(error()), "the listener says so")
    assert names.format(closed=unique("Closed")) in error()
    for number in range(3):
        manager.send_event(other(number=number))
    until(lambda: len(handled) >= 3, "the other listener goes on")
    dead = Destination(unique("Closed"), "Listener", kind="dead", durable=True)
    with opened(narrow, "reader", broker="rabbitmq") as bench:
        letters = bench.listen_active(dead, window=10)
        assert letters.bodies() == []
        narrow.define(User(name=user))
        letters.wait(1)
        assert "1" in letters.bodies()[0]
    narrow.define(USERS[user])


def test_the_rights_that_are_documented_are_enough(
    narrow: RabbitMQ, manager_on: Callable[..., EventManager], unique: Callable[[str], str]
):
    event_type = event_named(unique("Own"))
    handled: list[int] = []

    def on(number: int) -> None:
        handled.append(number)
        if number == 1:
            raise ValueError("no")

    listeners = [
        listener_of(event_type, "Competing", on, retry=Retry(max_attempts=1)),
        listener_of(event_type, "Each", handled.append, per_process=True),
    ]
    manager = manager_on(*listeners, user="documented")
    manager.start()
    manager.send_events([event_type(number=number) for number in range(3)])
    until(lambda: len(handled) == 6, "all is handled")
    with opened(narrow, "reader", broker="rabbitmq") as bench:
        bench.listen_active(Destination(unique("Own"), "Competing", kind="dead", durable=True), window=10).wait(1)
    assert manager.health().provider.generation == 1


# -- server names -----------------------------------------------------------------------------------------------------


def test_a_server_name_in_use(manager_on: Callable[..., EventManager], unique: Callable[[str], str]):
    event_type = event_named(unique("Cached"))
    handled: dict[str, list[int]] = {"first": [], "third": []}

    def listener(on: Callable[[int], object]) -> Any:
        return listener_of(event_type, "Listener", on, per_process=True)

    first = manager_on(listener(handled["first"].append), server_name="same")
    first.start()
    second = manager_on(listener(abs), server_name="same", server_name_timeout=1.5)
    began = time.monotonic()
    with pytest.raises(errors.ServerNameInUseError, match="'same'"):
        second.start()
    assert 1.5 <= time.monotonic() - began < SOON
    first.send_event(event_type(number=1))
    until(lambda: handled["first"] == [1], "the first goes on")
    assert first.health().provider.generation == 1
    # A predecessor that goes in time is waited for.
    third = manager_on(listener(handled["third"].append), server_name="same", server_name_timeout=TIMEOUT)
    starting = threading.Thread(target=third.start)
    starting.start()
    until(lambda: third.health().provider.generation > 1, "it is refused once")
    first.stop()
    starting.join(TIMEOUT)
    assert not starting.is_alive()
    third.send_event(event_type(number=2))
    until(lambda: handled["third"] == [2], "the third has taken over")
    other = manager_on(listener(abs), server_name="other")
    other.start()


def test_of_two_that_start_at_once_one_has_the_name(bench_of: Callable[..., Bench], unique: Callable[[str], str]):
    benches = [bench_of(server_name_timeout=0) for _ in range(2)]
    for number in range(20):
        queue = Destination(unique(f"Raced{number}"), "Listener", "same", "queue", durable=True)
        recorders = [bench.listen(queue, window=10) for bench in benches]
        outcomes = [
            recorder.states.until(lambda states: bool(states) and states[-1][0] is not INACTIVE, "it is told")[-1][2]
            for recorder in recorders
        ]
        assert sorted(type(outcome) is errors.ServerNameInUseError for outcome in outcomes) == [False, True], outcomes
        assert None in outcomes


def test_a_server_takes_over_from_a_half_open_predecessor(
    narrow: RabbitMQ, manager_on: Callable[..., EventManager], unique: Callable[[str], str]
):
    event_type = event_named(unique("Cached"))
    began, release = threading.Event(), threading.Event()
    handled: list[int] = []

    def block(_: int) -> None:
        began.set()
        release.wait(TIMEOUT)

    with Proxy(narrow.port) as proxy:
        first = manager_on(
            listener_of(event_type, "Listener", block, per_process=True),
            server_name="same",
            port=proxy.port,
            heartbeat=0.5,
            server_name_timeout=0.5,
        )
        first.start()
        first.send_event(event_type(number=1))
        assert began.wait(TIMEOUT)
        proxy.silence()
        second = manager_on(
            listener_of(event_type, "Listener", handled.append, per_process=True),
            server_name="same",
            server_name_timeout=TIMEOUT,
        )
        second.start()
        until(lambda: handled == [1], "what the first had out is delivered again")
        release.set()
        # When the first comes back, the name is taken.
        proxy.speak()
        until(lambda: "server_name" in first.health().listeners[0].error, lambda: str(first.health()))
        second.stop()
        until(lambda: first.health().consuming, "it is free again")


def test_a_server_can_have_its_queue_again(bench_of: Callable[..., Bench], unique: Callable[[str], str]):
    # Even where it waits for no predecessor.
    bench = bench_of(server_name_timeout=0)
    queue = Destination(unique("Cached"), "Listener", "server", "queue", durable=True)
    for number in range(3):
        recorder = accepting(bench.listen_active(queue, window=10))
        bench.put(str(number), to=topic_of(queue.topic))
        recorder.wait(1)
        assert recorder.bodies() == [str(number)]
        recorder.handle.close().result(TIMEOUT)


# -- settings ---------------------------------------------------------------------------------------------------------


def refusal(provider: StompProvider, kind: type[errors.BrokerConnectionError]) -> str:
    """Open what can't be opened."""
    began = time.monotonic()
    with pytest.raises(errors.BrokerConnectionError) as caught:
        provider.open(lambda *_: None)
    provider.close(5)
    assert time.monotonic() - began < SOON
    assert type(caught.value) is kind
    return str(caught.value)


def test_tls(rabbitmq: RabbitMQ, authority: Authority, unique: Callable[[str], str]):
    settings = {"broker": "rabbitmq", "port": rabbitmq.tls_port, "tls": True, "ca_file": authority.certificate}
    with opened(rabbitmq, unique("tls"), **settings) as bench:
        recorder = bench.listen_active(window=1000)
        # Beyond one TLS record, one read and one frame.
        large = "x" * 3_000_000
        bench.put(*map(str, range(500)), large)
        recorder.wait(501)
        assert recorder.bodies() == [*map(str, range(500)), large]


def test_tls_that_can_not_be_trusted(rabbitmq: RabbitMQ, authority: Authority, tmp_path: Path):
    tls: dict[str, Any] = {"port": rabbitmq.tls_port, "tls": True}
    other = Authority(tmp_path / "other").create()
    for ca_file in (None, other.certificate):
        assert "certificate" in refusal(provider_on(rabbitmq, ca_file=ca_file, **tls), errors.TlsError)
    named = {**tls, "host": "localhost", "ca_file": authority.certificate}
    assert "localhost" in refusal(provider_on(rabbitmq, **named), errors.TlsError)
    provider = provider_on(rabbitmq, **named, verify_host_name=False)
    provider.open(lambda *_: None)
    provider.close(5)
    plain = refusal(provider_on(rabbitmq, port=rabbitmq.tls_port), errors.ProtocolMismatchError)
    assert "tls = true" in plain
    refusal(provider_on(rabbitmq, tls=True), errors.TlsError)


def test_a_wrong_password(rabbitmq: RabbitMQ):
    for who in ({"password": "wrong-one"}, {"user": "nobody"}):
        text = refusal(provider_on(rabbitmq, **who), errors.AuthenticationError)
        assert "user or password" in text
        assert "wrong-one" not in text
    assert "set user" in refusal(provider_on(rabbitmq, user="", password=""), errors.AuthenticationError)


def test_a_wrong_virtual_host(rabbitmq: RabbitMQ):
    text = refusal(provider_on(rabbitmq, virtual_host="/other"), errors.BrokerConnectionError)
    assert "set virtual_host" in text
    assert "/other" in text


def test_a_broker_that_is_another_one_than_was_set(rabbitmq: RabbitMQ, artemis: Artemis):
    text = refusal(provider_on(rabbitmq, broker="artemis"), errors.BrokerConnectionError)
    assert 'set broker = "rabbitmq"' in text
    text = refusal(provider_on(rabbitmq, broker="artemis", virtual_host="/"), errors.UnsupportedBrokerError)
    assert "RabbitMQ" in text
    assert 'set broker = "rabbitmq"' in text
    there = {"port": artemis.port, "user": artemis.user, "password": artemis.password}
    text = refusal(provider_on(rabbitmq, **there), errors.UnsupportedBrokerError)
    assert "ActiveMQ-Artemis" in text
    assert 'set broker = "artemis"' in text


def test_a_member_expiry_that_has_changed(bench_of: Callable[..., Bench], unique: Callable[[str], str]):
    queue = Destination(unique("Cached"), "Listener", "server", "queue", durable=True)
    first = bench_of(member_expiry=3600)
    first.listen_active(queue, window=10).handle.close().result(TIMEOUT)
    second = bench_of(member_expiry=7200)
    other = second.listen_active(queue_of(unique("Open")), window=10)
    error = failure_of(second.listen(queue))
    assert type(error) is errors.SubscriptionError
    for part in (f"'{queue.topic}::Listener-server'", "member_expiry", "delete"):
        assert part in str(error)
    second.put("a", to=topic_of(unique("Open")))
    other.wait(1)
    # As before it goes on, with what was sent meanwhile.
    first.put("a", to=topic_of(queue.topic))
    first.listen_active(queue, window=10).wait(1)


# -- load -------------------------------------------------------------------------------------------------------------


def test_a_window_that_grows_one_by_one_is_filled_each_time(
    bench_of: Callable[..., Bench], unique: Callable[[str], str]
):
    bench = bench_of()
    recorder = bench.listen_active(queue_of(unique("Growing")), window=8)
    bench.put(*map(str, range(60)), to=topic_of(unique("Growing")))
    # As a listener's window does with each delivery that waits for its retry.
    for size in range(8, 50):
        recorder.handle.window(size)
        recorder.wait(size)
    assert recorder.bodies() == list(map(str, range(49)))


def test_all_workers_are_busy_while_retries_wait(manager_on: Callable[..., EventManager], unique: Callable[[str], str]):
    event_type = event_named(unique("Held"))
    together, met = threading.Barrier(8), []

    def on(number: int) -> None:
        if number < 20:
            raise ValueError("later")
        together.wait(TIMEOUT)
        met.append(number)

    # They wait here, since RabbitMQ can't delay.
    late = Retry(max_attempts=2, initial=600, max_delay=600, pause_after=0)
    manager = manager_on(listener_of(event_type, "Listener", on, concurrency=8, retry=late))
    manager.start()
    manager.send_events([event_type(number=number) for number in range(20)])
    until(lambda: manager.health().listeners[0].held == 20, lambda: str(manager.health()), 8)
    manager.send_events([event_type(number=number) for number in range(20, 36)])
    until(lambda: len(met) == 16, lambda: f"eight at once, twice: {met}")


def test_competing_managers_handle_each_event_once(
    manager_on: Callable[..., EventManager], unique: Callable[[str], str]
):
    event_type, count = event_named(unique("Many")), 10_000
    handled: dict[str, list[int]] = {"one": [], "two": []}
    managers = [
        manager_on(listener_of(event_type, "Listener", handled[name].append, concurrency=2), server_name=name)
        for name in handled
    ]
    for manager in managers:
        manager.start()
    managers[0].send_events((event_type(number=number) for number in range(count)), timeout=TIMEOUT)
    until(lambda: sum(map(len, handled.values())) >= count, lambda: str({key: len(handled[key]) for key in handled}))
    for manager in managers:
        manager.stop()
    assert sorted(handled["one"] + handled["two"]) == list(range(count))
    assert all(handled.values())
