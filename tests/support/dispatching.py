"""A dispatcher on a subscription that only records what it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from eventing_core import EventListener, Retry, event, event_listener
from eventing_core.codec._codec import Codec
from eventing_core.declare._listener import describe_listener
from eventing_core.memory import MemoryProvider
from eventing_core.pipeline._chain import Chain
from eventing_core.provider import (
    Delivery,
    Destination,
    Done,
    Handle,
    Health,
    Message,
    Observer,
    Outcome,
    Producer,
    Provider,
    Subscriber,
    Subscription,
    SubscriptionState,
)
from eventing_core.provider._timer import Timer
from eventing_core.receive._copies import Copies
from eventing_core.receive._incoming import Incoming
from eventing_core.receive._loop import LoopShell
from eventing_core.receive._shell import Shell
from eventing_core.receive._threads import ThreadShell
from eventing_core.runtime._loop_watch import LoopWatch
from eventing_core.runtime._workers import LoopThread, Workers


@event()
@dataclass
class Tick:
    number: int


class Plain(Delivery):
    def __init__(
        self, number: int, *, count: int = 0, generation: int = 1, headers: dict[str, str] | None = None
    ) -> None:
        self.number = number
        self.delivery_count = count
        self.generation = generation
        self._message = Message(
            body=b'{"number":%d}' % number, headers=headers or {}, message_id=f"id{number}", dedup_id=f"id{number}"
        )

    def message(self) -> Message:
        return self._message

    def __repr__(self) -> str:
        return f"<{self.number}>"


class Recorder(Handle, Producer, Provider):
    """A provider's outside: it keeps what it is told, for tests to wait on."""

    name = "recorder"
    server_name = "here"
    capabilities = MemoryProvider.capabilities

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.settled: list[tuple[int, Outcome]] = []
        self.windows: list[int] = []
        self.sent: list[tuple[Destination, Message, float]] = []
        self.refusals: list[Exception] = []
        self.destination = Destination("")

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 5), (self.settled, self.windows, self.sent)

    def settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        with self.changed:
            self.settled.extend((delivery.number, outcome) for delivery in batch if isinstance(delivery, Plain))
            self.changed.notify_all()

    def window(self, size: int) -> None:
        with self.changed:
            self.windows.append(size)
            self.changed.notify_all()

    def close(self, timeout: float = 0.0) -> Any:
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def producer(self, destination: Destination) -> Producer:
        self.destination = destination
        return self

    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        with self.changed:
            self.sent.extend((self.destination, message, delay) for message in batch)
            refusal = self.refusals.pop(0) if self.refusals else None
            self.changed.notify_all()
        for index in range(len(batch)):
            done(index, refusal)

    def open(self, observer: Observer) -> None:
        raise AssertionError

    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> Handle:
        raise AssertionError

    def health(self) -> Health:
        raise AssertionError

    def abandon(self) -> None:
        raise AssertionError

    def accepted(self) -> list[int]:
        return [number for number, outcome in self.settled if outcome is Outcome.ACCEPT]

    def released(self) -> list[int]:
        return [number for number, outcome in self.settled if outcome is Outcome.RELEASE]


class Bench:
    """A dispatcher for one listener, ready to be given deliveries."""

    def __init__(self, listener: EventListener[Tick], *, retry: Retry, **capabilities: Any) -> None:
        self.broker = Recorder()
        self.workers = Workers(4, "test")
        self.loop = LoopThread("test")
        self.timer = Timer("test")
        descriptor = describe_listener(type(listener))
        self.broker.capabilities = replace(MemoryProvider.capabilities, **capabilities)
        self.copies = Copies(self.broker, descriptor, 1.0)
        incoming = Incoming(
            descriptor=descriptor,
            listener=listener,
            codec=Codec(descriptor.event),
            chain=Chain((), "handle"),
            retry=retry,
            copies=self.copies,
            capabilities=self.broker.capabilities,
            timer=self.timer,
        )
        self.dispatcher: Shell = (
            LoopShell(incoming, self.loop, LoopWatch(self.timer, self.loop))
            if descriptor.is_async
            else ThreadShell(incoming, self.workers)
        )
        self.workers.start()
        self.timer.start()
        self.loop.start()
        self.dispatcher.attach(self.broker)
        self.dispatcher.state(SubscriptionState.ACTIVE, 1, None)
        self.dispatcher.begin()

    def deliver(self, *deliveries: Delivery) -> None:
        self.dispatcher.deliver(deliveries)

    def close(self) -> None:
        self.dispatcher.pause()
        self.timer.stop()
        self.workers.stop(5)
        self.loop.stop(5)


@contextmanager
def benches() -> Iterator[Callable[..., Bench]]:
    """Makes benches, and closes them."""
    made: list[Bench] = []

    def make(
        on: Callable[[int], object], *, retry: Retry | None = None, ordered: bool = False, **settings: Any
    ) -> Bench:
        capabilities = settings.pop("capabilities", {})

        @event_listener(Tick, ordered=ordered, **settings)
        class Listener(EventListener[Tick]):
            def on(self, event: Tick) -> object:
                return on(event.number)

        made.append(Bench(Listener(), retry=retry or Retry(max_attempts=3, initial=0.01, jitter=0), **capabilities))
        return made[-1]

    yield make
    for one in made:
        one.close()


def fail(number: int) -> None:
    msg = f"no {number}"
    raise ValueError(msg)
