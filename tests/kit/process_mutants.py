"""Bugs that show where there is another process: in the SQLite example, and in AMQP on a real broker."""

from __future__ import annotations

import runpy
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from eventing_core.errors import SendError
from eventing_core.provider import Done, Message
from eventing_core.provider.sockets._producer import SocketProducer
from eventing_core.provider.sockets._send import Send
from eventing_sqlite._producer import SqliteProducer
from eventing_sqlite._provider import SqliteProvider
from tests.kit.mutant import Mutant

_REAP = "DELETE FROM consumer WHERE until <= ?"


class Changed:
    """A database connection that changes what it is told to do."""

    def __init__(self, db: sqlite3.Connection, change: Callable[[str], str]) -> None:
        self._db, self._change = db, change

    def __enter__(self) -> None:
        self._db.__enter__()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:  # noqa: PYI036
        self._db.__exit__(kind, error, traceback)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self._db.execute(self._change(statement), *values)


def _change_reaping(reap: Callable[[SqliteProvider], str]) -> None:
    """What becomes of the consumers of dead processes."""
    work = SqliteProvider._work

    def broken(self: SqliteProvider, db: sqlite3.Connection, *, closes: bool) -> None:
        def change(statement: str) -> str:
            return reap(self) if statement == _REAP else statement

        work(self, Changed(db, change), closes=closes)  # type: ignore[arg-type]

    SqliteProvider._work = broken  # type: ignore[method-assign]


def dead_are_never_missed() -> None:
    _change_reaping(lambda _: f"{_REAP} AND 0")


def dead_exclusive_consumer_stays_first() -> None:
    def reap(provider: SqliteProvider) -> str:
        exclusive = any(consumer._subscription.exclusive for consumer in provider._consumers)
        return f"{_REAP} AND 0" if exclusive else _REAP

    _change_reaping(reap)


def dead_member_is_in_use_forever() -> None:
    def reap(provider: SqliteProvider) -> str:
        members = any(consumer._subscription.destination.member for consumer in provider._consumers)
        return f"{_REAP} AND 0" if members else _REAP

    _change_reaping(reap)


def also_in_the_process_that_dies(breaks: Callable[[], None]) -> None:
    """The kit's own processes have the bug, too."""
    run = subprocess.run

    def broken(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        begin = f"import {__name__} as it; it.run_with(it.{breaks.__name__})"
        return run([command[0], "-c", begin], **options)

    subprocess.run = broken  # type: ignore[assignment]
    breaks()


def run_with(breaks: Callable[[], None]) -> None:
    """Run the kit's process with a bug."""
    breaks()
    sys.argv = ["crash"]
    runpy.run_module("eventing_core.testing._crash", run_name="__main__")


def sqlite_confirms_before_it_stores() -> None:
    send = SqliteProducer.send

    def broken(
        self: SqliteProducer, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0
    ) -> None:
        for index in range(len(batch)):
            done(index, None)
        send(self, batch, lambda _, __: None, deadline=deadline, delay=delay)

    SqliteProducer.send = broken  # type: ignore[method-assign]


def confirmed_before_it_is_stored() -> None:
    also_in_the_process_that_dies(sqlite_confirms_before_it_stores)


def confirmed_by_the_loss_of_the_connection() -> None:
    """What was written counts as sent."""
    lost = SocketProducer.lost

    def broken(self: SocketProducer[Any, Any]) -> None:
        lost(self)
        for send in [send for send in self._waiting if send.sent]:
            self._waiting.remove(send)
            send.tell(None)

    SocketProducer.lost = broken  # type: ignore[method-assign]


def written_sends_dropped_by_the_loss() -> None:
    """And nobody is told."""
    lost = SocketProducer.lost

    def broken(self: SocketProducer[Any, Any]) -> None:
        lost(self)
        for send in [send for send in self._waiting if send.sent]:
            self._waiting.remove(send)

    SocketProducer.lost = broken  # type: ignore[method-assign]


def never_in_doubt() -> None:
    def change(tell: Callable[[SendError | None], None], error: SendError | None) -> None:
        if error is not None:
            error.in_doubt = False
        tell(error)

    _change_telling(change)


def late_sends_told_twice() -> None:
    def change(tell: Callable[[SendError | None], None], error: SendError | None) -> None:
        tell(error)
        if error is not None:
            tell(error)

    _change_telling(change)


def _change_telling(change: Callable[[Callable[[SendError | None], None], SendError | None], None]) -> None:
    tell = Send.tell

    def broken(self: Send, error: SendError | None) -> None:
        change(partial(tell, self), error)

    Send.tell = broken  # type: ignore[method-assign]


_BREAKS = "test_a_connection_that_breaks_before_the_answer_confirms_nothing"
_LATE = "test_an_answer_after_the_deadline_comes_too_late"

MUTANTS = [
    Mutant(
        dead_are_never_missed,
        "test_what_a_dead_process_prefetched_goes_to_others_in_order",
        "what a dead process had prefetched goes to another one",
        on="TestMutatedSqlite",
    ),
    Mutant(
        dead_exclusive_consumer_stays_first,
        "test_a_dead_exclusive_consumer_has_a_successor",
        "another one takes over from an exclusive consumer that died",
        on="TestMutatedSqlite",
    ),
    Mutant(
        dead_member_is_in_use_forever,
        "test_the_queue_of_a_dead_process_is_its_successors",
        "a process that crashed comes back under its name",
        on="TestMutatedSqlite",
    ),
    Mutant(
        confirmed_before_it_is_stored,
        "test_what_was_confirmed_to_a_dead_sender_is_there",
        "what was confirmed is there, though its sender died",
        on="TestMutatedSqlite",
    ),
    Mutant(
        confirmed_by_the_loss_of_the_connection,
        _BREAKS,
        "a send whose answer didn't come before the connection broke is not confirmed",
        on="TestMutatedAmqp",
    ),
    Mutant(written_sends_dropped_by_the_loss, _BREAKS, "the outcome of every send is reported", on="TestMutatedAmqp"),
    Mutant(never_in_doubt, _LATE, "a send that was written and not answered is in doubt", on="TestMutatedAmqp"),
    Mutant(late_sends_told_twice, _LATE, "`done` is called once", on="TestMutatedAmqp"),
]
