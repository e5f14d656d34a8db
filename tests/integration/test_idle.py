"""A process that has nothing to do sleeps, and the number of its threads is fixed."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from eventing_core import EventManager
from examples.artemis import Artemis
from tests.support.processes import Numbers, Worker
from tests.support.waiting import until
from tests.support.workers import event_named

#: For how long the process is watched, in seconds.
WATCHED = 12.0

#: Wake-ups in that time: the broker says every 5 s that it is alive, and the process every 15 s; and one to spare.
ALLOWED = 5


def threads(pid: int) -> set[str]:
    return {task.name for task in Path(f"/proc/{pid}/task").iterdir()}


def switches(pid: int) -> dict[str, int]:
    """How often each thread of a process has gone to sleep."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        match = re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", (task / "status").read_text(), re.MULTILINE)
        assert match
        found[f"{(task / 'comm').read_text().strip()} {task.name}"] = int(match[1])
    return found


@pytest.fixture
def listen(
    artemis: Artemis, start_worker: Callable[..., Worker], tmp_path: Path, unique: Callable[[str], str]
) -> Callable[[int], Worker]:
    """``listen(count)``: a process with so many listeners of one event, which has handled one event."""

    def start(count: int) -> Worker:
        folder = tmp_path / f"{count}"
        folder.mkdir()
        names = [unique(f"Listener{count}.{number}") for number in range(count)]
        worker = start_worker(artemis, f"server-{count}", "listen", unique(f"Idle{count}"), folder, *names)
        worker.expect("ready")
        return worker

    return start


@pytest.fixture
def handle(
    make_manager: Callable[..., EventManager], tmp_path: Path, unique: Callable[[str], str]
) -> Callable[..., None]:
    """``handle(listeners, events)``: send events to one of the processes, and wait until each listener has them."""
    manager = make_manager()

    def send(listeners: int, events: int) -> None:
        event_type = event_named(unique(f"Idle{listeners}"))
        files = [
            Numbers(tmp_path / f"{listeners}" / unique(f"Listener{listeners}.{number}")) for number in range(listeners)
        ]
        wanted = [len(file) + events for file in files]
        manager.send_events(event_type(number=number) for number in range(events))
        until(lambda: [len(file) for file in files] == wanted, lambda: f"{[len(file) for file in files]} of {wanted}")

    return send


def test_threads_depend_on_neither_listeners_nor_events(listen: Callable[[int], Worker], handle: Callable[..., None]):
    counts = {}
    for listeners in (1, 10):
        pid = listen(listeners).pid
        before = threads(pid)
        handle(listeners, 1_000)
        assert threads(pid) == before
        counts[listeners] = len(before)
    assert counts[1] == counts[10]


def test_idle_without_polling(listen: Callable[[int], Worker], handle: Callable[..., None]):
    worker = listen(10)
    handle(10, 100)
    last: dict[str, int] = {}

    def is_settled() -> bool:
        nonlocal last
        threading.Event().wait(0.2)
        before, last = last, switches(worker.pid)
        return before == last

    until(is_settled, lambda: f"sleep; its threads' switches are {last}")
    before = switches(worker.pid)
    begun = time.monotonic()
    threading.Event().wait(WATCHED)  # the measurement itself
    after = switches(worker.pid)
    woken = {thread: count - before[thread] for thread, count in after.items() if count != before[thread]}
    print(f"woken in {time.monotonic() - begun:.1f} s: {woken}")  # noqa: T201 (a figure to look at)
    assert after.keys() == before.keys()
    assert sum(woken.values()) <= ALLOWED, woken
