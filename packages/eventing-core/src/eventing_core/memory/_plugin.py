"""The in-memory provider as a plugin, by the same hook as everyone's."""

from __future__ import annotations

from eventing_core.hookspecs import hookimpl
from eventing_core.memory._broker import MemoryBroker
from eventing_core.memory._config import MemoryConfig
from eventing_core.memory._provider import MemoryProvider
from eventing_core.provider import SPI_VERSION, ProviderSpec


def _make(server_name: str, config: MemoryConfig) -> MemoryProvider:
    if config.broker:
        return MemoryProvider(server_name, MemoryBroker.shared(config.broker, max_messages=config.max_messages))
    return MemoryProvider(server_name, max_messages=config.max_messages)


@hookimpl
def eventing_provider() -> ProviderSpec:
    """Offer the provider ``memory``."""
    return ProviderSpec(name=MemoryProvider.name, config=MemoryConfig, factory=_make, spi_version=SPI_VERSION)
