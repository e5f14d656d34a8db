"""`MemoryProvider`: the embedded default, and the reference for the provider interface."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from eventing_core.errors import BrokerConnectionError, ConfigError, ConnectionLostError
from eventing_core.memory._broker import MemoryBroker
from eventing_core.memory._config import MAX_MESSAGES
from eventing_core.memory._connection import Connection, Consumer
from eventing_core.memory._producer import MemoryProducer
from eventing_core.provider import (
    Capabilities,
    Destination,
    Health,
    Observer,
    Producer,
    Provider,
    Subscriber,
    Subscription,
)

_log = logging.getLogger("eventing")


class MemoryProvider(Provider):
    """A connection to a `MemoryBroker`. Thread-safe.

    Callbacks run on the thread that is currently inside the broker: a sender, a worker that settles, or the broker's
    timer. They run one at a time, never under a lock of the broker, and possibly before the method that caused them
    returns: a subscriber may receive ``ACTIVE`` before `subscribe` has returned its handle.

    Args:
        server_name: this process's name in the cluster.
        broker: the broker, which may be shared with other providers; None means a private one. Messages in a private
            broker are lost when the provider is closed, unless another provider uses it, and a warning says how many.
            Therefore a manager that stops lets its listeners handle everything first.
        max_messages: maximum number of messages in each queue of a private broker.

    Raises:
        ConfigError: ``broker`` or ``max_messages`` is invalid.
    """

    name = "memory"
    capabilities = Capabilities(
        durable=True,
        per_process=True,
        member_expiry=False,
        exclusive=True,
        delivery_count="delivered",
        uncounted_release=True,
        send_delay=True,
        dedup=True,
        reports_unroutable=True,
        individual_settlement=True,
        lease=False,
        exact_window=True,
        network=True,
        max_message_bytes=None,
    )

    def __init__(
        self, server_name: str, broker: MemoryBroker | None = None, *, max_messages: int = MAX_MESSAGES
    ) -> None:
        if not (broker is None or isinstance(broker, MemoryBroker)):
            msg = (
                f"MemoryProvider: broker must be a MemoryBroker, or None, not of type {type(broker).__name__}. "
                "MemoryBroker.shared(...) takes a name."
            )
            raise ConfigError(msg)
        self.server_name = server_name
        self.broker = MemoryBroker(max_messages=max_messages) if broker is None else broker
        self._is_private = broker is None
        self.capabilities = replace(type(self).capabilities, retains=not self._is_private)
        #: None until it is open.
        self.connection: Connection | None = None
        self._producers: dict[Destination, MemoryProducer] = {}
        #: Guards `_producers`: one for each destination.
        self._lock = threading.Lock()

    def open(self, observer: Observer) -> None:
        """Connect; returns at once.

        Raises:
            BrokerConnectionError: the broker is stopped or cut off, or the provider has been opened before.
        """
        if self.connection is not None:
            msg = "the provider has been opened before"
            raise BrokerConnectionError(msg)
        self.connection = self.broker.engine.connect(observer)

    def producer(self, destination: Destination) -> Producer:
        """A producer for that destination."""
        with self._lock:
            producer = self._producers.get(destination)
            if producer is None:
                engine = self.broker.engine
                producer = MemoryProducer(engine, self._connected(), engine.address(destination))
                self._producers[destination] = producer
            return producer

    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> Consumer:
        """Create the queue, if necessary, and attach to it."""
        return self.broker.engine.subscribe(self._connected(), subscription, subscriber)

    def health(self) -> Health:
        """Return the state of the connection."""
        connection = self.connection
        if connection is None or not connection.open:
            return Health(connected=False, generation=connection.generation if connection else 0, error="not open")
        connected = self.broker.engine.is_up(connection)
        return Health(
            connected=connected,
            generation=connection.generation,
            error=self.broker.engine.down,
        )

    def unhandled(self) -> int:
        """Return the number of events that would be lost with a private broker."""
        return sum(self.broker.engine.unhandled().values()) if self._ends_with_us() else 0

    def close(self, timeout: float) -> None:
        """Close the connection. Sends that wait for space may still succeed within ``timeout`` seconds."""
        if self.connection is not None:
            self.broker.engine.disconnect_for_good(self.connection, timeout)
            lost = self.broker.engine.unhandled() if self._ends_with_us() else {}
            for queue, count in lost.items():
                _log.warning("memory: %d events for %s were not handled, and are lost with their broker", count, queue)

    def _ends_with_us(self) -> bool:
        """Whether nobody else uses the broker, so that what is left in it isn't handled by anyone."""
        return self._is_private and not self.broker.engine.serves_others(self.connection)

    def abandon(self) -> None:
        """In a forked child: drop the parent's connection. The child's broker is empty, even if it is shared."""
        self._lock = threading.Lock()
        self.connection = None
        self._producers = {}
        self.broker.begin_in_child()

    def _connected(self) -> Connection:
        if self.connection is None:
            msg = "the provider is not open"
            raise ConnectionLostError(msg)
        return self.connection
