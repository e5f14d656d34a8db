"""Settings of the in-memory provider."""

from __future__ import annotations

from pydantic import Field

from eventing_core.provider import ProviderConfig

#: Messages that a queue holds before sends have to wait.
MAX_MESSAGES = 100_000


class MemoryConfig(ProviderConfig):
    """The table ``[memory]``.

    Attributes:
        broker: managers in one process with the same broker name share that broker, like a cluster. If empty,
            the manager has a private broker.
        max_messages: maximum number of messages in a queue, including unsettled ones; further sends wait. For a
            shared broker, the setting of the first manager applies.
    """

    broker: str = ""
    max_messages: int = Field(default=MAX_MESSAGES, ge=1)
