"""What the machine decides, in simulated time: nothing holds up the good events."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from eventing_core import Retry
from eventing_core.receive.machine._actions import CopyKind, Fault, FaultKind, Notice, Rules
from eventing_core.receive.machine._states import DeliveryState, ListenerState
from tests.machine.simulation import Simulation

FAILED, UNDECODABLE, REJECTED = (Fault(kind) for kind in (FaultKind.FAILED, FaultKind.UNDECODABLE, FaultKind.REJECTED))

#: The waits of the default settings, at their shortest.
_DEFAULT = Retry()


def shortest(failures: int) -> float:
    wait = min(_DEFAULT.initial * _DEFAULT.factor ** (failures - 1), _DEFAULT.max_delay)
    return wait * (1 - _DEFAULT.jitter)


def default(**settings: Any) -> Rules:
    return Rules(
        **{"max_attempts": _DEFAULT.max_attempts, "pause_after": _DEFAULT.pause_after, "delay": shortest, **settings}
    )


EXACT = {"exact": default(), "inexact": default(exact_window=False), "no delay": default(can_delay=False)}
transports = pytest.mark.parametrize("rules", EXACT.values(), ids=EXACT)


def bad_before_good(rules: Rules, fault: Fault, bad: int = 30, good: int = 200) -> Simulation:
    it = Simulation(rules, lambda event, _: fault if event < bad else None)
    it.send(range(bad + good))
    return it


@transports
@pytest.mark.parametrize("fault", [UNDECODABLE, REJECTED])
def test_what_never_succeeds_delays_no_good_event(rules: Rules, fault: Fault):
    it = bad_before_good(rules, fault)
    it.run(5)
    assert len(it.handled) == 200
    assert sorted(it.dead) == [*range(30)]
    assert Notice.PAUSED not in [report.notice for report in it.reports]


@transports
def test_events_that_always_fail_delay_good_ones_by_less_than_a_minute(rules: Rules):
    it = bad_before_good(rules, FAILED)
    it.run(60)
    assert len(it.handled) == 200
    it.run(600)
    assert sorted(it.dead) == [*range(30)]


@pytest.mark.parametrize(("bad", "seconds"), [(5, 5), (60, 60), (120, 80), (500, 120)])
def test_the_delay_grows_slowly_with_the_number_of_events_that_always_fail(bad: int, seconds: float):
    it = bad_before_good(default(), FAILED, bad)
    it.run(seconds)
    assert len(it.handled) == 200


@transports
@pytest.mark.parametrize("prefetch", [1, 2, 500])
def test_an_event_that_can_not_be_dead_lettered_takes_no_place(rules: Rules, prefetch: int):
    rules = Rules(**{name: getattr(rules, name) for name in rules.__slots__} | {"prefetch": prefetch, "pause_after": 0})
    bad = 30
    it = Simulation(
        rules, lambda event, _: UNDECODABLE if event < bad else None, may_store=lambda kind: kind is CopyKind.RETRY
    )
    it.send(range(bad + 50))
    it.run(10)
    assert len(it.handled) == 50
    assert len(it.machine.unstored()) == bad
    assert it.dead == []


@transports
@pytest.mark.parametrize("rate", [0.2, 1, 1000])
def test_no_event_is_dead_lettered_in_an_outage_of_a_minute(rules: Rules, rate: float):
    it = Simulation(rules, lambda _, now: FAILED if 10 <= now < 70 else None, seconds=0.0005)
    count = int(90 * rate)
    for number in range(count):
        it.send([number], at=number / rate)
    it.run(70)
    assert it.dead == []
    it.run(900)
    assert it.dead == []
    assert len(it.handled) == count


@pytest.mark.parametrize("ordered", [False, True])
def test_no_event_is_dead_lettered_in_an_outage_without_a_circuit_breaker(*, ordered: bool):
    it = Simulation(default(pause_after=0, ordered=ordered), lambda _, now: FAILED if now < 60 else None)
    it.send(range(20))
    it.run(900)
    assert it.dead == []
    assert len(it.handled) == 20


def test_an_ordered_listener_waits_for_its_first_event_and_names_it():
    it = Simulation(default(ordered=True, pause_after=1), lambda event, _: FAILED if event == 0 else None)
    it.send(range(3))
    it.run(600)
    assert it.handled == {}
    assert it.machine.state is ListenerState.PAUSED
    assert it.machine.blocking is not None
    assert it.machine.blocking.event == 0


def test_many_rejected_events_are_reported_once_and_for_a_minute():
    it = bad_before_good(default(), REJECTED)
    it.run(5)
    assert [report.notice for report in it.reports].count(Notice.MANY_REJECTED) == 1
    assert it.machine.failing.many_rejected(it.now)
    assert not it.machine.failing.many_rejected(it.now + 60)


def test_a_few_rejected_events_are_no_many():
    it = bad_before_good(default(), REJECTED, bad=9)
    it.run(5)
    assert not it.machine.failing.many_rejected(it.now)


def test_rounds_of_probes_start_after_1_2_4_8_and_then_every_15_seconds():
    starts: list[tuple[float, int]] = []
    it = Simulation(default(can_delay=False, prefetch=2000), lambda *_: FAILED, seconds=0)
    it.send(range(2000))
    for _ in range(100_000):
        if it.now > 170:
            break
        it.run(it.now + 0.01)
        rounds = it.machine.breaker.rounds
        if rounds and (not starts or starts[-1][1] != rounds):
            starts.append((it.now, rounds))
    gaps = [round(later[0] - earlier[0]) for earlier, later in itertools.pairwise(starts)]
    assert gaps[:6] == [2, 4, 8, 15, 15, 15]
    probes = sum(it.tries.values()) - 5
    assert probes == sum(min(2 ** (number - 1), 256) for _, number in starts)


def test_what_can_not_be_copied_keeps_its_backoff_and_its_reason_beyond_its_generation():
    it = Simulation(default(), lambda event, _: UNDECODABLE if event == 0 else None, may_store=lambda _: False)
    it.send(range(3))
    it.run(20)
    assert it.tries[0] == 1
    (store,) = it.machine.unstored()
    store.error = "no right"
    for _ in range(5):
        it.lose([store.delivery.message])
        assert [each.error for each in it.machine.unstored()] == ["no right"]
        it.attach()
        it.run(it.now + 1)
    assert it.tries[0] == 1
    (store,) = it.machine.unstored()
    assert store.reason is not None
    assert store.reason.value == "undecodable"
    it.may_store = lambda _: True
    it.run(it.now + 31)
    assert it.dead == [0]
    assert it.machine.unstored() == []


def test_a_long_run_holds_up_a_suspect_and_all_others_for_half_a_minute_at_most():
    it = Simulation(default(concurrency=2), lambda *_: None)
    begin, it._begin = it._begin, lambda run: None  # type: ignore[method-assign]  # it never ends
    it.send([0])
    it.run(1)
    it._begin = begin  # type: ignore[method-assign]
    it.send([1], at=1, counts=3)
    it.send(range(2, 20), at=1)
    it.run(30)
    assert it.handled == {}
    it.run(33)
    assert len(it.handled) == 19


def test_states_of_deliveries_can_be_asked_for():
    it = Simulation(default(), lambda event, _: FAILED if event == 0 else None)
    it.machine.window.size = 4
    it.send(range(2))
    it.run(0.0)
    case = next(iter(it.machine.cases), None)
    assert case is None
    (run,) = it.machine.slots.runs
    assert it.machine.slots.state_of(run.delivery) is DeliveryState.RUNNING
    it.run(0.002)
    assert it.machine.slots.state_of(run.delivery) is DeliveryState.WAITING
