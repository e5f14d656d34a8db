"""What the conformance kit can't know: the database beneath the provider."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from eventing_core.errors import BrokerConnectionError, ConnectionLostError, SendTimeoutError
from eventing_core.provider import Destination, Message, Outcome, Provider, Subscription, SubscriptionState
from eventing_core.testing import Confirmations, Log, Recorder
from eventing_sqlite import SqliteConfig, SqliteProvider

QUEUE = Destination("Event", "Listener", kind="queue")
LIMIT = 10.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "events.db"


@pytest.fixture
def observed() -> Log[bool]:
    """Whether there was a database, as the providers of a test told it."""
    return Log()


@pytest.fixture
def make_provider(file: Path, observed: Log[bool]) -> Iterator[Callable[[], SqliteProvider]]:
    """Makes open providers."""
    made: list[Provider] = []

    def make() -> SqliteProvider:
        provider = SqliteProvider("server", SqliteConfig(file=file, lease=2.0))
        provider.open(lambda connected, _: observed.add(connected))
        made.append(provider)
        return provider

    yield make
    for provider in made:
        provider.close(LIMIT)


def listen(provider: SqliteProvider, window: int) -> Recorder:
    """Listen to the queue."""
    recorder = Recorder(window)
    recorder.attach(provider.subscribe(Subscription(destination=QUEUE), recorder))
    recorder.wait_active()
    return recorder


def send(provider: SqliteProvider, *bodies: bytes, seconds: float = LIMIT) -> list[Exception | None]:
    """Send to the queue, and wait for what became of it."""
    done = Confirmations()
    batch = [Message(body=body) for body in bodies]
    provider.producer(QUEUE).send(batch, done, deadline=time.monotonic() + seconds)
    return [error for _, error in done.wait(len(bodies))]


def test_a_process_that_was_taken_for_dead_begins_anew(make_provider: Callable[[], SqliteProvider], file: Path) -> None:
    """It slept longer than its lease: what it had out was freed, and counts as delivered."""
    provider = make_provider()
    recorder = listen(provider, window=1)
    send(provider, b"a")
    [old] = recorder.wait(1)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("DELETE FROM consumer")
    [_, again] = recorder.wait(2, "what was freed is delivered again")
    assert (again.generation, again.delivery_count) == (2, 1)
    recorder.settle([old])
    recorder.settle([again], Outcome.RELEASE)
    [_, _, once_more] = recorder.wait(3, "what is void accepts nothing")
    assert once_more.message().body == b"a"
    assert recorder.states.items()[-1] == (SubscriptionState.ACTIVE, 2, None)


def test_while_it_is_locked_sends_fail_in_time_and_nothing_is_lost(
    make_provider: Callable[[], SqliteProvider], file: Path, observed: Log[bool]
) -> None:
    """Another process's transaction that lasts; afterwards all goes on by itself, in the same generation."""
    provider = make_provider()
    recorder = listen(provider, window=1)
    send(provider, b"a")
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        [error] = send(provider, b"b", seconds=1.0)
        assert isinstance(error, SendTimeoutError)
        assert time.monotonic() - began < LIMIT / 2
        observed.until(lambda told: told[-1] is False, "it is told that there is no database")
        assert not provider.health().connected
        recorder.settle(recorder.wait(1))
        db.execute("COMMIT")
    assert send(provider, b"c") == [None]
    observed.until(lambda told: told[-1] is True, "it is told that there is one")
    assert provider.health().connected
    recorder.wait(2)
    assert recorder.bodies() == ["a", "c"]
    assert {delivery.generation for delivery in recorder.deliveries.items()} == {1}


def test_closing_ends_in_time_while_it_is_locked(make_provider: Callable[[], SqliteProvider], file: Path) -> None:
    """What is under way fails; what is out comes back by its lease."""
    provider = make_provider()
    listen(provider, window=1)
    done = Confirmations()
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        provider.producer(QUEUE).send([Message(body=b"a")], done, deadline=time.monotonic() + LIMIT)
        began = time.monotonic()
        provider.close(0.5)
        [(_, error)] = done.wait(1)
        assert time.monotonic() - began < LIMIT / 2
        assert isinstance(error, ConnectionLostError)
        assert "locked" in str(error)


def test_a_file_that_cannot_be_had_is_told_at_once(tmp_path: Path) -> None:
    """Neither in a folder that doesn't exist, nor where something else is; another try may succeed."""
    provider = SqliteProvider("server", SqliteConfig(file=tmp_path / "none" / "events.db"))
    with pytest.raises(BrokerConnectionError, match="unable to open database file"):
        provider.open(lambda _, __: None)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "events.db").write_text("no database, but longer than a hundred bytes of header" * 10)
    with pytest.raises(BrokerConnectionError, match="not a database"):
        provider.open(lambda _, __: None)
    (tmp_path / "none" / "events.db").unlink()
    provider.open(lambda _, __: None)
    provider.close(LIMIT)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_begins_anew(make_provider: Callable[[], SqliteProvider]) -> None:
    """Neither disturbs the other, and the child's send is the parent's delivery."""
    provider = make_provider()
    recorder = listen(provider, window=2)

    def in_child() -> None:
        provider.abandon()
        provider.open(lambda _, __: None)
        assert send(provider, b"from the child") == [None]
        provider.close(LIMIT)

    child = multiprocessing.get_context("fork").Process(target=in_child)
    child.start()
    child.join(LIMIT)
    assert child.exitcode == 0
    send(provider, b"from the parent")
    recorder.wait(2)
    assert recorder.bodies() == ["from the child", "from the parent"]


def test_closing_ends_an_opening_that_is_under_way(file: Path) -> None:
    """Somebody has the database, and keeps it."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db, ThreadPoolExecutor(1) as pool:
        db.execute("BEGIN EXCLUSIVE")
        provider = SqliteProvider("server", SqliteConfig(file=file))
        begin = time.monotonic()
        opening = pool.submit(provider.open, lambda _, __: None)
        while not opening.done():
            provider.close(0.1)
        assert isinstance(opening.exception(), BrokerConnectionError)
        assert time.monotonic() - begin < LIMIT / 2  # by itself it would have gone on for longer than the limit
