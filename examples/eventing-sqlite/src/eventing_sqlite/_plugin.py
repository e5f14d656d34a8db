"""The SQLite provider as a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventing_core.hookspecs import hookimpl
from eventing_core.provider import ProviderSpec
from eventing_sqlite._config import SqliteConfig

if TYPE_CHECKING:
    from eventing_core.provider import Provider


def _make(server_name: str, config: SqliteConfig) -> Provider:
    from eventing_sqlite._provider import SqliteProvider  # noqa: PLC0415 (the driver is imported when it is used)

    return SqliteProvider(server_name, config)


@hookimpl
def eventing_provider() -> ProviderSpec:
    """Offer the provider ``sqlite``."""
    return ProviderSpec(name="sqlite", config=SqliteConfig, factory=_make)
