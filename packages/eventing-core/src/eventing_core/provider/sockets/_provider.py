"""What providers on a socket have in common: settings in, one connection, its end."""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import Any, Generic, Self, TypeVar

from eventing_core.errors import BrokerConnectionError, ConnectionLostError
from eventing_core.provider._interface import (
    Capabilities,
    Destination,
    Handle,
    Health,
    Observer,
    Producer,
    Provider,
    Subscriber,
    Subscription,
)
from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._connection import Connection
from eventing_core.provider.sockets._naming import queue_name

C = TypeVar("C", bound=SocketConfig)


class SocketProvider(Provider, Generic[C]):
    """One connection, one I/O thread. Thread-safe.

    A transport's own constructor takes its settings one by one.

    Args:
        server_name: this process's name in the cluster.
        config: the settings.
    """

    def __init__(self, server_name: str, config: C) -> None:
        self.server_name = server_name
        self.config = config
        self.capabilities = self.capabilities_with(config)
        #: Guards `_connection` and `_producers`: one connection, and one producer for each destination.
        self._lock = threading.Lock()
        self._connection: Connection[Any, Any] | None = None
        self._producers: dict[Destination, Producer] = {}

    @classmethod
    def from_config(cls, server_name: str, config: C) -> Self:
        """A provider with these settings."""
        provider = cls.__new__(cls)
        SocketProvider.__init__(provider, server_name, config)
        return provider

    @classmethod
    @abstractmethod
    def capabilities_with(cls, config: C) -> Capabilities:
        """What it can do, with these settings."""

    @abstractmethod
    def make_connection(self) -> Connection[Any, Any]:
        """A new connection; imports the driver."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server_name!r}, {self.config.host!r}, {self.config.port})"

    def open(self, observer: Observer) -> None:
        """Connect."""
        with self._lock:
            if self._connection is not None:
                msg = "the provider has been opened before"
                raise BrokerConnectionError(msg)
            self._connection = connection = self.make_connection()
        try:
            connection.open(observer)
        except BaseException:
            with self._lock:
                self._connection = None
                self._producers = {}
            raise

    def producer(self, destination: Destination) -> Producer:
        """A producer for that destination."""
        with self._lock:
            producer = self._producers.get(destination)
            if producer is None:
                producer = self._producers[destination] = self._connected().producer(destination)
            return producer

    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> Handle:
        """Create the queue, and attach to it."""
        return self._connected().subscribe(subscription, subscriber)

    def queue_name(self, destination: Destination) -> str:
        """What the broker calls a queue."""
        return queue_name(self.config.queue_name, destination)

    def health(self) -> Health:
        """Return the state of the connection."""
        connection = self._connection
        return connection.health() if connection else Health(connected=False, generation=0, error="not open")

    def close(self, timeout: float) -> None:
        """Close the connection."""
        connection = self._connection
        if connection is not None:
            connection.close(timeout)

    def abandon(self) -> None:
        """In a forked child: reset the provider to its initial state."""
        connection, self._connection = self._connection, None
        # It may be held by a thread that isn't there any more.
        self._lock = threading.Lock()
        self._producers = {}
        if connection is not None:
            connection.abandon()

    def _connected(self) -> Connection[Any, Any]:
        connection = self._connection
        if connection is None:
            msg = "the provider is not open"
            raise ConnectionLostError(msg)
        return connection
