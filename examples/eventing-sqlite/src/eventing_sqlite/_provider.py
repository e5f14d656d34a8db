"""`SqliteProvider`: queues in one file, through the standard library."""

from __future__ import annotations

from functools import partial

from eventing_core.errors import BrokerConnectionError, ConnectionLostError
from eventing_core.provider import (
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
from eventing_sqlite._config import SqliteConfig
from eventing_sqlite._consumer import SqliteConsumer
from eventing_sqlite._loop import Loop
from eventing_sqlite._producer import MAX_BYTES, SqliteProducer


class SqliteProvider(Provider):
    """Events between the processes of one machine. Thread-safe; one connection, one I/O thread.

    Everything is durable, whether it asks for it or not.

    Args:
        server_name: this process's name in the cluster.
        config: the settings.
    """

    name = "sqlite"
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
        lease=True,
        network=False,
        max_message_bytes=MAX_BYTES,
    )

    def __init__(self, server_name: str, config: SqliteConfig | None = None) -> None:
        self.server_name = server_name
        self.config = config or SqliteConfig()
        self.abandon()

    def open(self, observer: Observer) -> None:
        """Open the database, in at most ``lock_timeout`` seconds.

        Raises:
            BrokerConnectionError: the file can't be used, or is locked by another process.
        """
        loop = Loop(self.config, observer)
        try:
            loop.open()
        except Exception as error:
            msg = f"{self.config.file}: {error}"
            raise BrokerConnectionError(msg) from error
        self._loop = loop

    def producer(self, destination: Destination) -> Producer:
        """A producer for that destination."""
        return self._producers.setdefault(destination, SqliteProducer(self._running(), destination))

    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> Handle:
        """Make the queue, and attach to it."""
        loop = self._running()
        consumer = SqliteConsumer(loop, subscription, subscriber)
        if not loop.post(partial(loop.add, consumer)):
            msg = f"can't subscribe to {subscription.destination}: the provider is closed"
            raise ConnectionLostError(msg)
        return consumer

    def health(self) -> Health:
        """How the database is."""
        loop = self._loop
        if loop is None:
            return Health(connected=False, generation=0, error="not open")
        return Health(connected=loop.connected, generation=loop.generation, error=loop.error)

    def close(self, timeout: float) -> None:
        """Carry out what was begun, give back the rest, and close the database."""
        if self._loop is not None:
            self._loop.close(timeout)

    def abandon(self) -> None:
        """In a forked child: be as new. The connection was the I/O thread's alone, and that doesn't exist here."""
        self._loop: Loop | None = None
        self._producers: dict[Destination, SqliteProducer] = {}

    def _running(self) -> Loop:
        if self._loop is None:
            msg = "the provider is not open"
            raise BrokerConnectionError(msg)
        return self._loop
