"""Sends to one destination."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Protocol

from eventing_core.errors import ConnectionLostError, MessageTooLargeError, UnroutedError
from eventing_core.provider import Destination, Done, Message, Producer
from eventing_sqlite._config import SqliteConfig

Call = Callable[..., object]
#: The largest body: a long transaction holds up every other process.
MAX_BYTES = 16 * 1024 * 1024


def name_of(to: Destination) -> str:
    """Name of a queue; durability is no part of it."""
    return json.dumps((to.topic, to.kind, to.group, to.member))


def encode(message: Message, name: str) -> tuple[str, str, bytes]:
    """What tells a second send to there from others (empty: nothing does), properties, and body."""
    properties = asdict(message) | {"headers": dict(message.headers)}
    del properties["body"]
    return message.dedup_id and json.dumps((name, message.dedup_id)), json.dumps(properties), message.body


class Transactions(Protocol):  # all that producers and consumers see of the provider
    config: SqliteConfig
    now: float
    after: list[Call]

    def post(self, do: Call, deadline: float = ..., done: Call = ..., count: int = ...) -> bool: ...


class SqliteProducer(Producer):
    """Thread-safe."""

    def __init__(self, provider: Transactions, to: Destination) -> None:
        self._provider, self._to, self._name = provider, to, name_of(to)

    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        """Have messages stored, each in all queues, in one transaction with whatever else is to be done."""
        if any(len(message.body) > MAX_BYTES for message in batch):
            msg = f"a message to {self._to} has more than {MAX_BYTES} bytes"
            raise MessageTooLargeError(msg)
        rows = [encode(message, self._name) for message in batch]
        topic = self._to.topic if self._to.kind == "topic" else None

        def store(db: sqlite3.Connection) -> None:
            queues = db.execute("SELECT id FROM queue WHERE name = ? OR topic = ?", (self._name, topic)).fetchall()
            due = self._provider.now + delay if delay > 0 else 0.0
            for key, *content in rows if queues else ():
                if not key or db.execute("INSERT OR IGNORE INTO sent (key) VALUES (?)", (key,)).rowcount:
                    values = [(queue, due, *content) for (queue,) in queues]
                    db.executemany("INSERT INTO message (queue, due, properties, body) VALUES (?, ?, ?, ?)", values)
            error = None if queues else UnroutedError(f"{self._to} has no queue: nobody listens there, or ever has")
            self._provider.after += [partial(done, index, error) for index in range(len(batch))]

        if not self._provider.post(store, deadline, done, len(batch)):
            msg = f"can't send to {self._to}: the provider is closed"
            raise ConnectionLostError(msg)
