"""The circuit breaker: a listener whose dependency is down pauses, and loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from eventing_core import Retry
from eventing_core.provider import Outcome, SubscriptionState
from eventing_core.receive.machine import _circuit_breaker, _probing
from eventing_core.receive.machine._circuit_breaker import CircuitBreaker
from tests.support.dispatching import Bench, Plain, fail
from tests.support.waiting import until

PATIENT = Retry(max_attempts=3, initial=0.01, factor=1, jitter=0)


def opened(events: str, retry: Retry = PATIENT, *, ordered: bool = False) -> list[bool]:
    """What each event does: a small letter fails, a capital one succeeds."""
    circuit = CircuitBreaker(retry.pause_after, ordered=ordered)
    done = []
    for at, each in enumerate(events):
        if each.isupper():
            circuit.succeeded(1, each.lower())
            done.append(False)
        else:
            done.append(circuit.failed(each, again=each in events[:at]))
    return done


def test_it_opens_when_the_last_events_have_failed():
    assert opened("ABabcde").index(True) == 6
    assert not any(opened("abcdE" * 5))
    assert opened("abcdEfghij").index(True) == 9
    assert not any(opened("aBcDeFgHiJkLm"))


def test_nine_of_ten_are_enough():
    ten = Retry(pause_after=10)
    assert opened("abcdEfghij", ten).index(True) == 9
    assert not any(opened("aBcdefGhijkLmnopQr", ten))


def test_one_that_fails_again_tells_nothing_new():
    assert not any(opened("a" * 30))
    assert not any(opened("abcd" * 30))
    # Half of the events fail, and these are tried again when the others are done.
    assert not any(opened("AbCdEfGhIjKl" + "bdfhjl" * 10))


def test_one_that_succeeds_at_last_has_not_failed():
    assert not any(opened("abcdAe"))


def test_an_ordered_listener_needs_fewer():
    assert opened("aaaaabbbbbccccc", ordered=True).index(True) == 10
    assert not any(opened("aaaaabbbbbCddddd", ordered=True))
    assert opened("aabb", Retry(pause_after=2), ordered=True).index(True) == 2


def test_it_can_be_turned_off():
    assert not any(opened("abcdefghijklmnopqrst", Retry(pause_after=0)))


def test_successes_need_not_be_told_when_the_last_failure_is_old():
    circuit = CircuitBreaker(5, ordered=False)
    assert not circuit.watching
    circuit.failed("a", again=False)
    assert circuit.watching
    circuit.succeeded(4)
    assert circuit.watching
    circuit.succeeded(1)
    assert not circuit.watching


def test_rounds_start_after_1_2_4_8_and_then_every_15_seconds():
    circuit = CircuitBreaker(5, ordered=False)
    for _ in range(2):
        circuit.open(100.0)
        waits, probes = [circuit.due - 100.0], []
        for _ in range(10):
            circuit.begin_round(single=False)
            probes.append(circuit.budget)
            circuit.end_round(200.0)
            waits.append(circuit.due - 200.0)
        assert waits == [1, 2, 4, 8, *[15] * 7]
        assert probes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 256]
        circuit.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of probes come soon."""
    monkeypatch.setattr(_circuit_breaker, "_FIRST", 0.01)
    monkeypatch.setattr(_circuit_breaker, "_LONGEST", 0.02)
    monkeypatch.setattr(_probing, "GRACE", 0.01)


class Dependency:
    """What a listener needs."""

    def __init__(self) -> None:
        self.is_up = False
        self.runs: list[int] = []

    def __call__(self, number: int) -> None:
        self.runs.append(number)
        if not self.is_up:
            fail(number)


def broken(it: Bench) -> None:
    """Ten events that fail: it pauses."""
    it.deliver(*[Plain(number) for number in range(10)])
    until(lambda: it.dispatcher.health().paused, "it pauses")


@pytest.mark.usefixtures("quick")
def test_a_paused_listener_dead_letters_nothing_and_goes_on_when_a_probe_returns(bench: Callable[..., Bench]):
    needed = Dependency()
    it = bench(needed, retry=PATIENT, prefetch=64)
    broken(it)
    health = it.dispatcher.health()
    assert not health.consuming
    assert "no " in health.error
    it.broker.wait_for(lambda: 0 in it.broker.windows)
    ran = len(needed.runs)
    until(lambda: len(needed.runs) >= ran + 5, "single events are tried", timeout=20)
    assert it.broker.sent == []
    assert not it.broker.accepted()
    needed.is_up = True
    until(lambda: it.dispatcher.health().consuming, "it consumes again")
    it.broker.wait_for(lambda: sorted({*it.broker.accepted(), *it.broker.released()}) == [*range(10)])
    assert it.broker.sent == []
    assert not it.dispatcher.health().error
    it.deliver(Plain(100))
    it.broker.wait_for(lambda: 100 in it.broker.accepted())


@pytest.mark.usefixtures("quick")
def test_what_is_not_begun_goes_back_for_others_to_handle(bench: Callable[..., Bench]):
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def on(number: int) -> None:
        begun.release()
        assert go_on.acquire(timeout=5)
        fail(number)

    it = bench(on, retry=Retry(pause_after=3, initial=30, jitter=0), prefetch=64)
    it.deliver(*[Plain(number) for number in range(10)])
    for _ in range(3):
        assert begun.acquire(timeout=5)
        go_on.release()
    it.broker.wait_for(lambda: set(it.broker.released()) == {*range(3, 10)})
    assert it.broker.windows[-1] == 0
    # What was on its way goes back as well.
    it.deliver(Plain(10), Plain(11))
    it.broker.wait_for(lambda: it.broker.released()[-2:] == [10, 11])
    assert it.broker.windows[-1] == 0


@pytest.mark.usefixtures("quick")
def test_copies_that_count_nothing_have_ids_of_their_own(bench: Callable[..., Bench]):
    """Under the id of an earlier one a copy would be confirmed and not stored, and its event lost."""
    it = bench(fail, retry=Retry(pause_after=3, initial=0.01, factor=1, jitter=0), capabilities={"exact_window": False})
    it.deliver(Plain(1), Plain(2), Plain(3))
    it.broker.wait_for(lambda: len(it.broker.accepted()) == 3)
    last, ids = it.broker.sent[-1][1], [message.dedup_id for _, message, _ in it.broker.sent]
    assert last.headers["eventing-attempts"] == "0"
    assert last.headers["eventing-uncounted-attempts"] == "1"
    for number in range(4, 8):
        # As it comes back.
        come = Plain(number, headers={**last.headers})
        come._message = last
        until(lambda: it.broker.windows[-1] > 0, "a probe is due")
        it.deliver(come)
        it.broker.wait_for(lambda count=number: len(it.broker.accepted()) == count)  # type: ignore[misc]
        last = it.broker.sent[-1][1]
        ids.append(last.dedup_id)
        assert last.headers["eventing-attempts"] == "0"
    assert last.headers["eventing-uncounted-attempts"] == "5"
    assert len({*ids}) == len(ids)
    assert {destination.kind for destination, _, _ in it.broker.sent} == {"queue"}


@pytest.mark.usefixtures("quick")
def test_what_can_never_succeed_is_dead_lettered_at_once_and_pauses_nothing(bench: Callable[..., Bench]):
    retry = Retry(pause_after=3, initial=0.01, factor=1, jitter=0, fatal=(ValueError,))
    it = bench(lambda number: fail(number) if number < 30 else None, retry=retry, prefetch=8)
    it.deliver(*[Plain(number) for number in range(40)])
    it.broker.wait_for(lambda: len(it.broker.accepted()) == 40)
    assert not it.dispatcher.health().paused
    assert 0 not in it.broker.windows
    assert [message.headers["eventing-attempts"] for _, message, _ in it.broker.sent] == ["1"] * 30
    assert {destination.kind for destination, _, _ in it.broker.sent} == {"dead"}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["undecodable", "fatal"])
def test_what_can_never_succeed_answers_no_probe(bench: Callable[..., Bench], kind: str):
    """While its listener is paused, it is dead-lettered, and the next one is tried at once."""
    needed = Dependency()
    retry = Retry(pause_after=3, initial=0.3, jitter=0, fatal=(LookupError,))

    def on(number: int) -> None:
        if 100 <= number < 130:
            raise LookupError
        needed(number)

    it = bench(on, retry=retry, prefetch=64, capabilities={"exact_window": False})  # so that it holds none itself
    it.deliver(*[Plain(number) for number in range(3)])
    it.broker.wait_for(lambda: len(it.broker.accepted()) == 3)
    it.broker.wait_for(lambda: it.broker.windows[-2:] == [0, 1])
    poison = [Plain(number) for number in range(100, 130)]
    if kind == "undecodable":
        for each in poison:
            each._message = replace(each._message, body=b"no")
    needed.is_up = True
    begun = time.monotonic()
    it.deliver(*poison, Plain(200))
    it.broker.wait_for(lambda: 200 in it.broker.accepted())
    assert time.monotonic() - begun < 4  # without a wait for each
    until(lambda: not it.dispatcher.health().paused, "it consumes again")
    dead = [message for destination, message, _ in it.broker.sent if destination.kind == "dead"]
    assert [message.headers["eventing-reason"] for message in dead] == [kind] * 30


@pytest.mark.usefixtures("quick")
def test_an_ordered_listener_waits_in_place(bench: Callable[..., Bench]):
    needed = Dependency()
    it = bench(needed, retry=Retry(max_attempts=4, pause_after=3, initial=0.01, factor=1, jitter=0), ordered=True)
    it.deliver(*[Plain(number) for number in range(4)])
    # Two are no reason: their attempts are used up.
    until(lambda: it.dispatcher.health().paused, "it pauses")
    paused_at = needed.runs[-1]
    count = len(needed.runs)
    until(lambda: len(needed.runs) >= count + 6, "it goes on trying", timeout=20)
    assert {*needed.runs[count:]} == {paused_at}
    needed.is_up = True
    it.broker.wait_for(lambda: (paused_at, Outcome.ACCEPT) in it.broker.settled)
    assert [message.message_id for _, message, _ in it.broker.sent] == ["id0", "id1"]


@pytest.mark.usefixtures("quick")
def test_a_lost_connection_costs_a_paused_listener_nothing(bench: Callable[..., Bench]):
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)
    gate = threading.Event()

    def on(number: int) -> None:
        if gate.is_set():
            begun.release()
            assert go_on.acquire(timeout=5)
        if number < 100:
            fail(number)

    it = bench(on, retry=PATIENT, prefetch=64)
    gate.clear()
    broken(it)
    gate.set()
    assert begun.acquire(timeout=20)  # a probe runs
    it.dispatcher.state(SubscriptionState.INACTIVE, 1, None)
    told = len(it.broker.windows)
    it.dispatcher.state(SubscriptionState.ACTIVE, 2, None)
    assert it.dispatcher.health().paused
    gate.clear()
    go_on.release()
    until(lambda: len(it.broker.windows) > told, "another round is due")
    it.deliver(Plain(100, generation=2))
    it.broker.wait_for(lambda: it.broker.accepted() == [100])
    assert it.dispatcher.health().consuming


@pytest.mark.usefixtures("quick")
def test_a_probe_that_came_back_often_runs_alone(bench: Callable[..., Bench]):
    it = bench(lambda number: fail(number) if number < 10 else None, retry=PATIENT, prefetch=8)
    broken(it)
    it.dispatcher.state(SubscriptionState.INACTIVE, 1, None)
    told = len(it.broker.windows)
    it.dispatcher.state(SubscriptionState.ACTIVE, 2, None)
    until(lambda: len(it.broker.windows) > told, "a round is due")
    it.deliver(Plain(50, count=4, generation=2))
    it.broker.wait_for(lambda: 50 in it.broker.accepted())
    assert it.dispatcher.health().consuming
    assert all(destination.kind == "queue" for destination, _, _ in it.broker.sent)
