"""The I/O thread: all that is done with the database is done here, in as few transactions as can be."""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from eventing_core.errors import BrokerConnectionError, ConnectionLostError, SendTimeoutError
from eventing_sqlite._database import connect, is_busy
from eventing_sqlite._producer import Send

if TYPE_CHECKING:
    from eventing_core.provider import Observer
    from eventing_sqlite._config import SqliteConfig
    from eventing_sqlite._consumer import SqliteConsumer

_log = logging.getLogger("eventing.sqlite")

Task = Callable[[sqlite3.Connection], None]

#: Between attempts to open the database again, in seconds.
_PAUSE = 0.1

#: All that run in this process: they tell each other of changes. Its operations are atomic.
_loops: set[Loop] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_loops.clear)

_FREE_DEAD = (
    "UPDATE message SET consumer = NULL, count = count + 1 WHERE consumer IN (SELECT id FROM consumer WHERE until <= ?)"
)


class Loop:
    """`open`, `post` and `close` may be called on any thread; the rest is for tasks, on the I/O thread.

    Attributes:
        now: the time of the transaction, of `time.time`: processes share no other clock.
        after: what to call when the transaction has been carried out.
        consumers: those to serve, in their order.
        lease: how long they live without being renewed, in seconds.
        connected: there is a database.
        generation: how often it was opened.
        error: why there is none.
    """

    def __init__(self, config: SqliteConfig, observer: Observer) -> None:
        self.now = 0.0
        self.after: list[Callable[[], object]] = []
        self.consumers: dict[SqliteConsumer, None] = {}
        self.lease = config.lease
        self.connected = False
        self.generation = 0
        self.error = "not open"
        self._config = config
        self._file = config.file.absolute()
        self._observer = observer
        self._opened: Future[None] = Future()
        self._inbox: SimpleQueue[Task | None] = SimpleQueue()
        #: Not yet carried out. A transaction that fails leaves them here, for the next connection.
        self._tasks: list[Task] = []
        self._lock = threading.Lock()
        self._close_by: float | None = None
        self._patience: float | None = None
        #: When to renew leases; when there is anything to do; SQLite's mark of others' changes.
        self._renew_at = self._due = 0.0
        self._version = 0
        self._thread = threading.Thread(target=self._run, name="eventing-sqlite", daemon=True)

    def open(self) -> None:
        """Start the thread, and wait until it has opened the database; raises what keeps it from that."""
        self._inbox.put(None)
        self._thread.start()
        self._opened.result()

    def post(self, task: Task) -> bool:
        """Have something done in the next transaction, in the order of posting; False when it is closed."""
        with self._lock:
            if self._close_by is None:
                self._inbox.put(task)
            return self._close_by is None

    def add(self, consumer: SqliteConsumer, _: sqlite3.Connection) -> None:
        """Serve a consumer: a task."""
        self.consumers[consumer] = None
        self._renew_at = 0.0

    def close(self, timeout: float) -> None:
        """Do what was posted, unsubscribe everyone, and end the thread."""
        with self._lock:
            if self._close_by is None:
                self._close_by = time.monotonic() + timeout
        self._inbox.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        # The connection is a local variable and nothing else. A forked child doesn't have this thread, so nobody uses
        # or closes it there: SQLite forbids both (https://sqlite.org/howtocorrupt.html, section 2.6).
        db: sqlite3.Connection | None = None
        finished = False
        while not finished:
            close_by = self._close_by
            self._collect(self._pause())
            self._expire()
            try:
                if db is None:
                    db = connect(self._file)
                    self._found()
                finished = self._work(db, closing=close_by is not None)
                self._patience = None
            except Exception as error:  # noqa: BLE001 (whatever it is: a new connection, and all tasks again)
                if not self._bears(error):
                    if db is not None:
                        db.close()
                        db = None
                    if not self._opened.done():
                        self._opened.set_exception(error)
                        return
                    self._lose(error)
            finished = finished or (close_by is not None and time.monotonic() >= close_by)
        self._finish()
        if db is not None:
            db.close()

    def _pause(self) -> float | None:
        """How long to wait for tasks."""
        if not self.connected:
            return _PAUSE
        if self._tasks or self._close_by is not None:
            return 0.0
        return max(0.0, min(self._config.poll, self._due - time.time())) if self.consumers else None

    def _collect(self, pause: float | None) -> None:
        try:
            task = self._inbox.get(timeout=pause)
            while True:
                if task is not None:
                    self._tasks.append(task)
                task = self._inbox.get_nowait()
        except Empty:
            return

    def _expire(self) -> None:
        """Withdraw sends whose deadline has passed."""
        now = time.monotonic()
        late = [task for task in self._tasks if isinstance(task, Send) and task.deadline <= now]
        if late:
            self._tasks = [task for task in self._tasks if task not in late]
            text = f"not written to {self._file} within the time limit; {self.error}"
            self._call([partial(send.finish, SendTimeoutError(text, in_doubt=send.in_doubt)) for send in late])

    def _work(self, db: sqlite3.Connection, *, closing: bool) -> bool:
        """Do what there is to do, in one transaction; True when that was the last."""
        self.now, self.after = time.time(), []
        asked = bool(self._tasks) or closing
        if not asked:
            (version,) = db.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                self._version, self._due = version, self._next_due(db)
            if self.now < self._due:
                return False
        db.execute("BEGIN IMMEDIATE")
        for task in self._tasks:
            task(db)
        if self.now >= self._renew_at:
            self._renew(db)
        for consumer in self.consumers:
            if closing:
                consumer.release(db, counted=False)
            else:
                consumer.serve(db)
        db.execute("COMMIT")
        self._tasks = []
        self._call(self.after)
        for loop in _loops.copy() if asked else ():
            if loop is not self:
                loop._inbox.put(None)  # noqa: SLF001 (of this class)
        self._due = self._next_due(db)
        return closing

    def _next_due(self, db: sqlite3.Connection) -> float:
        return min((self._renew_at, *(consumer.due(db) for consumer in self.consumers)))

    def _renew(self, db: sqlite3.Connection) -> None:
        """Say that this process lives, and give what dead ones had to others: it counts as delivered."""
        for consumer in self.consumers:
            consumer.renew(db, self.now + self.lease)
        db.execute(_FREE_DEAD, (self.now,))
        db.execute("DELETE FROM consumer WHERE until <= ?", (self.now,))
        (first,) = db.execute("SELECT min(until) FROM consumer").fetchone()
        self._renew_at = min(self.now + self.lease / 3, math.inf if first is None else first)

    def _found(self) -> None:
        self.connected, self.error = True, ""
        self.generation += 1
        _loops.add(self)
        self._call([partial(self._observer, True, None)])  # noqa: FBT003 (the observer's signature)
        if not self._opened.done():
            self._opened.set_result(None)

    def _bears(self, error: Exception) -> bool:
        """Whether to go on waiting for another process's transaction."""
        now = time.monotonic()
        self._patience = self._patience or now + self._config.lock_timeout
        return is_busy(error) and now < self._patience

    def _lose(self, error: Exception) -> None:
        self.after = []
        self._patience = None
        self._renew_at = 0.0
        lost = BrokerConnectionError(f"{self._file}: {error}")
        if self.connected:
            _log.warning("the database is lost, opening it again: %s", lost, exc_info=error)
            self.after.append(partial(self._observer, False, lost))  # noqa: FBT003 (the observer's signature)
        self.connected, self.error = False, str(lost)
        for consumer in tuple(self.consumers):
            consumer.lose(lost)
        self._call(self.after)

    def _finish(self) -> None:
        self._collect(0.0)
        _loops.discard(self)
        self.connected, self.error = False, "closed"
        text = f"the provider was closed before the message was written to {self._file}"
        sends = [task for task in self._tasks if isinstance(task, Send)]
        self._call([partial(send.finish, ConnectionLostError(text, in_doubt=send.in_doubt)) for send in sends])
        for consumer in tuple(self.consumers):
            consumer.end()

    def _call(self, calls: Sequence[Callable[[], object]]) -> None:
        for call in calls:
            try:
                call()
            except Exception:  # noqa: BLE001 (the others have to be called, too)
                _log.exception("a callback raised, which the provider interface forbids")
