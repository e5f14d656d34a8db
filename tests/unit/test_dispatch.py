"""The dispatcher's decisions, on a subscription that only records what it is told."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from eventing_core import (
    Envelope,
    EventListener,
    ManagerStoppedError,
    Retry,
    SendRejectedError,
    SendTimeoutError,
    event_listener,
)
from eventing_core.provider import (
    CRASH_LIMIT,
    REDELIVERIES,
    Delivery,
    Message,
    Outcome,
    SubscriptionState,
)
from eventing_core.receive import _threads
from eventing_core.receive._copies import Failures
from eventing_core.receive._loop import LoopShell
from eventing_core.receive._shell import Shell
from eventing_core.receive.machine import _gate, _outlet
from eventing_core.receive.machine._crash_guard import SUSPECT
from tests.support.dispatching import Bench, Plain, Tick, fail
from tests.support.waiting import until

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


def test_what_returned_is_accepted(bench: Callable[..., Bench]) -> None:
    seen: list[int] = []
    it = bench(seen.append)
    it.deliver(Plain(1), Plain(2))
    it.deliver(Plain(3))
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2, 3])
    assert seen == [1, 2, 3]


def test_nothing_is_accepted_before_on_returned(bench: Callable[..., Bench]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def on(_: int) -> None:
        begun.set()
        assert go_on.wait(5)

    it = bench(on)
    it.deliver(Plain(1))
    assert begun.wait(5)
    assert it.broker.settled == []
    go_on.set()
    it.broker.wait_for(lambda: it.broker.accepted() == [1])


def test_the_window_begins_at_the_concurrency_and_doubles_up_to_prefetch(bench: Callable[..., Bench]) -> None:
    def settled(count: int) -> bool:
        return len(it.broker.accepted()) == count

    it = bench(lambda _: None, concurrency=2, prefetch=7)
    assert it.broker.windows == [2]
    for number in range(0, 20, 2):
        it.deliver(Plain(number), Plain(number + 1))
        it.broker.wait_for(partial(settled, number + 2))
    it.broker.wait_for(lambda: it.broker.windows == [2, 4, 7])


def test_a_new_generation_begins_small_again_and_forgets_what_was_queued(bench: Callable[..., Bench]) -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def on(number: int) -> None:
        seen.append(number)
        begun.set()
        assert go_on.wait(5)

    it = bench(on, prefetch=8)
    it.deliver(Plain(1), Plain(2), Plain(3))
    assert begun.wait(5)
    it.dispatcher.state(SubscriptionState.INACTIVE, 1, ConnectionError("gone"))
    assert not it.dispatcher.health().consuming
    it.dispatcher.state(SubscriptionState.ACTIVE, 2, None)
    assert it.broker.windows[-1] == 1
    go_on.set()
    it.deliver(Plain(2, generation=2))
    it.broker.wait_for(lambda: it.broker.accepted() == [2])  # the first one was of the old generation
    assert seen == [1, 2]


def test_attempts_are_counted_and_the_last_one_leads_to_a_dead_letter(bench: Callable[..., Bench]) -> None:
    runs: list[int] = []

    def on(number: int) -> None:
        runs.append(number)
        fail(number)

    it = bench(on)
    it.deliver(Plain(1, headers={"x": "y"}))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert runs == [1, 1, 1]
    ((destination, copy, delay),) = it.broker.sent
    assert (destination.kind, destination.topic, destination.group) == ("dead", "Tick", "Listener")
    assert destination.durable
    assert copy.durable
    assert delay == 0
    assert copy.body == b'{"number":1}'
    assert copy.message_id == "id1"
    assert copy.dedup_id == "id1/Listener/dead3"
    expected = {
        "x": "y",
        "eventing-attempts": "3",
        "eventing-reason": "failed",
        "eventing-error-type": "ValueError",
        "eventing-error-message": "no 1",
        "eventing-listener": "Listener",
        "eventing-event": "Tick",
        "eventing-server": "here",
    }
    assert {key: copy.headers[key] for key in expected} == expected
    assert set(copy.headers) - set(expected) == {"eventing-first-failed-at"}


def test_a_copy_is_confirmed_before_the_original_is_accepted(bench: Callable[..., Bench]) -> None:
    it = bench(fail, retry=Retry(max_attempts=1))
    it.broker.refusals = [SendTimeoutError("full", in_doubt=True), SendTimeoutError("full", in_doubt=True)]
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: len(it.broker.sent) == 1)
    assert it.broker.settled == []
    assert "full" in it.dispatcher.health().error
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert len(it.broker.sent) == 3
    assert len({message.dedup_id for _, message, _ in it.broker.sent}) == 1
    assert not it.dispatcher.health().error


def test_attempts_of_earlier_copies_count(bench: Callable[..., Bench]) -> None:
    runs: list[int] = []

    def on(number: int) -> None:
        runs.append(number)
        fail(number)

    it = bench(on)
    headers = {"eventing-attempts": "2", "eventing-first-failed-at": "2026-01-01T00:00:00+00:00"}
    it.deliver(Plain(1, headers=headers))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert runs == [1]
    headers_of_copy = it.broker.sent[0][1].headers
    assert headers_of_copy["eventing-attempts"] == "3"
    assert headers_of_copy["eventing-first-failed-at"] == "2026-01-01T00:00:00+00:00"


def test_a_nonsense_count_of_a_stranger_is_no_count(bench: Callable[..., Bench]) -> None:
    it = bench(fail)
    it.deliver(Plain(1, headers={"eventing-attempts": "²-1x"}))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert it.broker.sent[0][1].headers["eventing-attempts"] == "3"


def test_a_long_wait_leaves_as_a_delayed_copy_to_the_listeners_own_queue(bench: Callable[..., Bench]) -> None:
    it = bench(fail, retry=Retry(initial=30, jitter=0))
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    ((destination, copy, delay),) = it.broker.sent
    assert (destination.kind, destination.group, delay) == ("queue", "Listener", 30)
    assert copy.headers["eventing-attempts"] == "1"
    assert copy.dedup_id == "id1/Listener/retry1"


def test_where_the_provider_can_not_delay_a_long_wait_is_held(bench: Callable[..., Bench]) -> None:
    it = bench(fail, retry=Retry(initial=30, jitter=0), prefetch=4, capabilities={"send_delay": False})
    for number in range(4):
        it.deliver(Plain(number))
    it.broker.wait_for(lambda: it.dispatcher.health().held == 4)
    assert it.broker.sent == []
    # Half of prefetch on top of the window of 1, and no more: then the listener pauses.
    assert max(it.broker.windows) == 3


def test_a_waiting_retry_does_not_hold_up_what_is_behind_it(bench: Callable[..., Bench]) -> None:
    failed = threading.Event()

    def on(number: int) -> None:
        if number == 1:
            failed.set()
            fail(number)

    it = bench(on, retry=Retry(max_attempts=2, initial=4, jitter=0))
    it.deliver(Plain(1))
    assert failed.wait(5)
    it.broker.wait_for(lambda: it.broker.windows == [1, 2])
    it.deliver(Plain(2))
    it.broker.wait_for(lambda: it.broker.accepted() == [2])


def test_an_ordered_listener_waits_in_place(bench: Callable[..., Bench]) -> None:
    seen: list[int] = []

    def on(number: int) -> None:
        seen.append(number)
        if len(seen) < 3:
            fail(number)

    it = bench(on, ordered=True)
    it.deliver(Plain(1), Plain(2))
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])
    assert seen == [1, 1, 1, 2]
    assert it.broker.sent == []


def test_fatal_errors_and_undecodable_bodies_are_dead_lettered_at_once(bench: Callable[..., Bench]) -> None:
    it = bench(fail, retry=Retry(fatal=(LookupError, ValueError)))
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    broken = Plain(2)
    broken.message().body = b'{"number": "s3cret"}'
    it.deliver(broken)
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])
    headers = [message.headers for _, message, _ in it.broker.sent]
    assert [found["eventing-reason"] for found in headers] == ["fatal", "undecodable"]
    assert [found["eventing-attempts"] for found in headers] == ["1", "1"]
    assert headers[1]["eventing-error-type"] == "eventing_core.errors.DecodeError"


@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_listener_raises_is_a_failure_like_any_other(
    bench: Callable[..., Bench], error: BaseException
) -> None:
    def on(_: int) -> None:
        raise error

    it = bench(on, retry=Retry(max_attempts=2, initial=0))
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert it.broker.sent[0][1].headers["eventing-attempts"] == "2"
    it.deliver(Plain(2))
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])


def test_an_error_whose_text_can_not_be_had_reaches_the_dead_letters(bench: Callable[..., Bench]) -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def on(number: int) -> None:
        raise OddError if number == 1 else ValueError("\ud800\0" + "x" * 5000)

    it = bench(on, retry=Retry(max_attempts=1))
    it.deliver(Plain(1), Plain(2))
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])
    texts = [message.headers["eventing-error-message"] for _, message, _ in it.broker.sent]
    assert texts[0] == "(its text is not available)"
    assert len(texts[1]) == 1000
    assert texts[1].startswith("?\N{REPLACEMENT CHARACTER}x")


def test_a_delivery_that_came_back_restarts_the_window(bench: Callable[..., Bench]) -> None:
    it = bench(lambda _: None, prefetch=8)
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.broker.windows == [1, 2])
    it.deliver(Plain(2, count=1))
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])
    assert it.broker.windows[2] == 1


def test_a_suspect_runs_alone(bench: Callable[..., Bench]) -> None:
    at_work: set[int] = set()
    beside: list[set[int]] = []
    begun, go_on = threading.Event(), threading.Event()

    def on(number: int) -> None:
        at_work.add(number)
        if number == 1:
            begun.set()
            assert go_on.wait(5)
        if number == 2:
            beside.append(set(at_work))
        at_work.discard(number)

    it = bench(on, concurrency=3, prefetch=9)
    it.deliver(Plain(1))
    assert begun.wait(5)
    it.deliver(Plain(2, count=SUSPECT), Plain(3), Plain(4))
    it.broker.wait_for(lambda: it.broker.released() == [3, 4])
    assert it.broker.windows[-1] == 1
    assert beside == []
    go_on.set()
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])
    assert beside == [{2}]
    it.deliver(Plain(3))
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2, 3])


def test_several_suspects_run_one_after_the_other(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gate, "QUIET", 0.0001)
    at_work = 0
    most = 0
    lock = threading.Lock()

    def on(_: int) -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        with lock:
            at_work -= 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            it = bench(on, concurrency=4, prefetch=8)
            out = {number: Plain(number, count=SUSPECT) for number in range(8)}
            it.deliver(*out.values())
            handled: set[int] = set()
            while len(handled) < 8:  # as a broker would: what is given back comes again
                it.broker.wait_for(lambda it=it, handled=handled: len(it.broker.settled) > 0)  # type: ignore[misc]
                with it.broker.changed:
                    settled, it.broker.settled = it.broker.settled, []
                handled.update(number for number, outcome in settled if outcome is Outcome.ACCEPT)
                back = [out[number] for number, outcome in settled if outcome is Outcome.RELEASE]
                if back:
                    it.deliver(*back)
    finally:
        sys.setswitchinterval(interval)
    assert most == 1


def test_a_crash_loop_is_dead_lettered_without_being_run(bench: Callable[..., Bench]) -> None:
    seen: list[int] = []
    it = bench(seen.append)
    it.deliver(Plain(1, count=CRASH_LIMIT))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert seen == []
    headers = it.broker.sent[0][1].headers
    assert headers["eventing-reason"] == "crash-loop"
    assert headers["eventing-attempts"] == "0"


@pytest.mark.parametrize("begun", [False, True])
def test_connections_that_a_living_process_loses_are_no_crashes(bench: Callable[..., Bench], *, begun: bool) -> None:
    begins, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def on(_: int) -> None:
        begins.release()
        assert go_on.acquire(timeout=5)

    it = bench(on)
    if not begun:  # what comes queues behind one that runs through all losses
        it.deliver(Plain(2))
    last = CRASH_LIMIT
    for count in range(last):
        it.deliver(Plain(1, count=count, generation=count + 1))
        if begun or not count:
            assert begins.acquire(timeout=5)
        it.dispatcher.state(SubscriptionState.INACTIVE, count + 1, None)
        it.dispatcher.state(SubscriptionState.ACTIVE, count + 2, None)
        if begun:
            go_on.release()
            assert it.dispatcher.wait_empty(threading.TIMEOUT_MAX)
    assert it.broker.sent == []
    # The broker would soon take it away: a copy replaces it, and isn't counted yet.
    it.deliver(Plain(1, count=last, generation=last + 1, headers={"eventing-attempts": "1"}))
    # Beside what still runs; what ran before was void.
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    go_on.release(3)
    assert it.dispatcher.wait_empty(threading.TIMEOUT_MAX)
    destination, copy, delay = it.broker.sent[0]
    assert (destination.kind, destination.group, delay) == ("queue", "Listener", 0)
    assert copy.dedup_id == f"id1/Listener/lost{last}"
    assert (copy.message_id, copy.headers) == ("id1", {"eventing-attempts": "1"})
    assert not begins.acquire(blocking=False)
    # What is settled is forgotten.
    it.deliver(Plain(1, count=CRASH_LIMIT, generation=last + 1))
    it.broker.wait_for(lambda: len(it.broker.sent) == 2)
    assert it.broker.sent[1][1].headers["eventing-reason"] == "crash-loop"


def flagged(headers: dict[str, str] | None = None, **settings: Any) -> Plain:
    counted = int((headers or {}).get(REDELIVERIES, "0"))
    return Plain(1, count=counted + 1, headers=headers, **settings)


def test_where_the_broker_only_flags_copies_count(bench: Callable[..., Bench]) -> None:
    seen: list[int] = []
    it = bench(seen.append, capabilities={"delivery_count": "flag"})
    headers = {"key": "value"}
    for count in range(1, CRASH_LIMIT):
        it.deliver(flagged(headers))
        it.broker.wait_for(lambda count=count: it.broker.accepted() == [1] * count)  # type: ignore[misc]
        destination, copy, delay = it.broker.sent[-1]
        assert (destination.kind, destination.group, delay) == ("queue", "Listener", 0)
        assert copy.headers == {"key": "value", REDELIVERIES: str(count)}
        assert (copy.message_id, copy.dedup_id) == ("id1", f"id1/Listener/lost{count}")
        headers = {**copy.headers}
    assert seen == []
    it.deliver(flagged(headers))
    it.broker.wait_for(lambda: len(it.broker.accepted()) == CRASH_LIMIT)
    dead = it.broker.sent[-1][1].headers
    assert dead["eventing-reason"] == "crash-loop"
    assert REDELIVERIES not in dead  # back in the queue, it begins anew
    assert seen == []


def test_a_copy_that_counted_crashes_runs_alone_and_its_failure_is_no_crash(bench: Callable[..., Bench]) -> None:
    it = bench(fail, capabilities={"delivery_count": "flag", "send_delay": True}, retry=Retry(initial=10, jitter=0))
    it.deliver(Plain(1, count=SUSPECT, headers={REDELIVERIES: str(SUSPECT)}))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert min(it.broker.windows) == 1
    copy = it.broker.sent[0][1]
    assert copy.headers["eventing-attempts"] == "1"
    assert REDELIVERIES not in copy.headers


def test_what_a_suspect_is_out_with_leaves_as_copies_where_a_release_stays_here(bench: Callable[..., Bench]) -> None:
    seen: list[int] = []
    it = bench(seen.append, concurrency=2, capabilities={"delivery_count": "flag"})
    counted = {REDELIVERIES: str(SUSPECT)}
    it.deliver(*(Plain(number, count=SUSPECT, headers=counted) for number in (1, 3)), Plain(2))
    it.broker.wait_for(lambda: len(it.broker.accepted()) == 3)
    assert seen == [1]
    assert it.broker.accepted()[-1] == 1  # it runs when all others have left
    copies = {copy.message_id: copy for _, copy, _ in it.broker.sent}
    assert {name: copy.headers for name, copy in copies.items()} == {"id3": counted, "id2": {}}
    again = it.copies.beside(copies["id2"]).message
    assert again.dedup_id != copies["id2"].dedup_id
    assert len(again.dedup_id) == len(copies["id2"].dedup_id)


def test_nothing_begins_while_copies_count(bench: Callable[..., Bench]) -> None:
    seen: list[int] = []
    it = bench(seen.append, concurrency=2, capabilities={"delivery_count": "flag"})
    it.deliver(Plain(2), flagged(), Plain(3))
    it.broker.wait_for(lambda: it.broker.accepted() in ([1, 2, 3], [1, 3, 2]))
    assert sorted(seen) == [2, 3]


def test_a_copy_that_counts_and_cannot_be_stored_keeps_nothing_from_running(bench: Callable[..., Bench]) -> None:
    seen: list[int] = []
    it = bench(seen.append, capabilities={"delivery_count": "flag"})
    it.broker.refusals = [TimeoutError("full")]
    it.deliver(flagged(), Plain(2))
    it.broker.wait_for(lambda: it.broker.accepted() == [2, 1])
    assert seen == [2]


def test_a_flag_after_a_lost_connection_may_be_of_that(bench: Callable[..., Bench]) -> None:
    seen: list[int] = []
    it = bench(seen.append, capabilities={"delivery_count": "flag"})
    it.dispatcher.state(SubscriptionState.INACTIVE, 1, None)
    it.dispatcher.state(SubscriptionState.ACTIVE, 2, None)
    it.deliver(flagged({REDELIVERIES: "1"}, generation=2))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert seen == [1]
    assert it.broker.sent == []


def test_an_ordered_listener_keeps_what_is_flagged_in_its_place(bench: Callable[..., Bench]) -> None:
    seen: list[int] = []
    it = bench(seen.append, ordered=True, capabilities={"delivery_count": "flag"})
    it.deliver(flagged())
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert seen == [1]
    assert it.broker.sent == []


def test_an_ordered_listener_keeps_what_was_lost_often_in_its_place(bench: Callable[..., Bench]) -> None:
    begins, go_on = threading.Semaphore(0), threading.Event()

    def on(_: int) -> None:
        begins.release()
        assert go_on.wait(5)

    it = bench(on, ordered=True)
    it.deliver(Plain(2))  # it takes the only slot, through all losses
    assert begins.acquire(timeout=5)
    for count in range(CRASH_LIMIT):
        it.deliver(Plain(1, count=count, generation=count + 1))
        until(lambda: bool(it.dispatcher._machine.slots.queue) or not count, "it is queued", 5)  # noqa: B023
        it.dispatcher.state(SubscriptionState.INACTIVE, count + 1, None)
        it.dispatcher.state(SubscriptionState.ACTIVE, count + 2, None)
    it.deliver(Plain(1, count=CRASH_LIMIT, generation=CRASH_LIMIT + 1))
    go_on.set()
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert it.broker.sent == []


def test_a_copy_that_is_lost_as_often_gets_another_id(bench: Callable[..., Bench]) -> None:
    it = bench(lambda _: None)
    copies, ids, message = it.copies, ["id1"], Plain(1).message()
    for attempts in range(1, 4):
        for _ in range(2):
            message = copies.anew(message, CRASH_LIMIT).message
            ids.append(message.dedup_id)
        message = copies.retry(message, Failures(attempts, ""), 0).message
        ids.append(message.dedup_id)
    assert len(set(ids)) == len(ids)


def test_what_returned_is_settled_while_the_next_one_runs(bench: Callable[..., Bench]) -> None:
    go_on = threading.Event()

    def on(number: int) -> None:
        if number == 2:
            assert go_on.wait(5)

    it = bench(on)
    it.deliver(Plain(1), Plain(2))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    go_on.set()
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])


def test_what_returned_is_settled_before_other_listeners_have_their_turn(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_threads, "_SLICE", -1.0)
    turn = threading.Barrier(4)
    go_on = threading.Event()

    def other() -> None:
        turn.wait(5)
        go_on.wait(5)

    def on(_: int) -> None:
        it.workers.submit(other)  # waits for this thread: the others are taken

    it = bench(on)
    for _ in range(3):
        it.workers.submit(other)
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert not go_on.is_set()
    go_on.set()


def test_a_listener_is_not_idle_while_something_is_settled(bench: Callable[..., Bench]) -> None:
    settling, go_on = threading.Event(), threading.Event()
    it = bench(lambda _: None)
    settle = it.broker.settle

    def settle_slowly(batch: Sequence[Delivery], outcome: Outcome) -> None:
        settling.set()
        assert go_on.wait(5)
        settle(batch, outcome)

    it.broker.settle = settle_slowly  # type: ignore[method-assign]
    it.deliver(Plain(1))
    assert settling.wait(5)
    assert not it.dispatcher.wait_empty(time.monotonic() + 0.2)
    go_on.set()
    assert it.dispatcher.wait_empty(time.monotonic() + 5)
    assert it.broker.accepted() == [1]


def test_a_count_beyond_reason_is_no_count(bench: Callable[..., Bench]) -> None:
    it = bench(fail)
    it.deliver(Plain(1, headers={"eventing-attempts": "9" * 5000}))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert it.broker.sent[0][1].headers["eventing-attempts"] == "3"


def test_an_error_of_our_own_costs_one_delivery_and_not_the_listener(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Plain):
        def message(self) -> Message:
            msg = "a provider's bug"
            raise RuntimeError(msg)

    it = bench(fail)
    it.deliver(Broken(1))
    it.deliver(Plain(2))
    it.broker.wait_for(lambda: it.broker.accepted() == [2])
    assert it.dispatcher.wait_empty(threading.TIMEOUT_MAX)
    assert "its event stays unsettled" in caplog.text
    assert it.dispatcher.health().error == (
        "an unexpected error, and its event stays unsettled: RuntimeError: a provider's bug"
    )
    it.dispatcher.state(SubscriptionState.ACTIVE, 2, None)  # the broker delivers it again
    assert it.dispatcher.health().error == ""


def test_an_error_of_our_own_about_a_suspect_bars_nobody(bench: Callable[..., Bench]) -> None:
    class Broken(Plain):
        def message(self) -> Message:
            msg = "a provider's bug"
            raise RuntimeError(msg)

    it = bench(fail)
    it.deliver(Broken(1, count=SUSPECT))
    until(lambda: it.dispatcher.health().error != "", "the error", 5)
    it.deliver(Plain(2))
    it.broker.wait_for(lambda: it.broker.accepted() == [2])


def test_an_error_of_our_own_beside_a_suspect_gives_that_its_turn(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = bench(lambda _: None)
    settle = it.broker.settle

    def settle_but_release_nothing(batch: Sequence[Delivery], outcome: Outcome) -> None:
        if outcome is Outcome.RELEASE:
            fail(0)
        settle(batch, outcome)

    monkeypatch.setattr(it.broker, "settle", settle_but_release_nothing)
    it.deliver(Plain(1, count=SUSPECT), Plain(2))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert it.dispatcher.health().error != ""


@pytest.mark.parametrize("by_timer", [False, True])
def test_a_settlement_that_raises_is_told_and_stops_nobody(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, *, by_timer: bool
) -> None:
    go_on = threading.Event()
    it = bench(lambda number: number == 2 and go_on.wait(5) and None)
    monkeypatch.setattr(it.broker, "settle", lambda *_: fail(0))
    it.deliver(Plain(1), *[Plain(2)] * by_timer)
    until(lambda: it.dispatcher.health().error != "", "the error", 5)
    assert it.dispatcher.health().error == "deliveries can't be settled: ValueError: no 0"
    assert not it.dispatcher.health().consuming
    monkeypatch.undo()
    go_on.set()
    it.deliver(Plain(3))
    it.broker.wait_for(lambda: it.broker.accepted() == ([2, 3] if by_timer else [3]))
    it.dispatcher.state(SubscriptionState.ACTIVE, 2, None)
    assert it.dispatcher.health().consuming


@pytest.fixture
def broken_logging() -> Iterator[None]:
    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            msg = "the disk is full"
            raise OSError(msg)

    handler = Full()
    logging.getLogger("eventing").addHandler(handler)
    yield
    logging.getLogger("eventing").removeHandler(handler)


@pytest.mark.usefixtures("broken_logging")
def test_a_logging_handler_that_raises_costs_no_event(bench: Callable[..., Bench]) -> None:
    it = bench(fail)
    it.deliver(Plain(1), Plain(2, count=CRASH_LIMIT))
    it.broker.wait_for(lambda: sorted(it.broker.accepted()) == [1, 2])
    reasons = sorted(message.headers["eventing-reason"] for _, message, _ in it.broker.sent)
    assert reasons == ["crash-loop", "failed"]
    assert it.dispatcher.health().error == ""


@pytest.mark.usefixtures("broken_logging")
def test_a_logging_handler_that_raises_keeps_no_copy_from_being_tried_again(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_outlet, "_BACKOFF", (0.01, 0.01))
    it = bench(fail, retry=Retry(max_attempts=1))
    it.broker.refusals = [SendRejectedError("full")]
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert it.dispatcher.wait_empty(threading.TIMEOUT_MAX)
    assert it.dispatcher.health().error == ""


def test_a_settlement_that_raises_ends_the_copying_all_the_same(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = bench(fail, retry=Retry(max_attempts=1))
    monkeypatch.setattr(it.broker, "settle", lambda *_: fail(0))
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: len(it.broker.sent) == 1)
    assert it.dispatcher.wait_empty(threading.TIMEOUT_MAX)
    assert it.dispatcher.health().error == "deliveries can't be settled: ValueError: no 0"
    assert len(it.broker.sent) == 1


def test_a_window_that_the_provider_refuses_is_told_again(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = bench(lambda _: None)
    window = it.broker.window
    monkeypatch.setattr(it.broker, "window", lambda _: fail(0))
    it.deliver(Plain(1))  # the window grows
    until(lambda: not it.dispatcher.health().consuming, "the refusal", 5)
    assert it.dispatcher.health().error == "the provider failed to set the window: ValueError: no 0"
    monkeypatch.setattr(it.broker, "window", window)
    it.deliver(Plain(2), Plain(3))
    it.broker.wait_for(lambda: it.broker.windows == [1, 4])
    until(lambda: it.dispatcher.health().consuming, "credit", 5)
    assert it.dispatcher.health().error == ""


def test_a_close_settles_what_has_returned(bench: Callable[..., Bench]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def on(number: int) -> None:
        if number == 2:
            begun.set()
            assert go_on.wait(5)

    it = bench(on)
    it.timer.stop()
    it.deliver(Plain(1), Plain(2))
    assert begun.wait(5)
    assert it.broker.settled == []
    it.dispatcher.close()
    assert it.broker.accepted() == [1]
    go_on.set()


@pytest.mark.parametrize("kind", ["coroutine", "generator", "async_generator"])
def test_an_on_that_returns_something_unrun_has_failed(bench: Callable[..., Bench], kind: str) -> None:
    async def coroutine() -> None:
        """Never awaited."""

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    def generator() -> Iterator[int]:
        yield 1

    def on(_: int) -> object:
        return {"coroutine": coroutine, "generator": generator, "async_generator": async_generator}[kind]()

    it = bench(on, retry=Retry(max_attempts=1))
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert f"returned a {kind} that nobody runs" in it.broker.sent[0][1].headers["eventing-error-message"]


def test_copies_of_strangers_messages_with_one_message_id_have_ids_of_their_own(bench: Callable[..., Bench]) -> None:
    it = bench(fail, retry=Retry(max_attempts=1))
    for number in (1, 2):
        delivery = Plain(number)
        delivery.message().dedup_id = ""
        delivery.message().message_id = "same"
        it.deliver(delivery)
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])
    copies = [message for _, message, _ in it.broker.sent]
    assert [copy.message_id for copy in copies] == ["same", "same"]
    assert len({copy.dedup_id for copy in copies}) == 2


def test_ids_of_copies_do_not_grow_with_the_attempts(bench: Callable[..., Bench]) -> None:
    it = bench(fail, retry=Retry(max_attempts=9, initial=30, jitter=0))
    delivery = Plain(1, headers={"eventing-attempts": "4"})
    delivery.message().dedup_id = "id1/Listener/retry4"
    it.deliver(delivery)
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert it.broker.sent[0][1].dedup_id == "id1/Listener/retry5"


def test_a_failure_that_we_caused_by_cutting_short_counts_nothing(bench: Callable[..., Bench]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def on(number: int) -> None:
        begun.set()
        assert go_on.wait(5)
        fail(number)

    it = bench(on)
    it.deliver(Plain(1))
    assert begun.wait(5)
    it.dispatcher.pause()
    it.dispatcher.cut_short()
    go_on.set()
    assert it.dispatcher.wait_idle(threading.TIMEOUT_MAX)
    assert it.broker.sent == []
    assert it.broker.settled == []


def test_a_manager_that_stops_beside_this_one_fails_no_attempt(bench: Callable[..., Bench]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def on(_: int) -> None:
        begun.set()
        assert go_on.wait(5)
        raise ManagerStoppedError

    it = bench(on, retry=Retry(max_attempts=1))
    it.deliver(Plain(1))
    assert begun.wait(5)
    it.dispatcher.pause()
    go_on.set()
    assert it.dispatcher.wait_idle(threading.TIMEOUT_MAX)
    assert it.broker.settled == []  # it goes back when the subscription is closed
    assert it.broker.sent == []


def test_a_failure_after_the_connection_was_lost_makes_no_copy(bench: Callable[..., Bench]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def on(number: int) -> None:
        begun.set()
        assert go_on.wait(5)
        fail(number)

    it = bench(on, retry=Retry(max_attempts=1))
    it.deliver(Plain(1))
    assert begun.wait(5)
    it.dispatcher.state(SubscriptionState.INACTIVE, 1, ConnectionError("gone"))
    go_on.set()
    assert it.dispatcher.wait_idle(threading.TIMEOUT_MAX)
    assert it.broker.sent == []


def test_concurrency_is_reached_and_never_exceeded(bench: Callable[..., Bench]) -> None:
    meet = threading.Barrier(3)
    lock = threading.Lock()
    at_work = 0
    most = 0

    def on(_: int) -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        meet.wait(5)
        with lock:
            at_work -= 1

    it = bench(on, concurrency=3, prefetch=9)
    it.deliver(*(Plain(number) for number in range(9)))
    it.broker.wait_for(lambda: len(it.broker.accepted()) == 9)
    assert most == 3


def test_pause_gives_back_what_was_not_begun_and_lets_the_running_one_finish(bench: Callable[..., Bench]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def on(_: int) -> None:
        begun.set()
        assert go_on.wait(5)

    it = bench(on)
    it.deliver(Plain(1), Plain(2), Plain(3))
    assert begun.wait(5)
    it.dispatcher.pause()
    assert it.broker.released() == [2, 3]
    assert it.broker.windows[-1] == 0
    it.deliver(Plain(4))
    assert it.broker.released() == [2, 3]
    assert not it.dispatcher.wait_idle(0)
    go_on.set()
    assert it.dispatcher.wait_idle(threading.TIMEOUT_MAX)
    assert it.broker.accepted() == [1]


def test_a_failure_while_stopping_keeps_its_count_in_a_copy(bench: Callable[..., Bench]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def on(number: int) -> None:
        begun.set()
        assert go_on.wait(5)
        fail(number)

    it = bench(on)
    it.deliver(Plain(1))
    assert begun.wait(5)
    it.dispatcher.pause()
    go_on.set()
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    assert it.broker.sent[0][0].kind == "queue"
    assert it.broker.sent[0][1].headers["eventing-attempts"] == "1"


def test_held_retries_leave_as_copies_at_a_stop_and_keep_their_count(bench: Callable[..., Bench]) -> None:
    it = bench(fail, retry=Retry(initial=4, jitter=0))
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.dispatcher.health().held == 1)
    it.dispatcher.pause()
    assert it.broker.accepted() == [1]
    ((destination, copy, delay),) = it.broker.sent
    assert (destination.kind, copy.headers["eventing-attempts"], delay) == ("queue", "1", 4)


def test_a_copy_that_can_not_be_stored_does_not_hold_up_a_stop(bench: Callable[..., Bench]) -> None:
    it = bench(fail, retry=Retry(max_attempts=1))
    it.broker.refusals = [TimeoutError("full")] * 9
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: len(it.broker.sent) == 2)
    it.dispatcher.pause()
    assert it.dispatcher.wait_idle(threading.TIMEOUT_MAX)
    assert it.broker.settled == []


def test_attempts_do_not_share_context_variables(bench: Callable[..., Bench]) -> None:
    left_by: ContextVar[int] = ContextVar("left_by", default=0)
    found: list[int] = []

    def on(number: int) -> None:
        found.append(left_by.get())
        left_by.set(number)

    it = bench(on)
    it.deliver(Plain(1), Plain(2))
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])
    assert found == [0, 0]


def async_bench(on: Callable[[int], Any], *, retry: Retry | None = None, **settings: Any) -> Bench:
    @event_listener(Tick, **settings)
    class Listener(EventListener[Tick]):
        async def on(self, event: Tick) -> None:
            await on(event.number)

    return Bench(Listener(), retry=retry or Retry(max_attempts=2, initial=0))


def test_async_listeners_run_side_by_side_up_to_their_concurrency() -> None:
    at_work = 0
    most = 0
    meet = asyncio.Barrier(3)

    async def on(_: int) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await meet.wait()
        at_work -= 1

    it = async_bench(on, concurrency=3, prefetch=9)
    it.deliver(*(Plain(number) for number in range(9)))
    it.broker.wait_for(lambda: len(it.broker.accepted()) == 9)
    it.close()
    assert most == 3


def test_an_async_listeners_own_cancellation_is_a_failure() -> None:
    async def on(_: int) -> None:
        raise asyncio.CancelledError

    it = async_bench(on)
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    it.close()
    assert it.broker.sent[0][1].headers["eventing-attempts"] == "2"


@pytest.mark.parametrize("cut", [False, True])
def test_a_task_that_is_cancelled_before_it_begins_has_failed_unless_we_cut_it(*, cut: bool) -> None:
    seen: list[int] = []

    async def on(number: int) -> None:
        seen.append(number)

    it = async_bench(on, retry=Retry(max_attempts=1))
    dispatcher = it.dispatcher
    assert isinstance(dispatcher, LoopShell)

    def cancel() -> None:  # after the task is made, and before its turn
        if cut:
            Shell.cut_short(dispatcher)
        dispatcher._cancel()

    def deliver() -> None:
        dispatcher.deliver([Plain(1)])
        it.loop.loop.call_soon(cancel)
        delivered.set()

    delivered = threading.Event()
    it.loop.loop.call_soon_threadsafe(deliver)
    assert delivered.wait(5)
    assert dispatcher.wait_idle(threading.TIMEOUT_MAX)
    it.close()
    assert seen == []
    assert it.broker.accepted() == ([] if cut else [1])
    assert [message.headers["eventing-error-type"] for _, message, _ in it.broker.sent] == (
        [] if cut else ["asyncio.exceptions.CancelledError"]
    )


def test_a_cancellation_that_we_asked_for_counts_nothing() -> None:
    begun = threading.Event()
    ended: list[BaseException] = []

    async def on(_: int) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            ended.append(error)
            raise

    it = async_bench(on)
    it.deliver(Plain(1))
    assert begun.wait(5)
    it.dispatcher.pause()
    it.dispatcher.cut_short()
    assert it.dispatcher.wait_idle(threading.TIMEOUT_MAX)
    it.close()
    assert isinstance(ended[0], asyncio.CancelledError)
    assert it.broker.settled == []
    assert it.broker.sent == []


def test_a_decorated_async_on_is_run() -> None:
    seen: list[int] = []

    def decorated(on: Any) -> Any:
        @functools.wraps(on)
        def wrapper(*args: Any) -> Any:
            return on(*args)

        return wrapper

    @event_listener(Tick)
    class Listener(EventListener[Tick]):
        @decorated
        async def on(self, event: Tick) -> None:
            seen.append(event.number)

    it = Bench(Listener(), retry=Retry())
    it.deliver(Plain(1))
    it.broker.wait_for(lambda: it.broker.accepted() == [1])
    it.close()
    assert seen == [1]


def test_an_exit_in_a_task_that_a_listener_left_behind_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    async def leave() -> None:
        raise SystemExit

    left: list[Any] = []

    async def on(number: int) -> None:
        if number == 1:
            left.append(asyncio.create_task(leave()))

    it = async_bench(on)
    it.deliver(Plain(1))
    it.deliver(Plain(2))
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2])
    it.deliver(Plain(3))
    it.broker.wait_for(lambda: it.broker.accepted() == [1, 2, 3])
    it.close()
    assert "the loop goes on" in caplog.text
    assert isinstance(left[0].exception(), SystemExit)


def test_headers_set_by_a_failing_attempt_are_gone_in_the_next() -> None:
    message = Message(body=b"{}", headers={"a": "1"})
    envelope = Envelope(message.body, message.headers)
    envelope.set("a", "2")
    assert message.headers == {"a": "1"}


def test_a_logged_traceback_begins_with_the_listeners_own_code(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    it = bench(fail, retry=Retry(max_attempts=1))
    it.deliver(Plain(1))

    def told() -> list[logging.LogRecord]:
        return [record for record in caplog.records if "dead-letter queue" in record.getMessage()]

    until(lambda: bool(told()), "it is logged")
    (record,) = told()
    assert record.exc_info is not None
    frames = [frame.f_globals["__name__"] for frame, _ in traceback.walk_tb(record.exc_info[2])]
    assert frames
    assert not any(name.startswith("eventing_core.") for name in frames)
