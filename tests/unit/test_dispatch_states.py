"""What deliveries, copies and generations may not do to each other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from eventing_core import Retry, SendRejectedError
from eventing_core.provider import CRASH_LIMIT, Delivery, Done, Message, Outcome, SubscriptionState
from eventing_core.receive.machine import _outlet
from eventing_core.receive.machine._crash_guard import SUSPECT
from tests.support.dispatching import Bench, Plain, fail
from tests.support.waiting import until

Make = Callable[..., Bench]


def withhold(it: Bench) -> list[Callable[[Exception | None], None]]:
    """Have copies confirmed by hand."""
    untold: list[Callable[[Exception | None], None]] = []

    def send(batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        with it.broker.changed:
            it.broker.sent.extend((it.broker.destination, message, delay) for message in batch)
            untold.append(partial(done, 0))
            it.broker.changed.notify_all()

    it.broker.send = send  # type: ignore[method-assign]
    return untold


# -- order ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["failed", "fatal", "undecodable", "crash-loop"])
def test_an_ordered_listener_is_not_overtaken_while_a_dead_letter_is_not_stored(bench: Make, why: str) -> None:
    runs: list[int] = []

    def on(number: int) -> None:
        runs.append(number)
        if number == 1:
            raise LookupError if why == "fatal" else ValueError

    it = bench(on, ordered=True, prefetch=8, retry=Retry(max_attempts=1, fatal=(LookupError,)))
    untold = withhold(it)
    first = Plain(1, count=CRASH_LIMIT if why == "crash-loop" else 0)
    if why == "undecodable":
        first._message.body = b"no"
    it.deliver(first, Plain(2), Plain(3))
    it.broker.wait_for(lambda: len(it.broker.sent) == 1)
    until(lambda: not it.dispatcher.running, "it waits", 5)
    it.deliver(Plain(4))
    assert 2 not in runs
    untold[0](None)
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2, 3, 4])
    assert runs == ([2, 3, 4] if why in {"undecodable", "crash-loop"} else [1, 2, 3, 4])


def test_an_ordered_listener_stores_in_the_next_generation_what_was_not_stored(bench: Make) -> None:
    runs: list[int] = []

    def on(number: int) -> None:
        runs.append(number)
        if number == 1:
            raise ValueError

    it = bench(on, ordered=True, prefetch=8, retry=Retry(max_attempts=1))
    untold = withhold(it)
    it.deliver(Plain(1), Plain(2))
    it.broker.wait_for(lambda: len(untold) == 1)
    it.dispatcher.state(SubscriptionState.INACTIVE, 1, None)
    it.dispatcher.state(SubscriptionState.ACTIVE, 2, None)
    it.deliver(Plain(1, generation=2), Plain(2, generation=2))
    it.broker.wait_for(lambda: len(untold) == 2)
    untold[0](None)  # late: it is the copy of a void delivery
    assert it.broker.accepted() == []
    untold[1](None)
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])
    assert len({message.dedup_id for _, message, _ in it.broker.sent}) == 1
    assert runs == [1, 2]


def test_an_ordered_listener_whose_dead_letters_are_full_waits_and_names_the_event(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_outlet, "_BACKOFF", (0.01, 0.01))
    it = bench(lambda number: fail(number) if number == 1 else None, ordered=True, retry=Retry(max_attempts=1))
    it.broker.refusals = [SendRejectedError("full") for _ in range(5)]
    it.deliver(Plain(1), Plain(2))
    until(lambda: "id1" in it.dispatcher.health().error and "full" in it.dispatcher.health().error, "named", 5)
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])
    assert it.dispatcher.health().error == ""


# -- health -----------------------------------------------------------------------------------------------------------


def test_health_names_what_can_not_be_copied_until_it_is(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outlet, "_BACKOFF", (0.01, 0.01))
    it = bench(fail, retry=Retry(max_attempts=1, pause_after=0), prefetch=8)
    untold = withhold(it)
    it.deliver(Plain(1), Plain(2))
    it.broker.wait_for(lambda: len(untold) == 2)
    untold[0](SendRejectedError("too large"))
    it.broker.wait_for(lambda: len(untold) == 3)  # tried again
    untold[1](None)
    it.broker.wait_for(lambda: it.broker.accepted() == [2])
    assert "id1" in it.dispatcher.health().error
    assert "too large" in it.dispatcher.health().error
    untold[2](None)
    it.broker.wait_for(lambda: it.broker.accepted() == [2, 1])
    until(lambda: it.dispatcher.health().error == "", "resolved", 5)


def test_after_a_refusal_one_copy_at_a_time_is_tried(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outlet, "_BACKOFF", (0.01, 0.01))
    it = bench(fail, retry=Retry(max_attempts=1, pause_after=0), prefetch=8)
    untold = withhold(it)
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: len(untold) == 1)
    untold[0](SendRejectedError("full"))
    it.broker.wait_for(lambda: len(untold) == 2)
    it.deliver(*[Plain(number) for number in range(2, 9)])
    until(lambda: len(it.dispatcher._machine.unstored()) == 8, "all of them have run", 5)
    assert len(untold) == 2  # only one is under way
    assert "full (and 7 others)" in it.dispatcher.health().error
    untold[1](None)
    it.broker.wait_for(lambda: len(untold) == 4)  # then two
    untold[2](None)
    it.broker.wait_for(lambda: len(untold) == 7)  # then four
    untold[3](None)
    it.broker.wait_for(lambda: len(untold) == 9)  # then all
    for done in untold[4:]:
        done(None)
    it.broker.wait_for(lambda: sorted(it.broker.accepted()) == [*range(1, 9)])
    until(lambda: it.dispatcher.health().error == "", "resolved", 5)


def test_what_an_older_generation_could_not_copy_is_named_until_it_is_copied(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_outlet, "_BACKOFF", (0.01, 0.01))
    it = bench(fail, retry=Retry(max_attempts=1))
    untold = withhold(it)
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: len(untold) == 1)
    it.dispatcher.state(SubscriptionState.INACTIVE, 1, None)
    untold[0](SendRejectedError("too large"))
    it.dispatcher.state(SubscriptionState.ACTIVE, 2, None)
    assert "id1" in it.dispatcher.health().error
    assert "too large" in it.dispatcher.health().error
    it.deliver(Plain(1, generation=2, count=1))
    it.broker.wait_for(lambda: len(untold) == 2)
    untold[1](None)
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    until(lambda: it.dispatcher.health().error == "", "resolved", 5)


def test_health_takes_no_lock(bench: Make) -> None:
    it = bench(lambda _: None)
    found: list[object] = []
    with it.dispatcher._lock:
        asks = threading.Thread(target=lambda: found.append(it.dispatcher.health()))
        asks.start()
        asks.join(5)
        assert not asks.is_alive()
    assert found


# -- generations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["returned", "copied"])
def test_what_settles_of_an_older_generation_widens_no_window(bench: Make, how: str) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def on(number: int) -> None:
        begun.set()
        assert go_on.wait(5)
        if how == "copied":
            fail(number)

    it = bench(on, prefetch=8, retry=Retry(max_attempts=1))
    untold = withhold(it)
    it.deliver(Plain(1))
    assert begun.wait(5)
    if how == "copied":
        go_on.set()
        it.broker.wait_for(lambda: len(untold) == 1)
    it.dispatcher.state(SubscriptionState.INACTIVE, 1, None)
    it.dispatcher.state(SubscriptionState.ACTIVE, 2, None)
    go_on.set()
    if untold:
        untold[0](None)
    assert it.dispatcher.wait_idle(time.monotonic() + 5)
    assert it.broker.accepted() == []  # it is void
    assert it.broker.windows[-1] == 1
    it.deliver(Plain(2, generation=2))
    if how == "copied":
        it.broker.wait_for(lambda: len(untold) == 2)
        untold[1](None)
    it.broker.wait_for(lambda: it.broker.windows[-1] == 2)


# -- foreign deliveries -----------------------------------------------------------------------------------------------


@dataclass
class Strange(Delivery):
    """Can't be hashed, and is equal to another of equal content. Says where it was decoded."""

    number: int
    generation: int = 1
    delivery_count: int = 0
    message_id: str = ""

    def message(self) -> Message:
        threads.append(threading.current_thread())
        return Message(body=b'{"number":%d}' % self.number, message_id=self.message_id)


threads: list[threading.Thread] = []


def with_strangers(it: Bench) -> list[tuple[int, Outcome]]:
    settled: list[tuple[int, Outcome]] = []

    def settle(batch: Sequence[Delivery], outcome: Outcome) -> None:
        with it.broker.changed:
            settled.extend((id(delivery), outcome) for delivery in batch)
            it.broker.changed.notify_all()

    it.broker.settle = settle  # type: ignore[method-assign]
    return settled


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("message_id", ["", "id"])
def test_deliveries_are_compared_by_identity(bench: Make, ordered: bool, message_id: str) -> None:
    """All equal: retried, held, dead-lettered, seen by the crash guard, tried as probes, and settled one by one."""
    seen: dict[int, int] = {}
    works = threading.Event()

    def on(_: int) -> None:
        ident = threading.get_ident()
        seen[ident] = seen.get(ident, 0) + 1
        if not works.is_set() or sum(seen.values()) % 2:
            raise ValueError

    retry = Retry(max_attempts=2, initial=0.01, factor=1, jitter=0, pause_after=3)
    it = bench(on, ordered=ordered, retry=retry, prefetch=16)
    settled = with_strangers(it)
    deliveries = [Strange(1, delivery_count=count, message_id=message_id) for count in (0, 0, 0, 1, 2, 0, 0, 0)]
    it.deliver(*deliveries)
    until(lambda: sum(seen.values()) >= 6, "attempts are made", 10)
    works.set()
    back: set[int] = set()

    def all_settled() -> bool:
        accepted = {which for which, outcome in settled if outcome is Outcome.ACCEPT}
        # What a pause gives back comes again.
        again = [
            each for each in deliveries if id(each) not in accepted | back and (id(each), Outcome.RELEASE) in settled
        ]
        back.update(id(each) for each in again)
        new = [Strange(1, message_id=message_id) for _ in again]
        deliveries.extend(new)
        if new:
            it.deliver(*new)
        return all(id(each) in accepted | back for each in deliveries)

    until(all_settled, lambda: f"{settled}", 20)
    accepts = [which for which, outcome in settled if outcome is Outcome.ACCEPT]
    assert len(accepts) == len(set(accepts))
    assert it.dispatcher.health().error == ""


def test_what_can_not_be_hashed_leaves_by_a_stop(bench: Make) -> None:
    it = bench(
        fail, retry=Retry(max_attempts=9, initial=30, jitter=0, pause_after=0), capabilities={"send_delay": False}
    )
    settled = with_strangers(it)
    deliveries = [Strange(1), Strange(1), Strange(1, delivery_count=CRASH_LIMIT)]
    it.deliver(*deliveries[:1])
    until(lambda: it.dispatcher.health().held == 1, "it is held", 5)
    it.deliver(*deliveries[1:])
    it.dispatcher.pause()
    until(lambda: (id(deliveries[0]), Outcome.ACCEPT) in settled, "a copy has replaced it", 5)


@pytest.mark.parametrize("counting", ["delivered", "flag"])
def test_the_providers_thread_decodes_nothing(bench: Make, counting: str) -> None:
    """Neither what is delivered or lost with a connection, nor under a lock, whatever is known to come again."""
    it = bench(lambda _: None, prefetch=16, capabilities={"delivery_count": counting})
    with_strangers(it)
    threads.clear()
    counts = (0, 1, 2, SUSPECT, CRASH_LIMIT, CRASH_LIMIT + 1)

    def provide() -> None:
        for generation in (1, 2, 3):
            for count in counts:
                it.deliver(Strange(count, generation, count, f"id{count}"))
            it.dispatcher.state(SubscriptionState.INACTIVE, generation, None)
            it.dispatcher.state(SubscriptionState.ACTIVE, generation + 1, None)
        it.deliver(*[Strange(count, 4, count, f"id{count}") for count in counts])

    provider = threading.Thread(target=provide)
    provider.start()
    provider.join()
    until(lambda: it.dispatcher.wait_idle(0) and bool(threads), "all is handled", 10)
    assert provider not in threads
    assert {thread.name.rpartition("-")[2] for thread in threads} <= {"timer", "0", "1", "2", "3"}


def test_what_a_lost_connection_took_is_read_soon_and_excused(bench: Make) -> None:
    it = bench(lambda _: None, prefetch=16)
    settled = with_strangers(it)
    for generation, count in enumerate(range(2, CRASH_LIMIT), 1):
        blocked = threading.Event()
        it.timer.call_later(0.0, partial(blocked.wait, 5))  # type: ignore[arg-type]
        it.deliver(Strange(1, generation, count, "id"))  # its message waits to be read
        it.dispatcher.state(SubscriptionState.INACTIVE, generation, None)
        it.dispatcher.state(SubscriptionState.ACTIVE, generation + 1, None)
        blocked.set()
        until(lambda: not it.dispatcher._inbox.batches, "it is read", 5)
    last = Strange(1, CRASH_LIMIT - 1, CRASH_LIMIT - 1, "id")
    it.deliver(last)
    until(lambda: (id(last), Outcome.ACCEPT) in settled, "it runs as any other", 5)
    assert max(it.broker.windows) == 2


# -- the log ----------------------------------------------------------------------------------------------------------


def test_the_traceback_comes_with_the_first_failure_of_an_event(bench: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "eventing")
    it = bench(fail, retry=Retry(max_attempts=4, initial=0.01, factor=1, jitter=0, pause_after=0))
    it.deliver(Plain(1), Plain(2))
    it.broker.wait_for(lambda: len(it.broker.accepted()) == 2)
    until(lambda: len(caplog.records) == 8, lambda: f"{caplog.records}", 5)

    def traces(event: str) -> list[bool]:
        records: list[Any] = [record for record in caplog.records if f"event {event} " in record.getMessage()]
        return [record.exc_info is not None for record in records]

    assert traces("id1") == traces("id2") == [True, False, False, True]
    first = caplog.records[0]
    assert first.exc_info is not None
    assert "attempt 1 of 4" in first.getMessage()


def test_an_attempt_that_another_process_failed_first_is_told_shortly(
    bench: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "eventing")
    it = bench(fail, retry=Retry(max_attempts=3, initial=0.01, factor=1, jitter=0))
    it.deliver(Plain(1, headers={"eventing-attempts": "1"}))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    until(lambda: len(caplog.records) == 2, "both are logged", 5)
    assert [record.exc_info is not None for record in caplog.records] == [False, True]


def test_the_first_failure_of_one_that_pauses_its_listener_has_its_traceback(
    bench: Make, caplog: pytest.LogCaptureFixture
) -> None:
    it = bench(fail, retry=Retry(max_attempts=3, initial=30, jitter=0, pause_after=1))
    it.deliver(Plain(1))
    until(lambda: any("paused" in record.getMessage() for record in caplog.records), "it pauses", 5)
    (record,) = [record for record in caplog.records if "paused" in record.getMessage()]
    assert record.exc_info is not None
