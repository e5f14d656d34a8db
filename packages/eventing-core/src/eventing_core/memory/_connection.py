"""What the broker knows of one provider: its connection, and its subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from eventing_core.memory._queue import MemoryDelivery, Queue
from eventing_core.provider import Delivery, Handle, Observer, Outcome, Subscriber, Subscription


class Connection:
    """One provider's connection, through its generations. The engine's lock guards it.

    Attributes:
        generation: rises with each reconnect.
        open: False once it was closed: sends are refused.
        pending: batches that wait for room.
        consumers: in the order of their subscription.
    """

    __slots__ = ("consumers", "generation", "observer", "open", "pending")

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.generation = 1
        self.open = True
        self.pending = 0
        self.consumers: list[Consumer] = []


class ConsumerEngine(Protocol):
    """What carries out what a subscription asks for. Thread-safe."""

    def settle(self, consumer: Consumer, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Take deliveries from what is out."""

    def set_window(self, consumer: Consumer, size: int) -> None:
        """Change how many may be out."""

    def unsubscribe(self, consumer: Consumer) -> Future[None]:
        """Detach for good."""
        ...


class Consumer(Handle):
    """One subscription, through its generations. The engine's lock guards its attributes.

    Attributes:
        queue: None while it isn't attached.
        size: the window.
        out: delivered and not settled, of this generation.
        closed: done when the broker has let go of it; None before `close`.
    """

    __slots__ = ("closed", "connection", "engine", "out", "queue", "size", "subscriber", "subscription")

    def __init__(
        self, engine: ConsumerEngine, connection: Connection, subscription: Subscription, subscriber: Subscriber
    ) -> None:
        self.engine = engine
        self.connection = connection
        self.subscription = subscription
        self.subscriber = subscriber
        self.queue: Queue[Consumer] | None = None
        self.size = 0
        self.out: set[MemoryDelivery] = set()
        self.closed: Future[None] | None = None

    def settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle; what isn't out by this subscription and generation is dropped."""
        self.engine.settle(self, batch, outcome)

    def window(self, size: int) -> None:
        """Set the window of this generation."""
        self.engine.set_window(self, size)

    def close(self) -> Future[None]:
        """Unsubscribe; what is out goes back, uncounted. Nothing is delivered once the future is done."""
        return self.engine.unsubscribe(self)
