"""The in-memory provider: events between the managers of one process, with the semantics of a real broker."""

from eventing_core.memory._broker import MemoryBroker
from eventing_core.memory._config import MemoryConfig
from eventing_core.memory._provider import MemoryProvider

__all__ = ["MemoryBroker", "MemoryConfig", "MemoryProvider"]
