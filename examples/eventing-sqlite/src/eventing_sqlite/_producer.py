"""Sends to one destination."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from eventing_core.errors import ConnectionLostError, MessageTooLargeError, SendError, UnroutedError
from eventing_core.provider import Destination, Done, Message, Producer
from eventing_sqlite._message import name_of, properties_of

if TYPE_CHECKING:
    from eventing_sqlite._provider import SqliteProvider

#: The largest body, in bytes: a long transaction holds up every other process.
MAX_BYTES = 16 * 1024 * 1024
#: How many sends are remembered at least; every so many, older ones are forgotten.
_REMEMBERED, _EVERY = 100_000, 1_000


class SqliteProducer(Producer):
    """Thread-safe."""

    def __init__(self, provider: SqliteProvider, to: Destination) -> None:
        self._provider, self._to, self._name = provider, to, name_of(to)

    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        """Hand messages to the I/O thread, which stores them in one transaction with whatever else is there."""
        if any(len(message.body) > MAX_BYTES for message in batch):
            msg = f"a message to {self._to} has more than {MAX_BYTES} bytes"
            raise MessageTooLargeError(msg)
        rows = [
            (message.dedup_id and json.dumps((self._name, message.dedup_id)), properties_of(message), message.body)
            for message in batch
        ]

        def finish(error: SendError | None) -> None:
            for index in range(len(batch)):
                done(index, error)

        def store(db: sqlite3.Connection) -> None:
            routed = self._store(db, rows, self._provider.now + delay if delay > 0 else 0.0)
            error = None if routed else UnroutedError(f"{self._to} has no queue: nobody listens there, or ever has")
            self._provider.after.append(partial(finish, error))

        if not self._provider.post(store, deadline, finish):
            msg = f"can't send to {self._to}: the provider is closed"
            raise ConnectionLostError(msg)

    def _store(self, db: sqlite3.Connection, rows: Sequence[tuple[str, str, bytes]], due: float) -> bool:
        """Store each message in all queues, unless it is known; False when there is no queue."""
        topic = self._to.topic if self._to.kind == "topic" else None
        queues = db.execute("SELECT id FROM queue WHERE name = ? OR topic = ?", (self._name, topic)).fetchall()
        for key, *content in rows if queues else ():
            if key:
                sent = db.execute("INSERT OR IGNORE INTO sent (key) VALUES (?)", (key,))
                if not sent.rowcount:
                    continue
                if sent.lastrowid and sent.lastrowid % _EVERY == 0:
                    db.execute("DELETE FROM sent WHERE id <= ?", (sent.lastrowid - _REMEMBERED,))
            query = "INSERT INTO message (queue, due, properties, body) VALUES (?, ?, ?, ?)"
            db.executemany(query, [(queue, due, *content) for (queue,) in queues])
        return bool(queues)
