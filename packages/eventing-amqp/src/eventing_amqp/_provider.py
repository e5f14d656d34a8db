"""`AMQProvider`: AMQP 1.0 by Proton's engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from eventing_amqp._config import AmqpConfig
from eventing_core.provider import Capabilities
from eventing_core.provider.sockets import SocketProvider

if TYPE_CHECKING:
    from eventing_amqp._connection import AmqpConnection


_CAPABILITIES = Capabilities(
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
    exact_window=True,
    network=True,
    max_message_bytes=None,
)


class AMQProvider(SocketProvider[AmqpConfig]):
    """Events over Apache Artemis. Thread-safe; one connection, one I/O thread.

    Proton is imported when the provider is opened.

    Args:
        server_name: this process's name in the cluster.
        host: host of the broker.
        port: port of the broker.
        user: the user. If empty, a client certificate identifies the process, or it connects anonymously.
        password: the user's password, never shown. A function is called for each connection, on a separate thread,
            and returns the current password.
        **settings: other settings of `AmqpConfig`.

    Raises:
        ConfigError: a setting is invalid or unknown.
    """

    name = "amqp"

    def __init__(
        self,
        server_name: str,
        host: str = "localhost",
        port: int = 61616,
        user: str = "",
        password: str | SecretStr | Callable[[], str] = "",
        **settings: float | str | bool | Path | tuple[str, ...] | None,
    ) -> None:
        options: dict[str, Any] = {"host": host, "port": port, "user": user, "password": password, **settings}
        super().__init__(server_name, AmqpConfig.of(options))

    @classmethod
    def capabilities_with(cls, config: AmqpConfig) -> Capabilities:  # noqa: ARG003 (the same with any settings)
        """The capabilities."""
        return _CAPABILITIES

    def make_connection(self) -> AmqpConnection:
        """Create a connection."""
        from eventing_amqp._connection import AmqpConnection  # noqa: PLC0415 (the driver, not before it is used)

        return AmqpConnection(self.config, self.server_name)
