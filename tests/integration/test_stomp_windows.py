"""Artemis over STOMP counts bytes, and a listener's window events: how the one follows the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from eventing_core import EventListener, EventManager, event, event_listener
from eventing_core.testing import Recorder
from eventing_stomp import StompProvider
from eventing_stomp._consumer import StompConsumer
from examples.artemis import Artemis
from tests.support.bench import Bench, accepting, opened
from tests.support.waiting import until

TIMEOUT = 30.0


@pytest.fixture(autouse=True)
def stomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "kind", "stomp")


class Slow:
    """Settles the oldest delivery, one at a time, so that something is out always."""

    def __init__(self, recorder: Recorder) -> None:
        self.settled = len(recorder.deliveries.items())
        self._recorder = recorder
        handle: Any = recorder.handle
        self._consumer = handle.consumer

    @property
    def out(self) -> int:
        return len(self._recorder.deliveries.items()) - self.settled

    def step(self) -> None:
        until(lambda: self.out > 0, "one comes", 5)
        before = len(self._recorder.deliveries.items())
        self._recorder.settle([self._recorder.deliveries.items()[self.settled]])
        self.settled += 1
        # While it drains, none comes.
        until(lambda: len(self._recorder.deliveries.items()) > before or self._consumer._draining, "the next one", 5)

    def until_out(self, number: int, *, within: int) -> None:
        """Settle at most so many, until so many are out."""
        for _ in range(within):
            if self.out == number:
                break
            self.step()
        until(lambda: self.out == number, lambda: f"{number} at once: {self.out}", 3)


@pytest.mark.parametrize("size", [9_000, 30_000, 100_000])
def test_a_window_of_large_messages_is_filled_while_some_are_out(
    artemis: Artemis, unique: Callable[[str], str], size: int
):
    with opened(artemis, unique("large")) as bench:
        recorder = bench.listen_active(window=8)
        slow = Slow(recorder)
        bench.put(*[f"{number:03d}" + "x" * size for number in range(80)])
        slow.until_out(8, within=20)
        # And remains so.
        for _ in range(8):
            slow.step()
            until(lambda: slow.out == 8, "the next one")
        recorder.handle.window(24)
        slow.until_out(24, within=30)
        assert recorder.bodies() == sorted(recorder.bodies())


def test_messages_that_become_larger_fill_a_window(artemis: Artemis, unique: Callable[[str], str]):
    with opened(artemis, unique("growing")) as bench:
        recorder = accepting(bench.listen_active(window=8))
        bench.put(*["x" * 4_000] * 300)
        recorder.wait(300)
        recorder.react = None
        slow = Slow(recorder)
        bench.put(*["y" * 20_000] * 150)
        slow.until_out(8, within=100)


# -- whole listeners --------------------------------------------------------------------------------------------------


@contextmanager
def listening(
    broker: Artemis, name: str, on: Callable[[Any], object], **settings: Any
) -> Iterator[tuple[EventManager, Any]]:
    """A started manager with one listener, and the event."""

    @event(f"Event-{name}", durable=True)
    @dataclass
    class Text:
        number: int
        text: str

    @event_listener(Text, name=f"Listener-{name}", **settings)
    class Listener(EventListener[Text]):
        def on(self, event: Text) -> None:
            on(event)

    provider = StompProvider("server", broker.host, broker.port, broker.user, broker.password)
    with EventManager(provider, listeners=[Listener], pipelines=[]) as manager:
        yield manager, Text


def test_eight_handlers_of_large_events_run_at_once(artemis: Artemis, unique: Callable[[str], str]):
    together = threading.Barrier(8)
    met: list[int] = []

    def on(event: Any) -> None:
        # By the first ones their size becomes known.
        if event.number >= 8:
            together.wait(TIMEOUT)
        met.append(event.number)

    with listening(artemis, unique("eight"), on, concurrency=8) as (manager, text):
        manager.send_events([text(number, "x" * 30_000) for number in range(40)])
        until(lambda: len(met) == 40, lambda: f"eight at once, four times: {met}")


def test_order_is_kept_while_the_subscription_is_made_anew(
    artemis: Artemis, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
):
    sizes: list[int] = []
    inherited = StompConsumer.subscribe

    def subscribe(self: StompConsumer, generation: Any, size: int) -> None:
        sizes.append(size)
        inherited(self, generation, size)

    monkeypatch.setattr(StompConsumer, "subscribe", subscribe)
    handled: list[int] = []
    count = 2_000
    with listening(artemis, unique("order"), lambda event: handled.append(event.number)) as (manager, text):
        # Runs of small ones, of large ones, and one large one among small ones.
        texts = [
            "x" * (40_000 if number // 100 % 3 == 1 else 300_000 if number % 100 == 50 else 100)
            for number in range(count)
        ]
        manager.send_events((text(number, texts[number]) for number in range(count)), timeout=TIMEOUT)
        until(lambda: len(handled) >= count, lambda: f"all is handled: {len(handled)}")
    assert handled == list(range(count))
    assert len(sizes) > 3, sizes
