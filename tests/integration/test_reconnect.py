"""Connections that are lost: everything comes back by itself, and nothing is lost."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sized

import pytest

from eventing_core.errors import BrokerConnectionError, ConnectionLostError, SendTimeoutError
from eventing_core.provider import Outcome, SubscriptionState
from eventing_core.testing import Recorder
from examples.artemis import Artemis
from tests.support.bench import Bench, accepting, opened
from tests.support.proxy import Proxy
from tests.support.streams import Stream

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("kind")]

#: Something is unsettled when a connection breaks: over STOMP Artemis 2.44 may hold it back then (decision 22). The
#: conformance kit has the same, with a restart of the broker.
over_amqp = pytest.mark.parametrize("kind", ["amqp"], indirect=True)

ACTIVE, INACTIVE = SubscriptionState.ACTIVE, SubscriptionState.INACTIVE


def wait_generation(recorder: Recorder, number: int) -> None:
    recorder.states.until(
        lambda states: any(state is ACTIVE and generation >= number for state, generation, _ in states),
        f"generation {number} becomes active",
        60,
    )


@pytest.fixture
def proxied(artemis: Artemis, unique: Callable[[str], str]) -> Iterator[tuple[Bench, Proxy]]:
    with Proxy(artemis.port) as proxy:
        bench = Bench(artemis, unique("p"), port=proxy.port, heartbeat=0.5)
        bench.open()
        yield bench, proxy
        proxy.speak()
        bench.provider.close(5)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_broker_that_goes_and_comes_back(private_artemis: Artemis, how: str, kind: str):
    with opened(private_artemis, "s") as bench:
        recorder = accepting(bench.listen_active(window=100))
        stream = Stream(bench)
        recorder.wait(100)
        getattr(private_artemis, how)()
        bench.connected.until(lambda seen: not seen[-1][0], "the loss is noticed")
        assert not bench.provider.health().connected
        recorder.states.until(lambda states: states[-1][0] is INACTIVE, "the subscription is told")
        error = recorder.states.items()[-1][2]
        assert isinstance(error, BrokerConnectionError)
        private_artemis.start()
        wait_generation(recorder, 2)
        before = len(recorder.deliveries.items())
        recorder.wait(before + 100, "flow resumes")
        stream.stop()
        assert not stream.failed
        recorder.deliveries.until(
            lambda _: set(recorder.bodies()) >= set(stream.confirmed), "all that was confirmed comes"
        )
        # Acceptances in flight are lost with the connection, and only their messages come twice. Over STOMP the broker,
        # whose limit is of bytes, may have sent many more before it carries out an acceptance.
        assert kind == "stomp" or len(recorder.bodies()) - len(set(recorder.bodies())) <= 100
        came = [(delivery.generation, delivery.message().body) for delivery in recorder.deliveries.items()]
        assert len(came) == len(set(came))
        assert bench.provider.health().connected
        assert [connected for connected, _ in bench.connected.items()] == [True, False, True]


@over_amqp
def test_sends_in_doubt_are_sent_again_in_order_and_stored_once(proxied: tuple[Bench, Proxy]):
    bench, proxy = proxied
    recorder = bench.listen_active(window=100)
    bench.put("first")
    proxy.hold_confirmations()
    doubtful = bench.send("a", "b", "c")
    # Stored, and not confirmed.
    recorder.wait(4)
    proxy.wait_until_held(1)
    assert doubtful.errors == []
    proxy.refuse()
    bench.connected.until(lambda seen: not seen[-1][0], "the loss is noticed")
    newer = bench.send("d", "e")
    assert doubtful.errors == newer.errors == []
    proxy.release_confirmations()
    proxy.accept()
    assert sorted(doubtful.wait(3)) == [(0, None), (1, None), (2, None)]
    assert sorted(newer.wait(2)) == [(0, None), (1, None)]
    wait_generation(recorder, 2)
    again = [delivery for delivery in recorder.wait(4 + 6) if delivery.generation == 2]
    assert [delivery.message().body for delivery in again] == [b"first", b"a", b"b", b"c", b"d", b"e"]


@over_amqp
def test_sends_that_did_not_arrive_are_sent_again_in_order(proxied: tuple[Bench, Proxy]):
    bench, proxy = proxied
    recorder = bench.listen_active(window=100)
    bench.put("first")
    recorder.wait(1)
    proxy.silence()
    lost = bench.send("a", "b", "c")
    bench.connected.until(lambda seen: not seen[-1][0], "silence is noticed")
    newer = bench.send("d", "e")
    proxy.refuse()
    proxy.speak()
    proxy.accept()
    assert [error for _, error in lost.wait(3) + newer.wait(2)] == [None] * 5
    again = [delivery for delivery in recorder.wait(1 + 6) if delivery.generation > 1]
    assert [delivery.message().body for delivery in again] == [b"first", b"a", b"b", b"c", b"d", b"e"]


def test_no_send_is_confirmed_before_the_broker_confirms_it(proxied: tuple[Bench, Proxy]):
    bench, proxy = proxied
    recorder = bench.listen_active(window=10)
    bench.put("first")
    proxy.hold_confirmations()
    done = bench.send("a")
    recorder.wait(2)
    proxy.wait_until_held(1)
    assert done.errors == []
    proxy.release_confirmations()
    assert done.wait(1) == [(0, None)]


@over_amqp
def test_settlements_of_an_older_generation_are_dropped(proxied: tuple[Bench, Proxy]):
    bench, proxy = proxied
    recorder = bench.listen_active(window=10)
    bench.put("a", "b")
    old = recorder.wait(2)
    proxy.reset()
    wait_generation(recorder, 2)
    recorder.wait(4)
    recorder.settle(old)
    recorder.settle(old, Outcome.RELEASE)
    bench.put("c")
    new = recorder.wait(5)
    recorder.settle(new[2:])
    recorder.handle.close().result(10)
    again = bench.listen_active(window=10)
    bench.put("d")
    assert [delivery.message().body for delivery in again.wait(1)] == [b"d"]


def test_a_silent_peer_is_noticed(proxied: tuple[Bench, Proxy]):
    bench, proxy = proxied
    recorder = accepting(bench.listen_active(window=10))
    proxy.silence()
    began = time.monotonic()
    bench.connected.until(lambda seen: not seen[-1][0], "silence is noticed")
    # Two heartbeats of 0.5 s, and some time for a busy machine.
    assert time.monotonic() - began < 3
    done = bench.send("a")
    proxy.speak()
    assert done.wait(1) == [(0, None)]
    recorder.wait(1)


@over_amqp
def test_deadlines_hold_without_a_connection(proxied: tuple[Bench, Proxy]):
    bench, proxy = proxied
    bench.listen_active()
    bench.put("first")
    proxy.hold_confirmations()
    doubtful = bench.send("a", seconds=2)
    proxy.wait_until_held(1)
    proxy.refuse()
    bench.connected.until(lambda seen: not seen[-1][0], "the loss is noticed")
    began = time.monotonic()
    unsent = bench.send("b", "c", seconds=0.5)
    errors = [error for _, error in unsent.wait(2)]
    assert 0.4 < time.monotonic() - began < 2
    for error in errors:
        assert isinstance(error, SendTimeoutError)
        assert not error.in_doubt
        assert "refused" in str(error) or "ended" in str(error) or "reset" in str(error).lower()
    [(_, error)] = doubtful.wait(1)
    assert isinstance(error, SendTimeoutError)
    assert error.in_doubt
    # What failed at its deadline is not sent afterwards.
    proxy.release_confirmations()
    proxy.accept()
    bench.put("d")
    recorder = bench.listen_active(window=10)
    recorder.wait(3)
    assert recorder.bodies() == ["first", "a", "d"]


def test_a_late_answer_to_a_send_that_timed_out_is_passed_over(proxied: tuple[Bench, Proxy]):
    bench, proxy = proxied
    bench.listen_active()
    bench.put("first")
    proxy.hold_confirmations()
    late = bench.send("a", seconds=0.3)
    [(_, error)] = late.wait(1)
    assert isinstance(error, SendTimeoutError)
    assert error.in_doubt
    proxy.release_confirmations()
    # Answers come in order: that to the late one was there before.
    bench.put("b")
    assert late.errors == [error]


def test_closing_while_disconnected_fails_what_waits(proxied: tuple[Bench, Proxy]):
    bench, proxy = proxied
    recorder = bench.listen_active()
    bench.put("first")
    proxy.refuse()
    bench.connected.until(lambda seen: not seen[-1][0], "the loss is noticed")
    done = bench.send("a")
    began = time.monotonic()
    bench.provider.close(1.0)
    assert time.monotonic() - began < 2
    [(_, error)] = done.wait(1)
    assert isinstance(error, ConnectionLostError)
    recorder.handle.close().result(1)
    assert not [
        thread.name for thread in threading.enumerate() if thread.name.startswith(("eventing-amqp", "eventing-stomp"))
    ]


def test_closing_waits_for_confirmations(proxied: tuple[Bench, Proxy]):
    bench, proxy = proxied
    bench.listen_active()
    bench.put("first")
    proxy.hold_confirmations()
    done = bench.send("a")
    proxy.wait_until_held(1)
    closing = threading.Thread(target=bench.provider.close, args=(20.0,))
    closing.start()
    end = time.monotonic() + 10
    with contextlib.suppress(ConnectionLostError):
        # Refused from the moment on that closing begins.
        while time.monotonic() < end:
            bench.send("b", seconds=0.01).wait(1)
    with pytest.raises(ConnectionLostError):
        bench.send("c")
    assert done.errors == []
    proxy.release_confirmations()
    assert done.wait(1) == [(0, None)]
    closing.join(10)
    assert not closing.is_alive()


def test_a_connection_that_is_reset_again_and_again(private_artemis: Artemis, kind: str):
    with Proxy(private_artemis.port) as proxy, opened(private_artemis, "s", port=proxy.port, heartbeat=0.5) as bench:
        recorder = accepting(bench.listen_active(window=100))
        stream = Stream(bench)
        # Artemis gives up on a message after ten deliveries; over STOMP it counts what was out on a lost connection.
        for number in range(2, 10):
            wait_generation(recorder, number - 1)
            got = len(recorder.deliveries.items())
            recorder.wait(got + 30, "flow resumes")
            proxy.reset()
        wait_generation(recorder, 9)
        stream.stop()
        assert not stream.failed
        assert len(stream.confirmed) == len(set(stream.confirmed))

        def all_came(deliveries: Sized) -> bool:
            # Bodies are looked at when there are enough: with each delivery it would take all the time there is.
            return len(deliveries) >= len(stream.confirmed) and set(recorder.bodies()) >= set(stream.confirmed)

        try:
            recorder.deliveries.until(all_came, "all that was confirmed comes")
        except AssertionError:
            if kind == "amqp":
                raise
            # Artemis 2.44 can hold some back over STOMP, seldom, until it is restarted: see decision 22.
            assert len(set(stream.confirmed) - set(recorder.bodies())) <= 8
            private_artemis.restart()
            recorder.deliveries.until(all_came, "all that was confirmed comes")


@over_amqp
def test_a_closed_handle_is_harmless_in_every_later_generation(proxied: tuple[Bench, Proxy]):
    bench, proxy = proxied
    recorder = bench.listen_active(window=10)
    bench.put("a", "b")
    old = recorder.wait(2)
    recorder.handle.close().result(10)
    proxy.reset()
    bench.connected.until(lambda seen: len(seen) >= 3 and seen[-1][0], "it is connected again")
    recorder.settle(old, Outcome.RELEASE)
    recorder.settle(old)
    recorder.handle.window(5)
    again = bench.listen_active(window=10)
    assert [delivery.message().body for delivery in again.wait(2)] == [b"a", b"b"]
    bench.provider.close(5)
    again.settle(again.deliveries.items(), Outcome.RELEASE)


def test_what_was_handed_over_before_a_close_is_confirmed(artemis: Artemis, unique: Callable[[str], str]):
    for number in range(5):
        with opened(artemis, unique(f"c{number}")) as bench:
            bench.listen_active()
            bench.put("first")
            done = bench.send(*map(str, range(200)))
            bench.provider.close(10)
            assert [error for _, error in done.wait(200)] == [None] * 200
