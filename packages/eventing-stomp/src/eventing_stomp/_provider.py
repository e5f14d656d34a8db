"""`StompProvider`: STOMP 1.2 by stomp.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from eventing_core.provider import Capabilities
from eventing_core.provider.sockets import SocketProvider
from eventing_stomp._config import StompConfig

if TYPE_CHECKING:
    from eventing_stomp._link import StompLink


_ARTEMIS = Capabilities(
    durable=True,
    per_process=True,
    member_expiry=True,
    exclusive=True,
    delivery_count="flag",
    uncounted_release=True,
    send_delay=True,
    dedup=True,
    reports_unroutable=True,
    individual_settlement=True,
    lease=False,
    exact_window=False,
    network=True,
    max_message_bytes=None,
)

_RABBITMQ = replace(
    _ARTEMIS,
    exclusive=False,
    uncounted_release=False,
    send_delay=False,
    dedup=False,
    reports_unroutable=False,
    exact_window=True,
)


class StompProvider(SocketProvider[StompConfig]):
    """Events over Apache Artemis or RabbitMQ. Thread-safe; one connection, one I/O thread.

    stomp.py is imported when the provider is opened.

    Args:
        server_name: this process's name in the cluster.
        host: host of the broker.
        port: port of the broker.
        user: the user. If empty, a client certificate identifies the process, or it connects anonymously.
        password: the user's password, never shown. A function is called for each connection, on a separate thread,
            and returns the current password.
        **settings: other settings of `StompConfig`.

    Raises:
        ConfigError: a setting is invalid or unknown.
    """

    name = "stomp"

    def __init__(
        self,
        server_name: str,
        host: str = "localhost",
        port: int = 61613,
        user: str = "",
        password: str | SecretStr | Callable[[], str] = "",
        **settings: float | str | bool | Path | tuple[str, ...] | None,
    ) -> None:
        options: dict[str, Any] = {"host": host, "port": port, "user": user, "password": password, **settings}
        super().__init__(server_name, StompConfig.of(options))

    @classmethod
    def capabilities_with(cls, config: StompConfig) -> Capabilities:
        """The capabilities, which depend on the broker."""
        return _RABBITMQ if config.broker == "rabbitmq" else _ARTEMIS

    def make_connection(self) -> StompLink[Any]:
        """Create a connection."""
        from eventing_stomp._connections import of_broker  # noqa: PLC0415 (the driver, not before it is used)

        return of_broker(self.config)
