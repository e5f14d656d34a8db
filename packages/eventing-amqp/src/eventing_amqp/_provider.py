"""`AMQProvider`: AMQP 1.0 by Proton's engine."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from eventing_amqp._config import AmqpConfig
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

if TYPE_CHECKING:
    from eventing_amqp._connection import Connection


class AMQProvider(Provider):
    """Events over Apache Artemis. Thread-safe; one connection, one I/O thread.

    Proton is imported when it is opened.

    Args:
        server_name: this process's name in the cluster.
        host: the broker's.
        port: the broker's.
        user: empty for guests, or where a client certificate says who it is.
        password: of the user; kept as a secret.
        **settings: the further ones of `AmqpConfig`.

    Raises:
        pydantic.ValidationError: a setting is wrong.
    """

    name = "amqp"
    capabilities = Capabilities(
        durable=True,
        per_process=True,
        member_expiry=True,
        exclusive=True,
        delivery_count="delivered",
        uncounted_release=True,
        send_delay=True,
        dedup=True,
        reports_unroutable=True,
        individual_settlement=True,
        lease=False,
        network=True,
        max_message_bytes=None,
    )

    def __init__(
        self,
        server_name: str,
        host: str = "localhost",
        port: int = 61616,
        user: str = "",
        password: str | SecretStr = "",
        **settings: float | str | bool | Path | None,
    ) -> None:
        secret = password if isinstance(password, SecretStr) else SecretStr(password)
        options: dict[str, Any] = {"host": host, "port": port, "user": user, "password": secret, **settings}
        self._begin(server_name, AmqpConfig(**options))

    @classmethod
    def from_config(cls, server_name: str, config: AmqpConfig) -> AMQProvider:
        """A provider with these settings."""
        provider = cls.__new__(cls)
        provider._begin(server_name, config)  # noqa: SLF001 (of this class)
        return provider

    def _begin(self, server_name: str, config: AmqpConfig) -> None:
        self.server_name = server_name
        self.config = config
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._producers: dict[Destination, Producer] = {}

    def __repr__(self) -> str:
        return f"AMQProvider({self.server_name!r}, {self.config.host!r}, {self.config.port})"

    def open(self, observer: Observer) -> None:
        """Connect."""
        from eventing_amqp._connection import Connection  # noqa: PLC0415 (the driver, not before it is used)

        with self._lock:
            if self._connection is not None:
                msg = "the provider was opened before"
                raise BrokerConnectionError(msg)
            self._connection = connection = Connection(self.config, self.server_name)
        try:
            connection.open(observer)
        except BaseException:
            self._connection = None
            raise

    def producer(self, destination: Destination) -> Producer:
        """A producer for that destination."""
        with self._lock:
            producer = self._producers.get(destination)
            if producer is None:
                producer = self._producers[destination] = self._connected().producer(destination)
            return producer

    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> Handle:
        """Make the queue, and attach to it."""
        return self._connected().subscribe(subscription, subscriber)

    def health(self) -> Health:
        """How the connection is."""
        connection = self._connection
        return connection.health() if connection else Health(connected=False, generation=0, error="not open")

    def close(self, timeout: float) -> None:
        """Close the connection."""
        connection = self._connection
        if connection is not None:
            connection.close(timeout)

    def abandon(self) -> None:
        """In a forked child: be as new."""
        connection = self._connection
        # The lock may be held by a thread that isn't there any more.
        self._begin(self.server_name, self.config)
        if connection is not None:
            connection.abandon()

    def _connected(self) -> Connection:
        connection = self._connection
        if connection is None:
            msg = "the provider is not open"
            raise ConnectionLostError(msg)
        return connection
