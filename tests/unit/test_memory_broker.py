"""What the in-memory broker gives out and takes back, over lost connections and restarts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from eventing_core.errors import (
    BrokerConnectionError,
    SendRejectedError,
    SendTimeoutError,
)
from eventing_core.memory import MemoryProvider
from eventing_core.memory._outbox import Outbox
from eventing_core.memory._shield import Shield
from eventing_core.provider import Destination, Outcome, SubscriptionState
from eventing_core.testing import Recorder
from tests.support.memory_bench import DURABLE, Bench, open_bench
from tests.support.waiting import until

ACTIVE, INACTIVE, FAILED = SubscriptionState.ACTIVE, SubscriptionState.INACTIVE, SubscriptionState.FAILED


def states(recorder: Recorder) -> list[tuple[SubscriptionState, int]]:
    return [(state, generation) for state, generation, _ in recorder.states.items()]


@pytest.fixture
def small() -> Iterator[Bench]:
    """A broker with room for three messages a queue."""
    with open_bench(3) as bench:
        yield bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    with open_bench(1000) as bench:
        yield bench


# Giving out and taking back


def test_competing_consumers_get_turns_within_their_windows(bench: Bench) -> None:
    one, two = bench.listen(bench.provider(), window=10), bench.listen(bench.provider(), window=2)
    bench.send(bench.provider(), *"abcdef")
    assert one.bodies() == ["a", "c", "e", "f"]
    assert two.bodies() == ["b", "d"]


def test_single_sends_alternate_between_consumers(bench: Bench) -> None:
    sender = bench.provider()
    one, two = bench.listen(sender, window=10), bench.listen(sender, window=10)
    for body in "abcd":
        bench.send(sender, body)
    assert sorted(one.bodies() + two.bodies()) == ["a", "b", "c", "d"]
    assert len(one.bodies()) == 2


def test_released_out_of_order_comes_back_in_the_original_order(bench: Bench) -> None:
    provider = bench.provider()
    recorder = bench.listen(provider, window=4)
    bench.send(provider, *"abcdef")
    first = recorder.wait(4)
    recorder.handle.window(0)
    recorder.settle([first[3], first[1]], Outcome.RELEASE)
    recorder.settle([first[2], first[0]], Outcome.RELEASE)
    recorder.handle.window(10)
    assert recorder.bodies()[4:] == ["a", "b", "c", "d", "e", "f"]
    assert [delivery.delivery_count for delivery in recorder.deliveries.items()] == [0] * 10


def test_a_settlement_counts_once_and_only_for_its_own_delivery(bench: Bench) -> None:
    provider = bench.provider()
    recorder = bench.listen(provider, window=1)
    bench.send(provider, *"ab")
    [first] = recorder.wait(1)
    recorder.settle([first], Outcome.RELEASE)
    recorder.settle([first])
    recorder.settle([first], Outcome.RELEASE)
    assert recorder.bodies() == ["a", "a"]
    assert bench.stored() == ["a", "b"]


def test_another_subscriptions_deliveries_cannot_be_settled(bench: Bench) -> None:
    provider = bench.provider()
    one = bench.listen(provider, window=1)
    other = bench.listen(provider, Destination("Event", "Other", kind="queue"), window=1)
    bench.send(provider, "a")
    other.settle(one.wait(1))
    assert bench.stored() == ["a"]


def test_closing_a_handle_gives_back_to_the_other_consumer_in_order(bench: Bench) -> None:
    provider = bench.provider()
    one = bench.listen(provider, window=3)
    bench.send(provider, *"abc")
    two = bench.listen(provider, window=10)
    one.settle([one.wait(3)[1]])
    closed = one.handle.close()
    assert one.handle.close() is closed
    closed.result(10)
    assert two.bodies() == ["a", "c"]
    assert [delivery.delivery_count for delivery in two.deliveries.items()] == [0, 0]


def test_exclusive_gives_all_to_the_first_then_to_the_next(bench: Bench) -> None:
    provider = bench.provider()
    one = bench.listen(provider, window=2, exclusive=True)
    two = bench.listen(bench.provider(), window=10, exclusive=True)
    bench.send(provider, *"abcd")
    assert (one.bodies(), two.bodies()) == (["a", "b"], [])
    one.handle.close()
    assert two.bodies() == ["a", "b", "c", "d"]


# Lost connections and restarts


def test_a_lost_connection_counts_what_was_delivered_and_begins_a_generation(bench: Bench) -> None:
    provider = bench.provider()
    recorder = bench.listen(provider, window=2)
    bench.send(provider, *"abc")
    stale = recorder.wait(2)
    bench.broker.disconnect(provider)
    assert states(recorder) == [(ACTIVE, 1), (INACTIVE, 1), (ACTIVE, 2)]
    fresh = recorder.wait(4)[2:]
    assert [(d.message().body, d.delivery_count, d.generation) for d in fresh] == [(b"a", 1, 2), (b"b", 1, 2)]
    recorder.settle(stale)
    assert bench.stored() == ["a", "b", "c"]
    assert provider.health().generation == 2
    assert bench.observed == [True, False, True]


def test_a_new_generation_begins_with_an_empty_window(bench: Bench) -> None:
    provider = bench.provider()
    recorder = bench.listen(provider, window=2)
    recorder.size = 0
    bench.broker.disconnect(provider)
    bench.send(provider, "a")
    assert recorder.bodies() == []


def test_subscriptions_of_one_lost_connection_inherit_nothing_from_each_other(bench: Bench) -> None:
    provider = bench.provider()
    recorders = [bench.listen(provider, window=2) for _ in range(2)]
    bench.send(provider, *"ab")
    bench.broker.disconnect(provider)
    again = [delivery for recorder in recorders for delivery in recorder.deliveries.items() if delivery.generation == 2]
    assert [delivery.delivery_count for delivery in again] == [1, 1]
    assert sum(len(recorder.deliveries.items()) for recorder in recorders) == 4


def test_other_connections_do_not_notice(bench: Bench) -> None:
    lost, kept = bench.provider(), bench.provider()
    one, two = bench.listen(lost, window=1), bench.listen(kept, window=1)
    bench.broker.disconnect(lost)
    assert len(states(one)) == 3
    assert states(two) == [(ACTIVE, 1)]


def test_a_restart_keeps_what_is_durable_alone(bench: Bench) -> None:
    provider = bench.provider()
    volatile = Destination("Event", "Volatile", kind="queue")
    durable, other = bench.listen(provider, DURABLE, window=1), bench.listen(provider, volatile)
    bench.send(provider, *"abc", durable=True)
    bench.send(provider, "lost")
    assert durable.bodies() == ["a"]
    bench.broker.restart()
    assert bench.stored() == ["a", "b", "c"]
    assert bench.stored(volatile) == []
    assert durable.wait(2)[1].delivery_count == 1
    assert states(other) == [(ACTIVE, 1), (INACTIVE, 1), (ACTIVE, 2)]
    bench.send(provider, "d")
    assert bench.stored(volatile) == ["d"]


def test_dead_letters_are_durable_by_kind(bench: Bench) -> None:
    provider = bench.provider()
    bench.listen(provider)
    dead = Destination("Event", "Listener", kind="dead")
    bench.send(provider, "a", to=dead, durable=True)
    bench.broker.restart()
    assert [message.body for message in bench.broker.dead_letters("Event", "Listener")] == [b"a"]
    assert bench.listen(provider, dead, window=1).bodies() == ["a"]


def test_room_taken_by_what_a_restart_dropped_is_free_again(small: Bench) -> None:
    provider = small.provider()
    small.listen(provider, DURABLE)
    small.send(provider, "scheduled", delay=1000)
    small.send(provider, "kept", durable=True)
    small.send(provider, "lost")
    small.broker.restart()
    assert small.stored() == ["kept"]
    assert small.send(provider, "a", durable=True).errors == [None]


def test_a_stopped_broker_lets_sends_wait_and_refuses_to_be_opened(bench: Bench) -> None:
    provider = bench.provider()
    recorder = bench.listen(provider, DURABLE, window=10)
    bench.broker.stop()
    assert not provider.health().connected
    assert "stopped" in provider.health().error
    done = bench.send(provider, *"abc")
    assert done.results.items() == []
    with pytest.raises(BrokerConnectionError, match="stopped"):
        bench.provider()
    bench.broker.start()
    assert done.errors == [None, None, None]
    assert recorder.bodies() == ["a", "b", "c"]
    assert provider.health().connected


def test_a_send_to_a_stopped_broker_fails_at_its_deadline(bench: Bench) -> None:
    provider = bench.provider()
    bench.listen(provider)
    bench.broker.stop()
    done = bench.send(provider, "a", deadline=time.monotonic() + 0.05)
    [(_, error)] = done.wait(1)
    assert isinstance(error, SendTimeoutError)
    bench.broker.start()
    assert bench.stored() == []


def test_the_last_connection_closes_while_another_opens_and_delayed_messages_still_come(bench: Bench) -> None:
    engine = bench.broker.engine
    last = bench.provider()
    opened: list[MemoryProvider] = []

    class Opening(Outbox):
        """A thread that opens just there."""

        def flush(self) -> None:
            super().flush()
            if not opened and not engine._connections:
                opened.append(MemoryProvider("next", bench.broker))
                bench.providers.append(opened[0])
                opened[0].open(lambda *_: None)

    engine._outbox = engine._store._outbox = Opening()
    last.close(1)
    recorder = bench.listen(opened[0], window=5)
    bench.send(opened[0], "late", delay=0.001)
    recorder.wait(1)
    assert recorder.bodies() == ["late"]


# Cuts and refusals


def test_a_cut_keeps_everything_and_start_mends_it(bench: Bench) -> None:
    provider = bench.provider()
    volatile = Destination("Event", "Volatile", kind="queue")
    recorder = bench.listen(provider, volatile, window=1)
    bench.send(provider, *"ab")
    recorder.wait(1)
    bench.broker.cut()
    bench.broker.cut()
    health = provider.health()
    assert not health.connected
    assert "can't be reached" in health.error
    with pytest.raises(BrokerConnectionError, match="can't be reached"):
        bench.provider()
    assert bench.stored(volatile) == ["a", "b"]
    bench.broker.start()
    assert provider.health().error == ""
    assert states(recorder) == [(ACTIVE, 1), (INACTIVE, 1), (ACTIVE, 2)]
    assert recorder.wait(2)[1].delivery_count == 1


def test_a_broker_that_stops_while_it_is_cut_off_loses_what_is_not_durable(bench: Bench) -> None:
    provider = bench.provider()
    bench.listen(provider, DURABLE)
    bench.send(provider, "a", durable=True)
    bench.send(provider, "b")
    bench.broker.cut()
    bench.broker.restart()
    assert bench.stored() == ["a"]


def test_sends_are_refused_for_a_while(bench: Bench) -> None:
    provider = bench.provider()
    bench.listen(provider, DURABLE)
    with bench.broker.refusing(Destination("Event")):
        errors = bench.send(provider, *"ab").errors
        assert [type(error) for error in errors] == [SendRejectedError] * 2
        assert bench.send(provider, "q", to=DURABLE).errors == [None]
    assert bench.send(provider, "c").errors == [None]
    assert bench.stored() == ["q", "c"]


def test_a_thread_whose_call_was_made_by_the_one_before_it_ends() -> None:
    over, made = threading.Event(), threading.Event()
    shield = Shield(lambda: None, over.is_set)
    ensure = shield._ensure_thread

    def late() -> bool:
        # The thread that there is makes the call, and ends, before this one looks whether there is one.
        made.wait(5)
        until(lambda: shield._thread is None, "it ends", 5)
        return ensure()

    shield.call(lambda: None)
    shield._ensure_thread = late  # type: ignore[method-assign]

    def last() -> None:
        over.set()
        made.set()

    shield.call(last)
    until(lambda: not [one for one in threading.enumerate() if one.name == "eventing-memory"], "no thread stays", 5)
