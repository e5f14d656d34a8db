"""`send_events`: what goes in batches, and what waits for company."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from eventing_core import (
    Envelope,
    EnvelopePipeline,
    EventDescriptor,
    EventManager,
    MessageTooLargeError,
    SendEventsError,
    SendRejectedError,
    event,
)
from eventing_core.memory import MemoryProvider
from eventing_core.provider import Destination, Done, Message, Producer


@event()
@dataclass
class Mark:
    text: str


@event()
@dataclass
class Other:
    text: str


class Recording(MemoryProvider):
    """Keeps the batches, and confirms all of each at once; those that are withheld, when it is told to."""

    def __init__(self) -> None:
        super().__init__("here")
        self.changed = threading.Condition()
        self.batches: list[list[str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.withhold = False
        self.withheld: list[tuple[Done, int]] = []

    def producer(self, destination: Destination) -> Producer:
        return _RecordingProducer(self)

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: sum(map(len, self.batches)) >= count, 5)


class _RecordingProducer(Producer):
    def __init__(self, provider: Recording) -> None:
        self.provider = provider

    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        provider = self.provider
        texts = [message.body.decode().split('"')[3] for message in batch]
        if "large" in texts:
            msg = "large"
            raise MessageTooLargeError(msg)
        with provider.changed:
            provider.batches.append(texts)
            provider.headers += [message.headers for message in batch]
            provider.changed.notify_all()
        for index, text in enumerate(texts):
            if provider.withhold:
                provider.withheld.append((done, index))
            else:
                done(index, SendRejectedError("refused") if text == "refused" else None)


@pytest.fixture
def provider() -> Recording:
    return Recording()


@pytest.fixture
def manager(provider: Recording) -> Iterator[EventManager]:
    manager = EventManager(provider, listeners=[], pipelines=[])
    yield manager
    manager.stop(1)


def marks(count: int) -> list[Mark]:
    return [Mark(str(number)) for number in range(count)]


def sent(provider: Recording) -> list[str]:
    return [text for batch in provider.batches for text in batch]


def test_events_go_in_batches_and_in_order(provider: Recording, manager: EventManager) -> None:
    manager.send_events(marks(1000))
    assert sent(provider) == [str(number) for number in range(1000)]
    assert len(provider.batches) < 500
    assert max(map(len, provider.batches)) <= 128


def test_large_events_go_in_small_batches(provider: Recording, manager: EventManager) -> None:
    manager.send_events([Mark("x" * 200_000) for _ in range(8)])
    assert max(map(len, provider.batches)) <= 2


def test_each_class_has_its_own_batches_in_the_order_of_the_events(provider: Recording, manager: EventManager) -> None:
    manager.send_events([Mark("a"), Mark("b"), Other("c"), Other("d"), Mark("e")])
    assert sent(provider) == ["a", "b", "c", "d", "e"]
    assert all({"c", "d"}.isdisjoint(batch) or {"a", "b", "e"}.isdisjoint(batch) for batch in provider.batches)


def test_what_waits_for_company_goes_while_the_iterable_takes_its_time(
    provider: Recording, manager: EventManager
) -> None:
    def slow() -> Iterator[Mark]:
        yield from marks(3)
        provider.wait_for(3)  # else it would wait for ever
        yield Mark("last")

    manager.send_events(slow())
    assert sent(provider) == ["0", "1", "2", "last"]


def test_one_message_that_is_too_large_fails_alone(provider: Recording, manager: EventManager) -> None:
    events = marks(100)
    events[50] = Mark("large")
    with pytest.raises(SendEventsError) as caught:
        manager.send_events(events)
    ((index, error),) = caught.value.failures
    assert (index, type(error)) == (50, MessageTooLargeError)
    assert sent(provider) == [str(number) for number in range(caught.value.taken) if number != 50]


def test_a_refusal_is_told_by_its_index(provider: Recording, manager: EventManager) -> None:
    events = marks(40)
    events[20] = Mark("refused")
    with pytest.raises(SendEventsError) as caught:
        manager.send_events(events)
    assert [(index, type(error)) for index, error in caught.value.failures] == [(20, SendRejectedError)]
    assert len(sent(provider)) == caught.value.taken


def test_what_was_taken_is_sent_when_the_iterable_is_interrupted(provider: Recording, manager: EventManager) -> None:
    def interrupted() -> Iterator[Mark]:
        yield from marks(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        manager.send_events(interrupted())
    assert sent(provider) == ["0", "1", "2", "3", "4"]


def test_a_batch_counts_as_under_way_until_all_of_it_is_told(provider: Recording, manager: EventManager) -> None:
    provider.withhold = True
    ended = threading.Event()

    def run() -> None:
        manager.send_events(marks(200))
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    provider.wait_for(200)
    assert manager.health().sending.in_flight == 200
    last = provider.withheld.pop()
    for done, index in reversed(provider.withheld):
        assert not ended.is_set()
        done(index, None)
    assert manager.health().sending.in_flight == len(provider.batches[-1])
    assert not ended.is_set()
    done, index = last
    done(index, None)
    assert ended.wait(5)
    assert manager.health().sending.in_flight == 0


def test_with_pipelines_each_event_goes_alone_within_them(provider: Recording) -> None:
    seen: list[int] = []

    class Around(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
            before = len(sent(provider))
            yield
            seen.append(len(sent(provider)) - before)

    manager = EventManager(provider, listeners=[], pipelines=[Around])
    manager.send_events(marks(5))
    assert seen == [1] * 5
    manager.stop(1)


def test_headers_that_change_meanwhile_change_nothing(manager: EventManager, provider: Recording) -> None:
    headers: dict[str, Any] = {"tenant": "north"}

    def changing() -> Iterator[Mark]:
        yield Mark("a")
        headers["eventing-attempts"] = 7
        yield Mark("b")

    manager.send_events(changing(), headers=headers)
    assert sent(provider) == ["a", "b"]
    assert provider.headers == [{"tenant": "north"}] * 2
