"""A provider that calls back on its caller's thread, wherever the interface allows it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from eventing_core.errors import SendRejectedError, UnroutedError
from eventing_core.memory import MemoryProvider
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
from tests.support.locks import _real_rlock

Foreign = Callable[[str], None]


@dataclass
class InlineDelivery(Delivery):
    """As a stranger may write it: it can't be hashed, and those of equal content are equal."""

    content: Message
    generation: int
    delivery_count: int
    foreign: Foreign

    def message(self) -> Message:
        self.foreign("Delivery.message")
        return self.content

    def __eq__(self, other: object) -> bool:
        self.foreign("Delivery.__eq__")
        return isinstance(other, InlineDelivery)

    __hash__ = None  # type: ignore[assignment]


class InlineProvider(Provider):
    """Confirms, delivers and tells states on its caller's thread, before the method that was called returns.

    Args:
        foreign: called whenever code runs that is not the core's.
    """

    name = "inline"
    server_name = "here"

    def __init__(self, foreign: Foreign, *, retains: bool = True, send_delay: bool = False) -> None:
        self.capabilities = replace(
            MemoryProvider.capabilities, retains=retains, send_delay=send_delay, network=False, dedup=False
        )
        self.foreign = foreign
        #: Held while it changes its own data, never while it calls back.
        self.lock = _real_rlock()
        self.generation = 0
        self.handles: list[InlineHandle] = []
        self.dead: list[Message] = []
        #: Destinations' kinds that refuse sends.
        self.refused: set[str] = set()
        self.rejections = 0

    def open(self, observer: Observer) -> None:
        self.foreign("open")
        self.generation = 1
        observer(True, None)

    def producer(self, destination: Destination) -> Producer:
        self.foreign("producer")
        return InlineProducer(self, destination)

    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> Handle:
        self.foreign("subscribe")
        handle = InlineHandle(self, subscription, subscriber)
        self.handles.append(handle)
        subscriber.state(SubscriptionState.ACTIVE, self.generation, None)
        return handle

    def health(self) -> Health:
        self.foreign("health")
        return Health(connected=self.generation > 0, generation=self.generation)

    def unhandled(self) -> int:
        self.foreign("unhandled")
        return sum(len(handle.queue) + len(handle.out) for handle in self.handles)

    def close(self, timeout: float) -> None:
        self.foreign("close")
        for handle in [*self.handles]:
            handle.close()

    def abandon(self) -> None:
        self.foreign("abandon")

    def lose(self) -> None:
        """Lose the connection, and have a new one."""
        self.generation += 1
        for handle in [*self.handles]:
            handle.lose()


class InlineProducer(Producer):
    def __init__(self, provider: InlineProvider, destination: Destination) -> None:
        self.provider = provider
        self.destination = destination

    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        provider, to = self.provider, self.destination
        provider.foreign("send")
        for index, message in enumerate(batch):
            error: Exception | None = None
            with provider.lock:
                handles = list(self._handles())
                if to.kind in provider.refused:
                    provider.rejections += 1
                    error = SendRejectedError("refused")
                elif to.kind == "dead":
                    provider.dead.append(message)
                elif not handles:
                    error = UnroutedError("nobody listens")
                for handle in handles if error is None else ():
                    handle.queue.append((message, 0))
            done(index, error)
            for handle in handles:
                handle.pump()

    def _handles(self) -> Iterator[InlineHandle]:
        for handle in self.provider.handles:
            its = handle.subscription.destination
            if (self.destination.kind == "topic" and its.topic == self.destination.topic) or (
                self.destination.kind == "queue" and its == self.destination
            ):
                yield handle


class InlineHandle(Handle):
    def __init__(self, provider: InlineProvider, subscription: Subscription, subscriber: Subscriber) -> None:
        self.provider = provider
        self.subscription = subscription
        self.subscriber = subscriber
        self.queue: deque[tuple[Message, int]] = deque()
        self.out: list[InlineDelivery] = []
        self.size = 0
        self.accepted: list[str] = []

    def settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        self.provider.foreign("settle")
        with self.provider.lock:
            for delivery in batch:
                assert isinstance(delivery, InlineDelivery)
                before = len(self.out)
                self.out = [each for each in self.out if each is not delivery]
                if len(self.out) == before:
                    continue  # of an older generation
                if outcome is Outcome.ACCEPT:
                    self.accepted.append(delivery.content.message_id)
                else:
                    self.queue.appendleft((delivery.content, 0))
        self.pump()

    def window(self, size: int) -> None:
        self.provider.foreign("window")
        self.size = size
        self.pump()

    def pump(self) -> None:
        with self.provider.lock:
            room = max(0, self.size - len(self.out))
            some = [self.queue.popleft() for _ in range(min(room, len(self.queue)))]
            batch = [
                InlineDelivery(message, self.provider.generation, count, self.provider.foreign)
                for message, count in some
            ]
            self.out += batch
        if batch:
            self.subscriber.deliver(batch)

    def lose(self) -> None:
        with self.provider.lock:
            self.size = 0
            for delivery in reversed(self.out):
                self.queue.appendleft((delivery.content, delivery.delivery_count + 1))
            self.out = []
        self.subscriber.state(SubscriptionState.INACTIVE, 0, ConnectionError("lost"))
        self.subscriber.state(SubscriptionState.ACTIVE, self.provider.generation, None)

    def close(self) -> Future[None]:
        self.provider.foreign("close")
        self.size = 0
        future: Future[None] = Future()
        future.set_result(None)
        return future
