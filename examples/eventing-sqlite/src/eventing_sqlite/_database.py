"""The file: its tables, and how it is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

#: Of the tables below; kept in the file.
VERSION = 1

#: How long a statement waits for a lock, in seconds; between two waits the thread looks at its deadlines.
_WAIT = 0.1

_TABLES = (
    "CREATE TABLE queue (id INTEGER PRIMARY KEY, topic TEXT, kind TEXT, listener TEXT, member TEXT,"
    " UNIQUE (topic, kind, listener, member))",
    # A subscription of a living process, in the order of their coming; after `until` it counts as dead. No id comes twice.
    "CREATE TABLE consumer (id INTEGER PRIMARY KEY AUTOINCREMENT, queue INTEGER, exclusive INTEGER, until REAL)",
    "CREATE INDEX consumer_queue ON consumer (queue)",
    # `due`: 0, or the time when a delayed message may be given out. `consumer`: who has it.
    "CREATE TABLE message (position INTEGER PRIMARY KEY, queue INTEGER, due REAL, count INTEGER DEFAULT 0,"
    " consumer INTEGER, properties TEXT, body BLOB)",
    "CREATE INDEX message_due ON message (queue, due, position) WHERE consumer IS NULL",
    "CREATE INDEX message_out ON message (consumer) WHERE consumer IS NOT NULL",
    # What was sent lately, to know it again.
    "CREATE TABLE sent (id INTEGER PRIMARY KEY, key TEXT UNIQUE)",
    f"PRAGMA user_version = {VERSION}",
)


def connect(file: Path) -> sqlite3.Connection:
    """Open the database, and make its tables where there are none. Waits for locks no longer than any statement."""
    db = sqlite3.connect(file, timeout=_WAIT, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # Each commit is on the disk (https://sqlite.org/pragma.html#pragma_synchronous): confirmed is confirmed.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in {0, VERSION}:
            msg = f"its tables are of version {version}, made by another eventing-sqlite; this one needs {VERSION}"
            raise sqlite3.DatabaseError(msg)  # noqa: TRY301 (it is closed like after any error)
        for statement in _TABLES if version == 0 else ():
            db.execute(statement)
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def is_busy(error: Exception) -> bool:
    """Whether another process's transaction is in the way. Extended codes have the primary one in their low byte."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
