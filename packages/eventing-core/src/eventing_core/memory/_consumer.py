"""A subscription at the in-memory broker."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from eventing_core.provider import Delivery, Handle, Outcome, Subscriber, Subscription

if TYPE_CHECKING:
    from eventing_core.memory._connection import Connection
    from eventing_core.memory._engine import Engine
    from eventing_core.memory._queue import MemoryDelivery, Queue


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
        self, engine: Engine, connection: Connection, subscription: Subscription, subscriber: Subscriber
    ) -> None:
        self.engine = engine
        self.connection = connection
        self.subscription = subscription
        self.subscriber = subscriber
        self.queue: Queue | None = None
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
