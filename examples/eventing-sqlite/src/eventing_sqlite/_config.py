"""Settings of the SQLite provider."""

from pathlib import Path

from pydantic import Field

from eventing_core.provider import ProviderConfig


class SqliteConfig(ProviderConfig):
    """The table ``[sqlite]``; times are in seconds."""

    #: The database; created if it doesn't exist.
    file: Path = Path("eventing.db")
    #: So long after a process was last heard from, or a quarter later, others get what it had out.
    lease: float = Field(default=30.0, gt=0)
    #: How often to look whether another process has changed the database.
    poll: float = Field(default=0.05, gt=0)
