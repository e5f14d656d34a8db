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
    """Events over Apache Artemis, or RabbitMQ. Thread-safe; one connection, one I/O thread.

    stomp.py is imported when it is opened.

    Args:
        server_name: this process's name in the cluster.
        host: the broker's.
        port: the broker's.
        user: empty for guests, or where a client certificate says who it is.
        password: of the user; kept as a secret. A function is called for each connection, on a thread that does
            nothing else, and returns the one that holds then.
        **settings: the further ones of `StompConfig`.

    Raises:
        ConfigError: a setting is wrong or unknown.
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
        """What it can do: that depends on the broker."""
        return _RABBITMQ if config.broker == "rabbitmq" else _ARTEMIS

    def make_connection(self) -> StompLink[Any]:
        """A new connection."""
        from eventing_stomp._connections import of_broker  # noqa: PLC0415 (the driver, not before it is used)

        return of_broker(self.config)
