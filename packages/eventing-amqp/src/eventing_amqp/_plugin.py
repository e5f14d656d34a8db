"""The AMQP provider as a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventing_amqp._config import AmqpConfig
from eventing_core.hookspecs import hookimpl
from eventing_core.provider import ProviderSpec

if TYPE_CHECKING:
    from eventing_core.provider import Provider


def _make(server_name: str, config: AmqpConfig) -> Provider:
    from eventing_amqp._provider import AMQProvider  # noqa: PLC0415 (listing providers imports as little as it can)

    return AMQProvider.from_config(server_name, config)


@hookimpl
def eventing_provider() -> ProviderSpec:
    """Offer the provider ``amqp``."""
    return ProviderSpec(name="amqp", config=AmqpConfig, factory=_make, spi_version=1)
