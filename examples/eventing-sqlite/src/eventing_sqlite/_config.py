"""Settings of the SQLite provider."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from eventing_core.provider import ProviderConfig


class SqliteConfig(ProviderConfig):
    """The table ``[sqlite]``. All times are in seconds.

    Attributes:
        file: the database; made where it doesn't exist. On a local disk: network file systems don't lock well enough.
        lease: what a process has out comes back to others so long after it was last heard from; a living one
            is heard from three times as often.
        poll: how often to look whether another process has changed the database.
        lock_timeout: how long to wait for another process's transaction, before the database counts as lost.
    """

    file: Path = Path("eventing.db")
    lease: float = Field(default=30.0, gt=0)
    poll: float = Field(default=0.05, gt=0)
    lock_timeout: float = Field(default=5.0, gt=0)
