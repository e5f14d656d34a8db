"""Settings of the in-memory provider."""

from __future__ import annotations

from pydantic import Field

from eventing_core.provider import ProviderConfig

#: Messages that a queue holds before sends have to wait.
MAX_MESSAGES = 100_000


class MemoryConfig(ProviderConfig):
    """The table ``[memory]``.

    Attributes:
        broker: name of a broker that all managers of this process share, which then stand for a
            cluster; empty: the manager has a broker of its own.
        max_messages: messages that a queue holds, those at listeners included, before sends have to
            wait. With a shared broker, the first one's setting holds.
    """

    broker: str = ""
    max_messages: int = Field(default=MAX_MESSAGES, ge=1)
