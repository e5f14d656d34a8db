"""One subscription, through its generations."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import TYPE_CHECKING

from eventing_core.errors import ServerNameInUseError, SubscriptionError
from eventing_core.provider import (
    Delivery,
    Destination,
    Handle,
    Outcome,
    Subscriber,
    Subscription,
    SubscriptionState,
)
from eventing_sqlite._message import SqliteDelivery

if TYPE_CHECKING:
    from eventing_sqlite._loop import Loop

_READY = (
    "SELECT position, count, properties, body FROM message"
    " WHERE queue = ? AND consumer IS NULL AND due = 0 ORDER BY position LIMIT ?"
)
_RIPEN = "UPDATE message SET due = 0 WHERE queue = ? AND consumer IS NULL AND due > 0 AND due <= ?"
_TAKE = "UPDATE message SET consumer = ? WHERE position IN (SELECT value FROM json_each(?))"
_SETTLE = {
    Outcome.ACCEPT: "DELETE FROM message WHERE position IN (SELECT value FROM json_each(?))",
    Outcome.RELEASE: "UPDATE message SET consumer = NULL WHERE position IN (SELECT value FROM json_each(?))",
}


class SqliteConsumer(Handle):
    """`settle`, `window` and `close` may be called on any thread; the rest runs on the I/O thread.

    Attributes:
        closed: done once it is unsubscribed.
    """

    def __init__(self, loop: Loop, subscription: Subscription, subscriber: Subscriber) -> None:
        self.closed: Future[None] = Future()
        self._loop = loop
        self._subscription = subscription
        self._subscriber = subscriber
        self._closing = False
        self._active = False
        self._generation = 0
        self._size = 0
        #: Delivered and not settled, by position.
        self._out: dict[int, SqliteDelivery] = {}
        #: Row of the queue, and of this consumer in its newest generation.
        self._queue = self._id = 0
        #: Until when another consumer of a queue for one server alone was last known to live.
        self._rival: float | None = None

    def settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle, soon; what isn't out by this subscription and generation is dropped."""
        self._loop.post(partial(self._settle, batch, outcome))

    def window(self, size: int) -> None:
        """Set the window of this generation, soon."""
        self._loop.post(partial(self._set_window, self._generation, size))

    def close(self) -> Future[None]:
        """Unsubscribe, soon; what is out goes back, uncounted."""
        self._closing = True
        if not self._loop.post(self._close):
            self.end()
        return self.closed

    def due(self, db: sqlite3.Connection) -> float:
        """When there is something to do in `serve`: a time of `time.time`."""
        if self._closing:
            return math.inf
        if not self._active:
            return math.inf if self._rival and self._find_rival(db) == self._rival else 0.0
        if self._size <= len(self._out):
            return math.inf
        query = "SELECT min(id), max(exclusive), max(id = ?) FROM consumer WHERE queue = ?"
        first, exclusive, alive = db.execute(query, (self._id, self._queue)).fetchone()
        if not alive or (exclusive and first != self._id):
            return math.inf
        (due,) = db.execute(
            "SELECT min(due) FROM message WHERE queue = ? AND consumer IS NULL", (self._queue,)
        ).fetchone()
        return math.inf if due is None else float(due)

    def serve(self, db: sqlite3.Connection) -> None:
        """Take what the window allows; attach first, where that is to be done."""
        if self.due(db) > self._loop.now:
            return
        if not self._active:
            self._attach(db)
            return
        db.execute(_RIPEN, (self._queue, self._loop.now))
        rows = db.execute(_READY, (self._queue, self._size - len(self._out))).fetchall()
        batch = [SqliteDelivery(self._generation, *row) for row in rows]
        taken = {delivery.position: delivery for delivery in batch}
        db.execute(_TAKE, (self._id, json.dumps([*taken])))
        self._out.update(taken)
        self._loop.after.append(lambda: self._subscriber.deliver(batch))

    def renew(self, db: sqlite3.Connection, until: float) -> None:
        """Say that this process lives. Who was taken for dead has lost what was out, and begins anew."""
        living = self._active and not self._closing
        if living and not db.execute("UPDATE consumer SET until = ? WHERE id = ?", (until, self._id)).rowcount:
            self.lose(SubscriptionError(f"the lease on {self._subscription.destination} has run out"))

    def release(self, db: sqlite3.Connection, *, counted: bool) -> None:
        """Give back what is out, and leave."""
        query = "UPDATE message SET consumer = NULL, count = count + ? WHERE consumer = ?"
        db.execute(query, (counted, self._id))
        db.execute("DELETE FROM consumer WHERE id = ?", (self._id,))

    def lose(self, error: Exception) -> None:
        """The connection or the lease is gone, and with it what was out."""
        if self._active:
            self._active = False
            self._size = 0
            self._out = {}
            self._loop.after.append(
                partial(self._subscriber.state, SubscriptionState.INACTIVE, self._generation, error)
            )
        if self._closing:
            self.end()

    def end(self) -> None:
        """Be done."""
        self._loop.consumers.pop(self, None)
        with contextlib.suppress(InvalidStateError):
            self.closed.set_result(None)

    def _attach(self, db: sqlite3.Connection) -> None:
        subscription = self._subscription
        self.release(db, counted=True)  # of the generation before
        if subscription.dead_letter is not None:
            _ensure(db, subscription.dead_letter)
        self._queue = _ensure(db, subscription.destination)
        rival = self._find_rival(db)
        if rival is not None:
            self._stand_by(rival)
            return
        self._rival = None
        values = (self._queue, subscription.exclusive, self._loop.now + self._loop.lease)
        self._id = db.execute("INSERT INTO consumer (queue, exclusive, until) VALUES (?, ?, ?)", values).lastrowid or 0
        self._loop.after.append(self._activate)

    def _activate(self) -> None:
        self._active = True
        self._generation += 1
        self._subscriber.state(SubscriptionState.ACTIVE, self._generation, None)

    def _find_rival(self, db: sqlite3.Connection) -> float | None:
        """Who else has the queue of this server."""
        if not self._subscription.destination.member:
            return None
        query = "SELECT max(until) FROM consumer WHERE queue = ? AND id != ?"
        rival: float | None = db.execute(query, (self._queue, self._id)).fetchone()[0]
        return rival

    def _stand_by(self, rival: float) -> None:
        """One that was heard from since we first saw it lives; a dead one's row will go."""
        known, self._rival = self._rival, rival
        if known is None or known == rival:
            return
        where = self._subscription.destination
        error = ServerNameInUseError(
            f"server_name {where.member!r} is in use: another live process or manager consumes from {where}. "
            "Give each its own server_name."
        )
        self._loop.after.append(partial(self._fail, error))

    def _fail(self, error: ServerNameInUseError) -> None:
        self._subscriber.state(SubscriptionState.FAILED, self._generation, error)
        if not self._generation:
            self._loop.consumers.pop(self, None)

    def _settle(self, batch: Sequence[Delivery], outcome: Outcome, db: sqlite3.Connection) -> None:
        positions = [
            delivery.position
            for delivery in batch
            if isinstance(delivery, SqliteDelivery) and self._out.get(delivery.position) is delivery
        ]
        db.execute(_SETTLE[outcome], (json.dumps(positions),))
        for position in positions:
            del self._out[position]

    def _set_window(self, generation: int, size: int, _: sqlite3.Connection) -> None:
        if self._active and generation == self._generation:
            self._size = size

    def _close(self, db: sqlite3.Connection) -> None:
        self.release(db, counted=False)
        self._loop.after.append(self.end)


def _ensure(db: sqlite3.Connection, to: Destination) -> int:
    """The row of a queue, made where there is none."""
    key = (to.topic, to.kind, to.group, to.member)
    db.execute("INSERT OR IGNORE INTO queue (topic, kind, listener, member) VALUES (?, ?, ?, ?)", key)
    query = "SELECT id FROM queue WHERE topic = ? AND kind = ? AND listener = ? AND member = ?"
    return int(db.execute(query, key).fetchone()[0])
