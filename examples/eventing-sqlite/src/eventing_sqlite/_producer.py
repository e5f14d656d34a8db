"""Sends to one destination."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eventing_core.errors import ConnectionLostError, MessageTooLargeError, SendError, UnroutedError
from eventing_core.provider import Destination, Done, Message, Producer
from eventing_sqlite._message import encode

if TYPE_CHECKING:
    from eventing_sqlite._loop import Loop

#: The largest body, in bytes: a transaction that lasts long holds up every other process.
MAX_BYTES = 16 * 1024 * 1024
#: How many sends are remembered at least, to know a second one.
_REMEMBERED = 100_000
_CLEAN_EVERY = 1_000

_OF_TOPIC = "SELECT id FROM queue WHERE topic = ? AND kind = 'queue'"
_OF_QUEUE = "SELECT id FROM queue WHERE topic = ? AND kind = ? AND listener = ? AND member = ?"


class Send:
    """A batch on its way.

    Attributes:
        deadline: of `time.monotonic`.
        in_doubt: its transaction may have been carried out.
    """

    def __init__(  # noqa: PLR0913, PLR0917 (what a send is made of)
        self, loop: Loop, to: Destination, batch: Sequence[Message], done: Done, deadline: float, delay: float
    ) -> None:
        self.deadline = deadline
        self.in_doubt = False
        self._loop = loop
        self._to = to
        self._rows = [encode(to, message) for message in batch]
        self._done = done
        self._delay = delay

    def __call__(self, db: sqlite3.Connection) -> None:
        """Store the messages, each in all queues or in none."""
        to = self._to
        if to.kind == "topic":
            queues = db.execute(_OF_TOPIC, (to.topic,)).fetchall()
        else:
            queues = db.execute(_OF_QUEUE, (to.topic, to.kind, to.group, to.member)).fetchall()
        due = self._loop.now + self._delay if self._delay > 0 else 0.0
        for properties, body, key in self._rows if queues else ():
            if key:
                sent = db.execute("INSERT OR IGNORE INTO sent (key) VALUES (?)", (key,))
                if not sent.rowcount:
                    continue
                if sent.lastrowid and sent.lastrowid % _CLEAN_EVERY == 0:
                    db.execute("DELETE FROM sent WHERE id <= ?", (sent.lastrowid - _REMEMBERED,))
            for (queue,) in queues:
                values = (queue, due, properties, body)
                db.execute("INSERT INTO message (queue, due, properties, body) VALUES (?, ?, ?, ?)", values)
        error = None if queues else UnroutedError(f"{to} has no queue: nobody listens there, or ever has")
        self.in_doubt = True
        self._loop.after.append(lambda: self.finish(error))

    def finish(self, error: SendError | None) -> None:
        """Tell of each message what became of it; each with an error object of its own: they are raised on threads."""
        for index in range(len(self._rows)):
            self._done(index, error and type(error)(*error.args, in_doubt=error.in_doubt))


class SqliteProducer(Producer):
    """Thread-safe."""

    def __init__(self, loop: Loop, destination: Destination) -> None:
        self._loop = loop
        self._destination = destination

    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        """Hand messages to the I/O thread, which stores them in one transaction with what else is there."""
        if any(len(message.body) > MAX_BYTES for message in batch):
            msg = f"a message to {self._destination} is larger than {MAX_BYTES} bytes"
            raise MessageTooLargeError(msg)
        if not self._loop.post(Send(self._loop, self._destination, batch, done, deadline, delay)):
            msg = f"can't send to {self._destination}: the provider is closed"
            raise ConnectionLostError(msg)
