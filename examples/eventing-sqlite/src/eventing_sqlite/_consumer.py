"""One subscription, through its generations."""

import json
import math
import sqlite3
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

from eventing_core.errors import ServerNameInUseError
from eventing_core.provider import Delivery, Handle, Message, Outcome, Subscriber, Subscription, SubscriptionState
from eventing_sqlite._producer import Call, Transactions, name_of

_FIRST = "SELECT min(id), max(id = ?) FROM consumer WHERE queue = ?"
_NEXT = "SELECT min(due) FROM message WHERE queue = ? AND consumer IS NULL AND due > 0"
_RIPEN = "UPDATE message SET due = 0 WHERE queue = ? AND consumer IS NULL AND due > 0 AND due <= ?"
_TAKE = """UPDATE message SET consumer = ? WHERE position IN (SELECT position FROM message WHERE queue = ?
    AND consumer IS NULL AND due = 0 ORDER BY position LIMIT ?) RETURNING position, count, properties, body"""
_SETTLE = {Outcome.ACCEPT: "DELETE FROM message ", Outcome.RELEASE: "UPDATE message SET consumer = NULL "}
_THESE = "WHERE consumer = ? AND position IN (SELECT value FROM json_each(?))"


class SqliteDelivery(Delivery):
    """A row that was given out."""

    __slots__ = ("_body", "_properties", "position")

    def __init__(self, generation: int, position: int, count: int, properties: str, body: bytes) -> None:
        self.generation, self.position, self.delivery_count = generation, position, count
        self._properties, self._body = properties, body

    def message(self) -> Message:
        """The message as it was sent."""
        return Message(body=self._body, **json.loads(self._properties))


class SqliteConsumer(Handle):
    """`settle`, `window` and `close` may be called on any thread; the rest runs on the I/O thread."""

    def __init__(self, provider: Transactions, subscription: Subscription, to: Subscriber, leave: Call) -> None:
        self._provider, self._subscription, self._subscriber, self._leave = provider, subscription, to, leave
        self._closed, self._closing = Future[None](), False
        #: Rows of the queue and of this consumer, now; generations of that and of the window; a predecessor is dead by.
        self._queue, self.id, self._generation, self._window, self._give_up_at = 0, 0, 0, (0, 0), 0.0

    def settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle, soon."""
        own, current = self.id, self._generation  # in this order: they change in the other one
        mine = [one.position for one in batch if isinstance(one, SqliteDelivery) and one.generation == current]
        self._provider.post(lambda db: db.execute(_SETTLE[outcome] + _THESE, (own, json.dumps(mine))))

    def window(self, size: int) -> None:
        """Set the window of this generation."""
        self._window = self._generation, size
        self._provider.post(id)  # nothing to do but to serve

    def close(self) -> Future[None]:
        """Unsubscribe, soon."""
        self._closing = True
        self._provider.post(self.release)
        return self._closed

    def serve(self, db: sqlite3.Connection) -> float:
        """Attach, or take what the window allows; returns when to come again."""
        if self._closing:
            return math.inf
        first, lives = db.execute(_FIRST, (self.id, self._queue)).fetchone()
        if not lives:  # new, or it was taken for dead, and what it had out went back
            return self._attach(db)
        (out,) = db.execute("SELECT count(*) FROM message WHERE consumer = ?", (self.id,)).fetchone()
        generation, size = self._window
        if generation != self._generation or out >= size or (self._subscription.exclusive and first != self.id):
            return math.inf
        db.execute(_RIPEN, (self._queue, self._provider.now))
        rows = sorted(db.execute(_TAKE, (self.id, self._queue, size - out)))
        batch = [SqliteDelivery(generation, *row) for row in rows]
        self._provider.after += [partial(self._subscriber.deliver, batch)] if batch else []
        return float(db.execute(_NEXT, (self._queue,)).fetchone()[0] or math.inf)

    def release(self, db: sqlite3.Connection) -> float:
        """Give back what is out, uncounted, and leave."""
        db.execute("UPDATE message SET consumer = NULL WHERE consumer = ?", (self.id,))
        db.execute("DELETE FROM consumer WHERE id = ?", (self.id,))
        self._provider.after.append(self.end)
        return math.inf

    def end(self) -> None:
        """Be done."""
        self._leave(self)
        if not self._closed.done():
            self._closed.set_result(None)

    def _attach(self, db: sqlite3.Connection) -> float:
        now, lease, own = self._provider.now, self._provider.config.lease, self._subscription.destination
        for queue in filter(None, (self._subscription.dead_letter, own)):
            values = (name_of(queue), queue.topic if queue.kind == "queue" else None)
            db.execute("INSERT OR IGNORE INTO queue (name, topic) VALUES (?, ?)", values)
        (self._queue,) = db.execute("SELECT id FROM queue WHERE name = ?", (name_of(own),)).fetchone()
        if own.member and db.execute(_FIRST, (0, self._queue)).fetchone()[0]:
            self._give_up_at = self._give_up_at or now + 1.5 * lease
            if now >= self._give_up_at:
                error = ServerNameInUseError(f"server_name {own.member!r} is in use: another process listens on {own}")
                self._provider.after.append(partial(self._become, SubscriptionState.FAILED, 0, error))
            return now + self._provider.config.poll
        new = db.execute("INSERT INTO consumer (queue, until) VALUES (?, ?)", (self._queue, now + lease)).lastrowid or 0
        self._provider.after.append(partial(self._become, SubscriptionState.ACTIVE, new, None))
        return math.inf

    def _become(self, state: SubscriptionState, new: int, error: ServerNameInUseError | None) -> None:
        self._generation += state is SubscriptionState.ACTIVE
        self.id, self._give_up_at = new, 0.0
        self._closing = self._closing or not self._generation  # what fails before it was ever active is over
        self._subscriber.state(state, self._generation, error)
