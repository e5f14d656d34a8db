"""Sends to one destination of the in-memory broker."""

from __future__ import annotations

from collections.abc import Sequence

from eventing_core.memory._address import Address
from eventing_core.memory._connection import Connection
from eventing_core.memory._engine import Engine
from eventing_core.provider import Done, Message, Producer


class MemoryProducer(Producer):
    """Thread-safe. Where there is room, ``done`` is called before `send` returns, save on the main thread."""

    __slots__ = ("_address", "_connection", "_engine")

    def __init__(self, engine: Engine, connection: Connection, address: Address) -> None:
        self._engine = engine
        self._connection = connection
        self._address = address

    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        """Put messages in every queue of the destination, all or none for each message, in their order."""
        self._engine.publish(self._connection, self._address, batch, done, deadline, delay)
