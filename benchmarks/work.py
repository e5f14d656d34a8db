"""What both sides of a comparison do: the events, the computing, the place of the broker."""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

EVENT, LISTENER = "Placed", "Listener"
RAW_EVENT, RAW_LISTENER = "RawPlaced", "RawListener"


@dataclass
class Order:
    """Some 130 bytes of JSON."""

    number: int
    customer: str = "customer-0001"
    amount: float = 12.5
    currency: str = "EUR"
    lines: list[int] = field(default_factory=lambda: [1, 2, 3])
    note: str = "the gate is left of the house"


def compute(rounds: int) -> int:
    """Pure Python, the more rounds the longer."""
    number = 1
    for _ in range(rounds):
        number = number * 3 % 1_000_003
    return number


def rounds_in(seconds: float) -> int:
    """How many rounds `compute` does in so many seconds, undisturbed."""
    trial = 20_000
    best = min(_seconds_of(trial) for _ in range(20))
    return round(trial * seconds / best)


def _seconds_of(rounds: int) -> float:
    begun = time.perf_counter()
    compute(rounds)
    return time.perf_counter() - begun


@contextmanager
def beside_computing(*, wanted: bool) -> Iterator[None]:
    """Have a thread compute all the time meanwhile, where that is wanted."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            compute(1_000)

    thread = threading.Thread(target=work)
    if wanted:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if wanted:
            thread.join()


class Clock:
    """Times a number of events, from the first to the last. The first one isn't counted: its time is the beginning."""

    def __init__(self, count: int) -> None:
        self.ended = threading.Event()
        self.seen = 0
        self.rate = 0.0
        self._count = count
        self._begun = 0.0

    def tick(self) -> None:
        """There is one more."""
        self.seen += 1
        if self.seen == 1:
            self._begun = time.perf_counter()
        elif self.seen == self._count:
            self.rate = (self._count - 1) / (time.perf_counter() - self._begun)
            self.ended.set()


def place() -> dict[str, Any]:
    """Where the broker is, by the environment variables that Eventing reads."""
    prefix = f"EVENTING_{os.environ['EVENTING_PROVIDER'].upper()}__"
    return {key: os.environ[prefix + key.upper()] for key in ("host", "port", "user", "password")}


def arguments(doc: str | None) -> argparse.Namespace:
    """What one measurement is given."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("what", choices=("send", "receive"))
    parser.add_argument("count", type=int)
    parser.add_argument("--rounds", type=int, default=0, help="of computing per event received")
    parser.add_argument("--beside", action="store_true", help="a thread that computes all the time")
    parser.add_argument("--prefetch", type=int, default=10, help="of the raw receiver; 10 is Proton's default")
    return parser.parse_args()
