"""What worker processes of the tests run: ``python -m tests.support.workers listen|send ...``.

The connection's settings come by environment variables. A worker says "ready" on its standard output and ends in
order at SIGTERM. What it tells the test otherwise goes to files that it only ever appends to, a number a line, one
system call each: nothing is lost when it is killed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from eventing_core import Envelope, EnvelopePipeline, EventListener, EventManager, Retry, event, event_listener

#: A sender doesn't wait for less, in seconds.
_STEP = 0.002


class Numbered(BaseModel):
    """What is sent."""

    number: int


class Record:
    """A file of numbers. Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Open the file; it may be there."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, number: int) -> None:
        """Append a number."""
        os.write(self._file, b"%d\n" % number)


def event_named(name: str) -> type[Numbered]:
    """An event class; tests and workers make the same one, by its name."""

    @event(name, durable=True)
    class Event(Numbered):
        pass

    return Event


def compute(rounds: int) -> int:
    """Pure Python that lasts as long as there are rounds."""
    number = 1
    for _ in range(rounds):
        number = number * 3 % 1_000_003
    return number


def listener_of(
    event_type: type[Numbered], name: str, on: Callable[[int], object], **settings: Any
) -> type[EventListener[Any]]:
    """A listener class; the settings are those of ``@event_listener``."""

    @event_listener(event_type, name=name, **settings)
    class Listener(EventListener[Any]):
        def on(self, event: Any) -> None:
            on(event.number)

    return Listener


def die() -> None:
    """As by the kernel, out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


class DiesBefore(EnvelopePipeline):
    """Takes its process down with one event, before ``on``."""

    def __init__(self, number: int) -> None:
        """Of the event."""
        self._number = number

    def handle(self, envelope: Envelope, _: object) -> None:
        """Die, or do nothing."""
        if Numbered.model_validate_json(envelope.get_body()).number == self._number:
            die()


def listen(options: argparse.Namespace) -> None:
    """Record each call of ``on``, until SIGTERM."""
    records = {name: Record(options.folder / name) for name in options.listeners}
    begun, ended = (
        Record(options.folder / f"{what}-{options.life}") if options.life else None for what in ("begun", "ended")
    )

    def on(name: str) -> Callable[[int], None]:
        record = records[name]

        def call(number: int) -> None:
            if begun:
                begun.add(number)
            if number == options.deadly:
                die()
            if options.failing_every and number % options.failing_every == options.failing_every - 1:
                raise ValueError(number)
            compute(options.rounds)
            record.add(number)
            if ended:
                ended.add(number)

        return call

    event_type = event_named(options.event)
    settings = {key: getattr(options, key) for key in ("per_process", "ordered", "concurrency")}
    if options.attempts:
        settings["retry"] = Retry(max_attempts=options.attempts)
    listeners = [listener_of(event_type, name, on(name), **settings) for name in options.listeners]
    pipelines = [DiesBefore(options.deadly_before)] if options.deadly_before is not None else []
    with EventManager.from_config(listeners=listeners, pipelines=pipelines) as manager:
        say("ready")
        manager.run()


def send(options: argparse.Namespace) -> None:
    """Send 0, 1, 2, ..., until standard input ends, or ``--count`` are sent; ``--window`` of them are unconfirmed.

    One each ``--pace`` seconds, at the most. With a count it says "sent" when all are confirmed, and waits for the end
    of its input.

    Records the numbers before they are handed over (``submitted``), once they are confirmed, and those that failed.
    """
    with ExitStack() as stack:
        submitted, confirmed, failed = (Record(options.folder / name) for name in ("submitted", "confirmed", "failed"))
        event_type = event_named(options.event)
        manager = EventManager.from_config(listeners=[], pipelines=[], unrouted=options.unrouted)
        stack.callback(manager.stop)
        room = threading.BoundedSemaphore(options.window)
        ended = threading.Event()
        threading.Thread(target=_wait_for_end_of_input, args=(ended,), daemon=True).start()

        def done(number: int, future: Future[None]) -> None:
            (failed if future.exception() else confirmed).add(number)
            room.release()

        say("ready")
        begun = time.monotonic()
        for number in range(options.count) if options.count else itertools.count():
            early = begun + number * options.pace - time.monotonic()
            if early > _STEP:
                ended.wait(early)
            room.acquire()
            if ended.is_set():
                room.release()
                break
            submitted.add(number)
            future = manager.submit_event(event_type(number=number), timeout=90.0)
            future.add_done_callback(lambda future, number=number: done(number, future))  # type: ignore[misc]
        for _ in range(options.window):
            room.acquire()
        if options.count:
            say("sent")
            ended.wait()


def _wait_for_end_of_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def say(word: str) -> None:
    """Tell the test."""
    print(word, flush=True)  # noqa: T201 (that is how it learns)


def main() -> None:
    """Run one worker."""
    parser = argparse.ArgumentParser()
    kinds = parser.add_subparsers(required=True)
    listening = kinds.add_parser("listen")
    listening.set_defaults(run=listen)
    listening.add_argument("--per-process", action="store_true")
    listening.add_argument("--ordered", action="store_true")
    listening.add_argument("--rounds", type=int, default=0)
    listening.add_argument("--concurrency", type=int, default=1)
    listening.add_argument(
        "--life", help="of the process: all runs of `on` that it begins and ends are recorded as well"
    )
    listening.add_argument("--attempts", type=int, default=0, help="for each event; the default's where it is 0")
    listening.add_argument("--failing-every", type=int, default=0, help="of so many events the last one fails always")
    listening.add_argument("--deadly", type=int, help="an event that kills the process when it is handled")
    listening.add_argument("--deadly-before", type=int, help="one that kills it before")
    listening.add_argument("event")
    listening.add_argument("folder", type=Path)
    listening.add_argument("listeners", nargs="+")
    sending = kinds.add_parser("send")
    sending.set_defaults(run=send)
    sending.add_argument("--window", type=int, default=1_000)
    sending.add_argument("--count", type=int, default=0)
    sending.add_argument("--pace", type=float, default=0.0)
    sending.add_argument("--unrouted", default="warn")
    sending.add_argument("event")
    sending.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
