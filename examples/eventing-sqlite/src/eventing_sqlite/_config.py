"""Settings of the SQLite provider."""

from pathlib import Path

from pydantic import Field

from eventing_core.provider import ProviderConfig


class SqliteConfig(ProviderConfig):
    """The table ``[sqlite]``. All times are in seconds.

    Attributes:
        file: the database; made where it doesn't exist.
        lease: so long after a process was last heard from, others get what it has out. It renews three times as often.
        poll: how often to look whether another process has changed the database.
    """

    file: Path = Path("eventing.db")
    lease: float = Field(default=30.0, gt=0)
    poll: float = Field(default=0.05, gt=0)
