"""Listeners in several processes, and processes that are killed, counted from raw calls of ``on``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from eventing_core import EventManager
from examples.artemis import Artemis
from tests.support.plain import PlainClient
from tests.support.processes import Numbers, Worker
from tests.support.waiting import until
from tests.support.workers import event_named

EVENTS = 10_000

#: Rounds of computing per event, so that a process takes seconds for all of them: some 0.3 ms.
ROUNDS = 5_000


class Listening:
    """A process that listens, and what it recorded, over all its lives."""

    def __init__(
        self,
        start: Callable[..., Worker],
        folder: Path,
        event: str,
        listener: str,
        *options: str,
        provider: str = "amqp",
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.handled = Numbers(folder / listener)
        self._start = start
        self._arguments = (folder.name, "listen", event, folder, listener, *options)
        self._provider = provider
        self.start()

    def start(self) -> None:
        self.worker = self._start(*self._arguments, provider=self._provider)
        self.worker.expect("ready")


@pytest.fixture
def listen(
    artemis: Artemis, start_worker: Callable[..., Worker], tmp_path: Path, unique: Callable[[str], str]
) -> Callable[..., Listening]:
    """``listen("server", *options, provider="amqp")``: a process; all listen to one event, by listeners of one name."""
    return lambda server, *options, **settings: Listening(
        lambda *arguments, **more: start_worker(artemis, *arguments, **more),
        tmp_path / unique(server),
        unique("Processed"),
        unique("Listener"),
        *options,
        **settings,
    )


@pytest.fixture
def send(make_manager: Callable[..., EventManager], unique: Callable[[str], str]) -> Callable[[int], None]:
    """``send(count)``: events with the numbers from 0; returns when all are confirmed."""
    manager, event_type = make_manager(), event_named(unique("Processed"))
    return lambda count: manager.send_events(event_type(number=number) for number in range(count))


def wait_until_empty(plain: PlainClient, *queues: str) -> None:
    until(
        lambda: all(plain.count(queue) == 0 for queue in queues),
        lambda: f"empty queues; there are {[plain.count(queue) for queue in queues]}",
    )


@pytest.mark.parametrize(
    ("providers", "rounds"),
    [(("amqp", "amqp"), 0), (("amqp", "stomp"), 0), (("amqp", "stomp"), ROUNDS)],
    ids=["amqp", "amqp and stomp", "amqp and stomp, computing"],
)
def test_two_processes_share_the_events(
    listen: Callable[..., Listening],
    send: Callable[[int], None],
    plain: PlainClient,
    unique: Callable[[str], str],
    providers: tuple[str, str],
    rounds: int,
):
    both = [
        listen(f"{provider}-{number}", "--rounds", str(rounds), provider=provider)
        for number, provider in enumerate(providers)
    ]
    send(EVENTS)
    until(lambda: sum(len(one.handled) for one in both) >= EVENTS, lambda: f"{[len(one.handled) for one in both]}")
    wait_until_empty(plain, unique("Listener"))
    for one in both:
        one.worker.stop()
    first, second = (one.handled.read() for one in both)
    assert sorted(first + second) == list(range(EVENTS))
    # The faster one gets more, and none gets all: over STOMP the broker counts bytes on their way, not messages.
    assert min(len(first), len(second)) > EVENTS // 100
    print(f"handled by one {len(first)}, by the other {len(second)}")  # noqa: T201 (a figure to look at)


def test_per_process_each_gets_all(
    listen: Callable[..., Listening], send: Callable[[int], None], plain: PlainClient, unique: Callable[[str], str]
):
    both = listen("a", "--per-process"), listen("b", "--per-process")
    send(EVENTS)
    for one in both:
        until(lambda one=one: len(one.handled) >= EVENTS, lambda one=one: f"{len(one.handled)}")  # type: ignore[misc]
    wait_until_empty(plain, *(f"{unique('Listener')}-{unique(server)}" for server in "ab"))
    for one in both:
        one.worker.stop()
        assert sorted(one.handled.read()) == list(range(EVENTS))


def test_a_killed_process_loses_nothing(
    listen: Callable[..., Listening], send: Callable[[int], None], plain: PlainClient, unique: Callable[[str], str]
):
    one = listen("a", "--rounds", str(ROUNDS))
    send(EVENTS)
    until(lambda: len(one.handled) >= EVENTS // 4, lambda: f"{len(one.handled)}")
    one.worker.kill()
    before = one.handled.read()
    assert EVENTS // 10 <= len(before) <= EVENTS * 9 // 10
    assert len(before) == len(set(before))
    one.start()
    wait_until_empty(plain, unique("Listener"))
    one.worker.stop()
    times = Counter(one.handled.read())
    assert set(times) == set(range(EVENTS))
    twice = [number for number, calls in times.items() if calls > 1]
    # What the process held when it was killed; the newest of it may not even have been begun.
    assert set(twice) <= set(before)
    print(f"killed after {len(before)}, handled twice: {len(twice)}")  # noqa: T201 (a figure to look at)


def test_ordered_across_processes_and_through_a_kill(
    listen: Callable[..., Listening], send: Callable[[int], None], plain: PlainClient, unique: Callable[[str], str]
):
    count = 3_000
    active = listen("a", "--ordered", "--rounds", str(ROUNDS))
    standby = listen("b", "--ordered", "--rounds", str(ROUNDS))
    send(count)
    until(lambda: len(active.handled) >= count // 4, lambda: f"{len(active.handled)}")
    assert len(standby.handled) == 0
    active.worker.kill()
    before = active.handled.read()
    assert before == list(range(len(before)))
    assert len(before) < count
    wait_until_empty(plain, unique("Listener"))
    standby.worker.stop()
    after = standby.handled.read()
    # The other takes over, in order, and may repeat what the killed one had no time to settle.
    assert after == list(range(after[0], count))
    assert after[0] <= len(before)
    print(f"killed after {len(before)}, the other began with number {after[0]}")  # noqa: T201 (a figure to look at)
