"""Calls at a later time, on one thread that exists only when something was ever to wait for."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

#: Below this many cancelled entries, the heap is not worth cleaning up.
_MANY = 1_000


@dataclass(slots=True, order=True)
class Alarm:
    """One call to come."""

    when: float
    number: int
    call: Callable[[], None] | None = field(compare=False)


class Timer:
    """Thread-safe. Calls run on its thread, one after the other, under no lock of its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._heap: list[Alarm] = []
        self._numbers = itertools.count()
        self._cancelled = 0
        self._thread: threading.Thread | None = None
        self._running = False

    def call_at(self, when: float, call: Callable[[], None]) -> Alarm:
        """Call at a time of `time.monotonic`, or later when the timer is stopped by then."""
        alarm = Alarm(when, next(self._numbers), call)
        with self._changed:
            heapq.heappush(self._heap, alarm)
            self._ensure_thread()
            if self._heap[0] is alarm:
                self._changed.notify()
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """Forget a call; no effect when it was made."""
        with self._changed:
            if alarm.call is None:
                return
            alarm.call = None
            self._cancelled += 1
            if self._cancelled > _MANY and self._cancelled * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry.call is not None]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def start(self) -> None:
        """Make calls that are due from now on. The thread is made when there is something to wait for."""
        with self._changed:
            self._running = True
            self._ensure_thread()

    def stop(self) -> threading.Thread | None:
        """Let the thread end, and return it. What is still to come stays, for the next `start`. Doesn't block."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._running = False
            self._changed.notify()
        return thread

    def _ensure_thread(self) -> None:
        if self._running and self._heap and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="eventing-memory-timer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (call := self._next()) is not None:
            call()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while self._thread is threading.current_thread():
                wait = self._heap[0].when - time.monotonic() if self._heap else threading.TIMEOUT_MAX
                if wait > 0:
                    self._changed.wait(min(wait, threading.TIMEOUT_MAX))
                    continue
                alarm = heapq.heappop(self._heap)
                if alarm.call is None:
                    self._cancelled -= 1
                    continue
                call, alarm.call = alarm.call, None
                return call
        return None
