"""What producers and consumers need of the provider's I/O thread."""

import math
from collections.abc import Callable
from typing import Any, Protocol

from eventing_sqlite._config import SqliteConfig

Call = Callable[..., object]


class Io(Protocol):
    """Does what concerns the database."""

    config: SqliteConfig
    #: For tasks: the time, by the clock that processes share; what to call after the transaction; whom to serve.
    now: float
    after: list[Call]
    consumers: set[Any]

    def post(self, do: Call, deadline: float = math.inf, done: Call = id, count: int = 0) -> bool:
        """Have something done in the next transaction, in the order of posting; False when it is closed."""
        ...
