"""The SQLite provider as a plugin."""

from eventing_core.hookspecs import hookimpl
from eventing_core.provider import ProviderSpec
from eventing_sqlite._config import SqliteConfig
from eventing_sqlite._provider import SqliteProvider


@hookimpl
def eventing_provider() -> ProviderSpec:
    """Offer the provider ``sqlite``."""
    return ProviderSpec(name=SqliteProvider.name, config=SqliteConfig, factory=SqliteProvider, spi_version=1)
