"""What all contenders do alike: the events, the computing, the counting, the place of the broker, and their words.

A contender is a module in `benchmarks.contenders`, whose process does one measurement and prints its figures as JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

#: Given up after so many seconds: what has not come then is lost.
PATIENCE = 120.0

#: What travels beside an event of the shape "headers".
HEADERS = {"tenant": "north", "trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-01", "session": "b7ad6b7169203331"}

#: The figure that is the process's own processor time per event, in microseconds.
PROCESSOR = "processor"

#: Characters of one header's value, where headers are asked for by their size.
_VALUE = 40

_NOTES = {"flat": "the gate is left of the house", "unicode": "Grüße über 東京, прямо \N{GRINNING FACE}"}


@dataclass
class Order:
    """Some 100 bytes of JSON, and more with a longer note."""

    number: int
    customer: str = "customer-0001"
    amount: float = 12.5
    note: str = _NOTES["flat"]


@dataclass
class Line:
    """Of a nested order."""

    sku: str
    quantity: int
    price: float


@dataclass
class NestedOrder:
    """One with models in it."""

    number: int
    customer: str
    lines: list[Line]
    note: str


def order_type(shape: str) -> type[Any]:
    """The class of a shape's events."""
    return NestedOrder if shape == "nested" else Order


def fields_of(shape: str, size: int) -> dict[str, Any]:
    """All fields but the number, for events of some ``size`` bytes; a nested one's lines as dictionaries."""
    note = _NOTES.get(shape, _NOTES["flat"])
    note *= max(1, round((size - 70) / len(note.encode())))
    if shape == "nested":
        lines = [{"sku": f"sku-{at}", "quantity": at, "price": at * 1.5} for at in range(3)]
        return {"customer": "customer-0001", "lines": lines, "note": note}
    return {"customer": "customer-0001", "amount": 12.5, "note": note}


def headers_of(shape: str, size: int) -> dict[str, str] | None:
    """What travels along: the shape's headers, or of some ``size`` bytes, in pieces of one length."""
    if size:
        return {f"header-{at}": "x" * min(_VALUE, size - at * _VALUE) for at in range(-(-size // _VALUE))}
    return HEADERS if shape == "headers" else None


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


class Meter:
    """Times events from the first to the last, and counts which came, and which twice. Thread-safe.

    Attributes:
        ended: all have come.
    """

    def __init__(self, count: int) -> None:
        self.ended = threading.Event()
        self._count = count
        self._numbers: list[int] = []
        self._times = [0.0, 0.0]
        self._processor = [0.0, 0.0]

    def tick(self, number: int) -> bool:
        """That one is there; whether it was the last."""
        numbers = self._numbers
        if not numbers:
            self._times[0], self._processor[0] = time.perf_counter(), time.process_time()
        numbers.append(number)
        if len(numbers) < self._count or len({*numbers}) < self._count:
            return False
        self._times[1], self._processor[1] = time.perf_counter(), time.process_time()
        self.ended.set()
        return True

    def figures(self) -> dict[str, float]:
        """From the first to the last: rate per second, processor time per event; what never came, what came twice."""
        came = {*self._numbers}
        seconds = (self._times[1] or time.perf_counter()) - self._times[0]
        processor = (self._processor[1] or time.process_time()) - self._processor[0]
        return {
            "rate": (len(came) - 1) / seconds if came else 0.0,
            PROCESSOR: per_event(processor, len(came) - 1),
            "lost": self._count - len(came),
            "twice": len(self._numbers) - len(came),
        }


def per_event(seconds: float, count: int) -> float:
    """Microseconds per event."""
    return seconds / count * 1e6 if count > 0 else 0.0


def resident() -> float:
    """The process's memory, in MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 (no file of ours)
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def begin() -> float:
    """The time, of `time.perf_counter`, once the garbage of the imports is collected: it is none of the events'."""
    gc.collect()
    return time.perf_counter()


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return {f"p{at}": cuts[at - 1] * 1000 for at in (50, 95, 99)}


def listener_on(address: str) -> str:
    """The name of the listener, and so of its queue."""
    return f"{address}-Listener"


def place() -> dict[str, Any]:
    """Where the broker is, by the environment variables that Eventing reads."""
    prefix = f"EVENTING_{os.environ['EVENTING_PROVIDER'].upper()}__"
    return {key: os.environ[prefix + key.upper()] for key in ("host", "port", "user", "password")}


def options(doc: str | None, *whats: str) -> argparse.Namespace:
    """What a contender is asked for."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("what", choices=whats)
    parser.add_argument("address", help="the event's name; each contender has its own")
    parser.add_argument("count", type=int, help="events; over all listeners")
    parser.add_argument("--shape", choices=("flat", "headers", "unicode", "nested"), default="flat")
    parser.add_argument("--size", type=int, default=100, help="of a body, in bytes, more or less")
    parser.add_argument("--headers", type=int, default=0, help="bytes of headers that travel with each event")
    parser.add_argument("--loose", action="store_true", help="not durable")
    parser.add_argument("--threads", type=int, default=1, help="that send one by one, or run `on`")
    parser.add_argument("--listeners", type=int, default=1, help="that share the events")
    parser.add_argument("--asynchronous", action="store_true", help="`async def on`")
    parser.add_argument("--rounds", type=int, default=0, help="of computing per event received")
    parser.add_argument("--beside", action="store_true", help="a thread that computes all the time")
    parser.add_argument("--piped", action="store_true", help="with a pipeline that sets a header, and reads it")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds from one send to the next")
    return parser.parse_args()


def tell(figures: Mapping[str, float]) -> None:
    """Print what was measured."""
    print(json.dumps(figures))


class Pace:
    """Lets sends go at even intervals."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = time.perf_counter()

    def wait(self) -> None:
        """Until the next is due."""
        self._due = max(self._due + self._seconds, time.perf_counter() - 0.1)
        time.sleep(max(0.0, self._due - time.perf_counter()))
