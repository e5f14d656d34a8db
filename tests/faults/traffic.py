"""What a process of the cuts runs: ``python -m tests.faults.traffic``. It sends and listens, at a steady pace.

It reads words from its standard input: ``again`` stops its manager and makes another one; ``quiet`` ends the sending;
the end of input ends it in order. Its files are those of `tests.support.workers`; ``states`` gets a line for each
change of the connection: the time, and whether it is there.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from eventing_core import EventManager
from tests.support.workers import Record, compute, event_named, listener_of, say


class Traffic:
    """Sends and listens, with one manager after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._records = {
            name: Record(options.folder / name)
            for name in ("submitted", "confirmed", "failed", "states", *options.listeners)
        }
        self._event = event_named(options.event)
        self._listeners = [
            listener_of(self._event, name, self._on(name), concurrency=options.concurrency)
            for name in options.listeners
        ]
        self._numbers = itertools.count()
        self._sending = True

    def _on(self, name: str) -> Any:
        record = self._records[name]

        def on(number: int) -> None:
            compute(self._options.rounds)
            record.add(number)

        return on

    def live(self, words: SimpleQueue[str]) -> bool:
        """One manager's life; whether there is to be another one."""
        manager = EventManager.from_config(listeners=self._listeners, pipelines=[], stop_timeout=5.0)
        self._watch(manager)
        with manager:
            say("ready")
            for word in _words(words, self._options.pace):
                if word in {"again", "end"}:
                    return word == "again"
                if word == "quiet":
                    self._sending = False
                elif self._sending:
                    self._send(manager)
        raise AssertionError

    def _watch(self, manager: EventManager) -> None:
        provider = manager._provider
        open_provider, states = provider.open, self._records["states"]

        def open_watched(observer: Any) -> None:
            def observe(connected: bool, error: Exception | None) -> None:
                states.add(time.monotonic_ns() * 2 + connected)
                observer(connected, error)

            open_provider(observe)

        provider.open = open_watched  # type: ignore[method-assign]

    def _send(self, manager: EventManager) -> None:
        number = next(self._numbers)
        self._records["submitted"].add(number)
        future = manager.submit_event(self._event(number=number), timeout=90.0)
        future.add_done_callback(lambda future: self._done(number, future))

    def _done(self, number: int, future: Future[None]) -> None:
        self._records["failed" if future.exception() else "confirmed"].add(number)


def _words(words: SimpleQueue[str], pace: float) -> Iterator[str]:
    """What comes, and an empty word every ``pace`` seconds."""
    due = time.monotonic()
    while True:
        due = max(due + pace, time.monotonic() - 1.0)
        try:
            yield words.get(timeout=max(0.0, due - time.monotonic()))
        except Empty:
            yield ""


def _compute_for_ever() -> None:
    while True:
        compute(1_000)


def _read(words: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        words.put(line.strip())
    words.put("end")


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--beside", action="store_true", help="a thread that computes all the time")
    parser.add_argument("--pace", type=float, default=0.002, help="seconds between two sends")
    parser.add_argument("event")
    parser.add_argument("folder", type=Path)
    parser.add_argument("listeners", nargs="+")
    words: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(words,), daemon=True).start()
    options = parser.parse_args()
    if options.beside:
        threading.Thread(target=_compute_for_ever, daemon=True).start()
    traffic = Traffic(options)
    while traffic.live(words):
        pass


if __name__ == "__main__":
    main()
