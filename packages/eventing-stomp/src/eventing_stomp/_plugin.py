"""The STOMP provider as a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventing_core.hookspecs import hookimpl
from eventing_core.provider import ProviderSpec
from eventing_stomp._config import StompConfig

if TYPE_CHECKING:
    from eventing_core.provider import Provider


def _make(server_name: str, config: StompConfig) -> Provider:
    from eventing_stomp._provider import StompProvider  # noqa: PLC0415 (listing providers imports as little as it can)

    return StompProvider.from_config(server_name, config)


@hookimpl
def eventing_provider() -> ProviderSpec:
    """Offer the provider ``stomp``."""
    return ProviderSpec(name="stomp", config=StompConfig, factory=_make, spi_version=1)
