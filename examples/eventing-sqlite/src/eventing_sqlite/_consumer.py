"""One subscription, through its generations."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from eventing_core.errors import ServerNameInUseError, SubscriptionError
from eventing_core.provider import Delivery, Handle, Outcome, Subscriber, Subscription, SubscriptionState
from eventing_sqlite._message import SqliteDelivery, name_of

if TYPE_CHECKING:
    from eventing_sqlite._provider import SqliteProvider

_RIPEN = "UPDATE message SET due = 0 WHERE queue = ? AND consumer IS NULL AND due > 0 AND due <= ?"
_READ = """SELECT position, count, properties, body FROM message
    WHERE queue = ? AND consumer IS NULL AND due = 0 ORDER BY position LIMIT ?"""
_TAKE = "UPDATE message SET consumer = ? WHERE position IN (SELECT value FROM json_each(?))"
_SETTLE = {Outcome.ACCEPT: "DELETE FROM message", Outcome.RELEASE: "UPDATE message SET consumer = NULL"}
_THESE = " WHERE consumer = ? AND position IN (SELECT value FROM json_each(?))"


class SqliteConsumer(Handle):
    """`settle`, `window` and `close` may be called on any thread; the rest runs on the I/O thread."""

    def __init__(self, provider: SqliteProvider, subscription: Subscription, subscriber: Subscriber) -> None:
        self._provider, self._subscription, self._subscriber = provider, subscription, subscriber
        self._closed: Future[None] = Future()
        self._closed.set_running_or_notify_cancel()
        self._closing = self._active = False
        self._generation = self._size = 0
        #: Rows of the queue, and of this consumer in its newest generation.
        self._queue = self._id = 0
        #: When another consumer of one server's queue can't be a dead predecessor any more.
        self._give_up_at = 0.0

    def settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle, soon."""
        self._provider.post(partial(self._settle, batch, outcome))

    def window(self, size: int) -> None:
        """Set the window of this generation, soon."""
        self._provider.post(partial(self._resize, self._generation, size))

    def close(self) -> Future[None]:
        """Unsubscribe, soon."""
        self._closing = True
        self._provider.post(self.release)
        return self._closed

    def serve(self, db: sqlite3.Connection) -> float:
        """Attach, or take what the window allows; returns when to come again."""
        if self._closing or not self._active:
            return math.inf if self._closing else self._attach(db)
        room = self._size - _first(db, "SELECT count(*) FROM message WHERE consumer = ?", self._id)
        if room <= 0 or (self._subscription.exclusive and self._oldest(db) != self._id):
            return math.inf
        db.execute(_RIPEN, (self._queue, self._provider.now))
        batch = [SqliteDelivery(self._generation, *row) for row in db.execute(_READ, (self._queue, room))]
        if batch:
            db.execute(_TAKE, (self._id, json.dumps([delivery.position for delivery in batch])))
            self._provider.after.append(partial(self._subscriber.deliver, batch))
        due = _first(db, "SELECT min(due) FROM message WHERE queue = ? AND consumer IS NULL AND due > 0", self._queue)
        return float(due or math.inf)

    def renew(self, db: sqlite3.Connection) -> None:
        """Say that this process lives. One that was taken for dead has nothing out any more, and begins anew."""
        until = self._provider.now + self._provider.config.lease
        if self._active and not db.execute("UPDATE consumer SET until = ? WHERE id = ?", (until, self._id)).rowcount:
            self._active = False
            self._tell(SubscriptionState.INACTIVE, SubscriptionError("this process was taken for dead"))

    def release(self, db: sqlite3.Connection) -> float:
        """Give back what is out, uncounted, and leave."""
        db.execute("UPDATE message SET consumer = NULL WHERE consumer = ?", (self._id,))
        db.execute("DELETE FROM consumer WHERE id = ?", (self._id,))
        self._active = False
        self._provider.after.append(self.end)
        return math.inf

    def end(self) -> None:
        """Be done."""
        self._provider.consumers.discard(self)
        if not self._closed.done():
            self._closed.set_result(None)

    def _attach(self, db: sqlite3.Connection) -> float:
        now, lease, own = self._provider.now, self._provider.config.lease, self._subscription.destination
        for queue in filter(None, (self._subscription.dead_letter, own)):
            values = (name_of(queue), queue.topic if queue.kind == "queue" else None)
            db.execute("INSERT OR IGNORE INTO queue (name, topic) VALUES (?, ?)", values)
        self._queue = _first(db, "SELECT id FROM queue WHERE name = ?", name_of(own))
        if own.member and self._oldest(db):
            self._give_up_at = self._give_up_at or now + lease
            if now >= self._give_up_at:
                self._give_up_at, self._closing = 0.0, not self._generation
                msg = f"server_name {own.member!r} is in use: another living process consumes from {own}"
                self._tell(SubscriptionState.FAILED, ServerNameInUseError(msg))
            return now + self._provider.config.poll
        query = "INSERT INTO consumer (queue, until) VALUES (?, ?)"
        self._id = db.execute(query, (self._queue, now + lease)).lastrowid or 0
        self._active, self._give_up_at, self._generation, self._size = True, 0.0, self._generation + 1, 0
        self._tell(SubscriptionState.ACTIVE, None)
        return math.inf

    def _tell(self, state: SubscriptionState, error: SubscriptionError | None) -> None:
        self._provider.after.append(partial(self._subscriber.state, state, self._generation, error))

    def _oldest(self, db: sqlite3.Connection) -> int | None:
        """The one of the queue's consumers that came first."""
        return _first(db, "SELECT min(id) FROM consumer WHERE queue = ?", self._queue)

    def _settle(self, batch: Sequence[Delivery], outcome: Outcome, db: sqlite3.Connection) -> None:
        own = [one for one in batch if isinstance(one, SqliteDelivery) and one.generation == self._generation]
        db.execute(_SETTLE[outcome] + _THESE, (self._id, json.dumps([delivery.position for delivery in own])))

    def _resize(self, generation: int, size: int, _: sqlite3.Connection) -> None:
        self._size = size if generation == self._generation else self._size


def _first(db: sqlite3.Connection, query: str, value: object) -> Any:
    return db.execute(query, (value,)).fetchone()[0]
