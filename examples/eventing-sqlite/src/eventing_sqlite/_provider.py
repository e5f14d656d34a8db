"""`SqliteProvider` and its I/O thread, which does all that concerns the database, in as few transactions as can be."""

import math
import os
import sqlite3
import threading
import time
from concurrent.futures import Future
from contextlib import closing, suppress
from queue import Empty, SimpleQueue

from eventing_core.errors import BrokerConnectionError, ConnectionLostError, SendError, SendTimeoutError
from eventing_core.provider import Capabilities, Destination, Health, Observer, Provider, Subscriber, Subscription
from eventing_sqlite._config import SqliteConfig
from eventing_sqlite._consumer import SqliteConsumer
from eventing_sqlite._producer import MAX_BYTES, Call, SqliteProducer

#: What to do in a transaction; until when, of `time.monotonic`; the `Done` to tell when it isn't, and of how many.
Task = tuple[Call, float, Call, int]

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL; BEGIN IMMEDIATE;  -- a commit that has returned is on the disk
CREATE TABLE IF NOT EXISTS queue (id INTEGER PRIMARY KEY, name TEXT UNIQUE, topic TEXT);  -- no topic: dead letters
-- Subscriptions, in the order of their coming; no id comes twice. After `until` the process counts as dead.
CREATE TABLE IF NOT EXISTS consumer (id INTEGER PRIMARY KEY AUTOINCREMENT, queue INTEGER, until REAL);
CREATE TRIGGER IF NOT EXISTS consumer_died AFTER DELETE ON consumer BEGIN
    UPDATE message SET consumer = NULL, count = count + 1 WHERE consumer = OLD.id; END;
-- `due`: 0, or when a delayed message may be given out. `count`: how often it came back. `consumer`: who has it.
CREATE TABLE IF NOT EXISTS message (position INTEGER PRIMARY KEY,
    queue INTEGER, due REAL, count INTEGER DEFAULT 0, consumer INTEGER, properties TEXT, body BLOB);
CREATE INDEX IF NOT EXISTS message_due ON message (queue, due, position) WHERE consumer IS NULL;
CREATE INDEX IF NOT EXISTS message_out ON message (consumer) WHERE consumer IS NOT NULL;
CREATE TABLE IF NOT EXISTS sent (id INTEGER PRIMARY KEY, key TEXT UNIQUE);  -- lately, so that a second one is known
CREATE TRIGGER IF NOT EXISTS forget AFTER INSERT ON sent BEGIN DELETE FROM sent WHERE id < NEW.id - 100000; END; COMMIT;
"""
_AT_REST = threading.RLock()  # one of SQLite's own locks that another thread has at a fork is never free in the child
os.register_at_fork(before=_AT_REST.acquire, after_in_parent=_AT_REST.release, after_in_child=_AT_REST.release)


class SqliteProvider(Provider):
    """Events between the processes of one machine, all of them durable. Thread-safe: one connection, one I/O thread."""

    name = "sqlite"
    capabilities = Capabilities(
        durable=True,
        per_process=True,
        member_expiry=False,
        exclusive=True,
        exact_window=True,
        delivery_count="delivered",
        uncounted_release=True,
        send_delay=True,
        dedup=True,
        reports_unroutable=True,
        individual_settlement=True,
        lease=True,
        network=False,
        max_message_bytes=MAX_BYTES,
    )

    def __init__(self, server_name: str, config: SqliteConfig) -> None:
        self.server_name, self.config = server_name, config
        self.abandon()

    def abandon(self) -> None:
        """Be as new: a forked child has no I/O thread, and nobody else knows the connection."""
        #: For tasks: the time, by the clock that processes share; what to call after the transaction.
        self.now, self.after, self._consumers = 0.0, list[Call](), set[SqliteConsumer]()
        self._producers, self._version = dict[Destination, SqliteProducer](), 0
        self._inbox, self._tasks, self._renew_at, self._due = SimpleQueue[Task | None](), list[Task](), 0.0, 0.0
        self._lock, self._close_by, self._error = threading.Lock(), math.inf, "not open"  # guards the time
        self._thread: threading.Thread | None = None

    def open(self, observer: Observer) -> None:
        """Open the database, in 10 seconds at most."""
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="eventing-sqlite", daemon=True)
        self._thread.start()
        opened.result()
        self._observer = observer
        observer(True, None)  # noqa: FBT003 (the interface's signature)

    def producer(self, destination: Destination) -> SqliteProducer:
        """A producer for that destination."""
        return self._producers.setdefault(destination, SqliteProducer(self, destination))

    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> SqliteConsumer:
        """Make the queue, and attach to it."""
        consumer = SqliteConsumer(self, subscription, subscriber, self._consumers.discard)
        if not self.post(lambda _: self._consumers.add(consumer)):
            msg = f"can't subscribe to {subscription.destination}: the provider is closed"
            raise ConnectionLostError(msg)
        return consumer

    def health(self) -> Health:
        """How the database is."""
        return Health(connected=not self._error, generation=int(self._error != "not open"), error=self._error)

    def close(self, timeout: float) -> None:
        """Carry out what was begun, give back the rest, and close the database."""
        if self._thread is not None and self._thread.ident:  # it has started
            with self._lock:
                self._close_by = min(self._close_by, time.monotonic() + timeout)
                self._inbox.put(None)
            self._thread.join(timeout)

    def post(self, do: Call, deadline: float = math.inf, done: Call = id, count: int = 0) -> bool:
        """Have something done in the next transaction, in the order of posting; False when it is closed."""
        with self._lock:
            if self._close_by == math.inf:
                self._inbox.put((do, deadline, done, count))
            return self._close_by == math.inf

    def _run(self, opened: Future[None]) -> None:
        # A forked child neither uses the connection nor closes it: SQLite forbids both (sqlite.org/howtocorrupt.html).
        try:
            with closing(sqlite3.connect(self.config.file, timeout=0.5, isolation_level=None)) as db:
                end = time.monotonic() + 10.0
                while self._error:  # two that turn WAL on at the same time are both told at once that it is locked
                    try:
                        with _AT_REST:
                            db.executescript(_SCHEMA)
                        self._error = ""
                    except sqlite3.OperationalError as error:
                        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > min(end, self._close_by):
                            raise
                opened.set_result(None)
                while self._turn(db):
                    pass
        except sqlite3.Error as error:
            opened.set_exception(BrokerConnectionError(f"{self.config.file}: {error}"))
            return
        self._withdraw(math.inf, ConnectionLostError)
        self._error = "closed"
        for consumer in tuple(self._consumers):
            consumer.end()

    def _turn(self, db: sqlite3.Connection) -> bool:
        """Wait for something to do, and do it; False when that was the last."""
        last, closes = time.monotonic() >= self._close_by, self._close_by < math.inf
        pause = 0.1 if self._error else 0.0 if closes else max(0.0, min(self.config.poll, self._due - time.time()))
        with suppress(Empty):
            task = self._inbox.get(timeout=pause if self._consumers or self._error or closes else None)
            while True:
                self._tasks += [task] if task else []
                task = self._inbox.get_nowait()
        self._withdraw(time.monotonic(), SendTimeoutError)
        try:
            with _AT_REST:
                self._work(db, closes=closes)
        except Exception as error:  # noqa: BLE001 (whatever it is: nothing was done, and all of it is tried again)
            if not self._error:
                self._observer(False, error)  # noqa: FBT003 (the interface's signature)
            self._error, self._renew_at = str(error), 0.0
            return not last
        if self._error:
            self._observer(True, None)  # noqa: FBT003 (the interface's signature)
        self._error = ""
        return not closes

    def _withdraw(self, until: float, kind: type[SendError]) -> None:
        late = [task for task in self._tasks if task[1] <= until]
        self._tasks = [task for task in self._tasks if task[1] > until]
        for _, _, done, count in late:
            for index in range(count):
                done(index, kind(f"not stored in time: {self._error or 'too late'}", in_doubt=bool(self._error)))

    def _work(self, db: sqlite3.Connection, *, closes: bool) -> None:
        self.now, self.after, asked = time.time(), [], bool(self._tasks or closes)
        (version,) = db.execute("PRAGMA data_version").fetchone()
        if version == self._version and not asked and self.now < self._due:
            return
        with db:
            db.execute("BEGIN IMMEDIATE")
            for do, *_ in self._tasks:
                do(db)
            if self.now >= self._renew_at:
                values = [(self.now + self.config.lease, consumer.id) for consumer in self._consumers]
                db.executemany("UPDATE consumer SET until = ? WHERE id = ?", values)
                db.execute("DELETE FROM consumer WHERE until <= ?", (self.now,))
                self._renew_at = self.now + self.config.lease / 4
            times = [consumer.release(db) if closes else consumer.serve(db) for consumer in self._consumers]
        self._tasks, self._version, self._due = [], version, min((self._renew_at, *times))
        for call in self.after:
            call()
