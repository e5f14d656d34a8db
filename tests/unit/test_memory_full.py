"""A listener that sends to itself when everything is full: the send ends at its deadline, and nothing deadlocks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventing_core import SendTimeoutError
from eventing_core.memory import MemoryBroker
from eventing_core.testing import Log
from eventing_core.testing._kit import Kit, Sample


@pytest.fixture
def kit() -> Iterator[Kit]:
    broker = MemoryBroker.shared("full", max_messages=3)
    kit = Kit({"provider": "memory", "memory": {"broker": broker.name}})
    yield kit
    kit.close()


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_listener_that_sends_to_itself_when_all_is_full_times_out(kit: Kit, concurrency: int) -> None:
    errors: Log[Exception] = Log()
    handled: Log[int] = Log()
    go = kit.blocker()

    def on(event: Sample) -> None:
        if event.number < 3:
            go.wait(30)
            try:
                manager.send_event(kind(100 + event.number), timeout=0.2)
            except SendTimeoutError as error:
                errors.add(error)
        handled.add(event.number)

    kind = kit.event()
    manager = kit.manager(kit.listener(kind, on, concurrency=concurrency))
    manager.send_events(kind(number) for number in range(3))
    with pytest.raises(SendTimeoutError):
        manager.send_event(kind(99), timeout=0.05)
    go.set()
    handled.until(lambda numbers: {0, 1, 2} <= set(numbers), "every run ends")
    [first, *_] = errors.wait(1, "a send to a full queue ends at its deadline")
    assert isinstance(first, SendTimeoutError)
    assert not first.in_doubt
    manager.send_event(kind(50), timeout=30)
    handled.until(lambda numbers: 50 in numbers, "afterwards all goes on")
    assert 99 not in handled.items()
