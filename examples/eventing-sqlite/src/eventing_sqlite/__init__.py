"""SQLite transport for Eventing: durable queues in one file, for the processes of one machine."""

from eventing_sqlite._config import SqliteConfig
from eventing_sqlite._provider import SqliteProvider

__all__ = ["SqliteConfig", "SqliteProvider"]
