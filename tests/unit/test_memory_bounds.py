"""The in-memory broker is bounded, confirms once, and lets callbacks call back."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from eventing_core.errors import (
    ConnectionLostError,
    SendTimeoutError,
    UnroutedError,
)
from eventing_core.memory import _address as address_module
from eventing_core.provider import Delivery, Destination, Outcome
from eventing_core.testing import Confirmations, Recorder
from eventing_core.testing._probe import deadline_in, texts
from tests.support.memory_bench import DURABLE, QUEUE, TOPIC, Bench, open_bench


@pytest.fixture
def small() -> Iterator[Bench]:
    """A broker with room for three messages a queue."""
    with open_bench(3) as bench:
        yield bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    with open_bench(1000) as bench:
        yield bench


# Bounds


def test_a_full_queue_lets_sends_wait_in_order_and_part_of_a_batch_through(small: Bench) -> None:
    provider = small.provider()
    recorder = small.listen(provider, window=2)
    done = small.send(provider, *"abcde")
    later = small.send(provider, "f")
    assert [index for index, _ in done.results.items()] == [0, 1, 2]
    recorder.settle(recorder.wait(2))
    assert done.errors == [None] * 5
    assert later.results.items() == []
    recorder.settle(recorder.wait(4)[2:])
    assert later.errors == [None]
    recorder.settle(recorder.wait(6)[4:])
    assert recorder.bodies() == list("abcdef")


def test_what_waits_is_in_every_queue_or_in_none(small: Bench) -> None:
    provider = small.provider()
    idle = small.listen(provider)
    swift = small.listen(provider, Destination("Event", "Swift", kind="queue"), window=10)
    done = small.send(provider, *"abcd", deadline=time.monotonic() + 0.1)
    swift.settle(swift.wait(3))
    [*_, (index, error)] = done.wait(4)
    assert index == 3
    assert isinstance(error, SendTimeoutError)
    assert not error.in_doubt
    assert swift.bodies() == ["a", "b", "c"]
    idle.handle.window(10)
    idle.settle(idle.wait(3))
    small.send(provider, "e")
    assert swift.bodies() == idle.bodies() == ["a", "b", "c", "e"]


def test_what_failed_at_its_deadline_lets_the_next_through(small: Bench) -> None:
    provider = small.provider()
    recorder = small.listen(provider)
    small.send(provider, *"abc")
    short = small.send(provider, "short", deadline=time.monotonic() + 0.05)
    long = small.send(provider, "long")
    short.wait(1)
    assert long.results.items() == []
    recorder.handle.window(1)
    recorder.settle(recorder.wait(1))
    assert long.errors == [None]


def test_a_retry_copy_finds_room_in_a_full_queue_as_long_as_its_original_is_out(small: Bench) -> None:
    provider = small.provider()
    recorder = small.listen(provider, window=1)
    small.send(provider, *"abc")
    assert small.send(provider, "copy", to=QUEUE).errors == [None]
    assert small.send(provider, "more", to=QUEUE, deadline=time.monotonic() - 1).errors != [None]
    recorder.settle(recorder.wait(1))
    assert small.stored() == ["b", "c", "copy"]


def test_a_deadline_in_the_past_sends_nothing(bench: Bench) -> None:
    provider = bench.provider()
    bench.listen(provider)
    [error] = bench.send(provider, "a", deadline=time.monotonic() - 1).errors
    assert isinstance(error, SendTimeoutError)
    assert bench.stored() == []


def test_without_a_deadline_a_send_waits_as_long_as_it_takes(small: Bench) -> None:
    provider = small.provider()
    recorder = small.listen(provider)
    done = small.send(provider, *"abcd", deadline=math.inf)
    recorder.handle.window(1)
    recorder.settle(recorder.wait(1))
    assert done.errors == [None] * 4


def test_a_delayed_message_takes_up_room_and_comes_when_due(small: Bench) -> None:
    provider = small.provider()
    recorder = small.listen(provider, window=10)
    begin = time.monotonic()
    small.send(provider, *"xyz", delay=0.1)
    waiting = small.send(provider, "a")
    assert waiting.results.items() == []
    recorder.settle(recorder.wait(3))
    assert time.monotonic() - begin >= 0.1
    assert recorder.wait(4)[3].message().body == b"a"


# Confirmations


def test_a_duplicate_is_confirmed_and_not_stored_by_destination(bench: Bench) -> None:
    provider = bench.provider()
    bench.listen(provider)
    assert bench.send(provider, "a", "a").errors == [None, None]
    assert bench.send(provider, "a").errors == [None]
    assert bench.stored() == ["a"]
    bench.send(provider, "a", to=QUEUE)
    assert bench.stored() == ["a", "a"]


@pytest.mark.parametrize(
    ("together", "batches", "stored"),
    [
        pytest.param(1, "abcabb", "abcab", id="one by one"),
        pytest.param(1, ("abc", "a", "d", "c", "e", "b"), "abcdeb", id="of a batch together"),
        pytest.param(2, "abacdab", "abcdab", id="of small batches in sets"),
    ],
)
def test_ids_are_forgotten_in_the_order_of_their_coming(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, together: int, batches: Sequence[str], stored: str
) -> None:
    monkeypatch.setattr(address_module, "REMEMBERED_IDS", 2)
    monkeypatch.setattr(address_module, "_TOGETHER", together)
    provider = bench.provider()
    bench.listen(provider)
    for batch in batches:
        bench.send(provider, *batch)
    assert bench.stored() == [*stored]


def test_an_address_without_queues_is_reported(bench: Bench) -> None:
    provider = bench.provider()
    for destination in (TOPIC, QUEUE, Destination("Event", "Listener", kind="dead")):
        errors = bench.send(provider, *"ab", to=destination).errors
        assert [type(error) for error in errors] == [UnroutedError, UnroutedError]
        assert errors[0] is not errors[1]
    bench.listen(provider)
    assert bench.send(provider, "a").errors == [None]


def test_closing_fails_what_waits_and_refuses_what_comes(small: Bench) -> None:
    provider = small.provider()
    small.listen(provider)
    done = small.send(provider, *"abcd")
    producer = provider.producer(TOPIC)
    provider.close(0.05)
    assert [type(error) for _, error in done.results.items()] == [type(None)] * 3 + [ConnectionLostError]
    with pytest.raises(ConnectionLostError, match="closed"):
        producer.send(texts("e"), done, deadline=deadline_in(10))
    with pytest.raises(ConnectionLostError, match="closed"):
        small.listen(provider)
    provider.close(0)
    assert not provider.health().connected


def test_closing_waits_for_sends_that_find_room_in_time(small: Bench) -> None:
    sender, consumer = small.provider(), small.provider()
    recorder = small.listen(consumer, window=1)
    done = small.send(sender, *"abcd")
    closing = threading.Thread(target=sender.close, args=(10,))
    closing.start()
    recorder.settle(recorder.wait(1))
    closing.join(10)
    assert done.errors == [None] * 4


def test_closing_leaves_no_thread(small: Bench) -> None:
    before = set(threading.enumerate())
    provider = small.provider()
    small.listen(provider)
    small.send(provider, "a", delay=1000)
    assert set(threading.enumerate()) > before
    provider.close(1)
    assert set(threading.enumerate()) == before


def test_a_delayed_message_outlives_its_senders_connection(small: Bench) -> None:
    provider = small.provider()
    small.listen(provider)
    small.send(provider, "a", delay=0.05)
    provider.close(1)
    assert small.listen(small.provider(), window=1).wait(1)


# Callbacks that call back


def test_callbacks_may_call_the_broker(bench: Bench) -> None:
    provider = bench.provider()
    recorder = bench.listen(provider, window=1)

    def react(batch: Sequence[Delivery]) -> None:
        number = int(batch[0].message().body)
        if number < 100:
            bench.send(provider, str(number + 1))
        recorder.settle(batch)

    recorder.react = react
    bench.send(provider, "0")
    assert recorder.bodies() == [str(number) for number in range(101)]


def test_a_callback_that_raises_fails_neither_the_send_nor_the_next_callback(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    provider = bench.provider()
    bad, good = (
        bench.listen(provider, window=10),
        bench.listen(provider, Destination("Event", "Good", kind="queue"), window=10),
    )

    def react(_: Sequence[Delivery]) -> None:
        raise RuntimeError("broken subscriber")

    bad.react = react
    done = bench.send(provider, *"ab")
    good.wait(2)
    done.wait(2)
    assert done.errors == [None, None]
    assert good.bodies() == ["a", "b"]
    assert "broken subscriber" in caplog.text


class GiveBackOnce:
    """Accepts deliveries; some of them the second time only."""

    def __init__(self) -> None:
        self.handled: list[bytes] = []
        self.released: set[bytes] = set()

    def __call__(self, recorder: Recorder, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            body = delivery.message().body
            if body.endswith(b"5") and body not in self.released:
                self.released.add(body)
                recorder.settle([delivery], Outcome.RELEASE)
            else:
                self.handled.append(body)
                recorder.settle([delivery])


def test_senders_and_consumers_on_many_threads_lose_and_mix_up_nothing(small: Bench) -> None:
    """Full all the time, with consumers that settle, give back, and lose their connection."""
    count, senders = 300, [small.provider() for _ in range(3)]
    consume = GiveBackOnce()
    consumers = [small.provider() for _ in range(2)]
    for consumer in consumers:
        recorder = small.listen(consumer, DURABLE, window=2)
        recorder.react = partial(consume, recorder)
    confirmed = [Confirmations() for _ in senders]

    def work(index: int) -> None:
        producer = senders[index].producer(TOPIC)
        for number in range(count):
            producer.send(texts(f"{index}-{number}"), confirmed[index], deadline=deadline_in(10))
            if number % 50 == 0:
                small.broker.disconnect(consumers[index % 2])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(senders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for confirmations in confirmed:
        assert {error for _, error in confirmations.wait(count)} == {None}
    assert small.stored(DURABLE) == []
    assert set(consume.handled) == {f"{index}-{number}".encode() for index in range(3) for number in range(count)}
