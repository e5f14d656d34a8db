"""Calls at a later time."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from enum import Enum, auto

from eventing_core.declare._limits import LONGEST_WAIT

_log = logging.getLogger("eventing")

#: Below so many cancelled entries, the heap is not worth cleaning up.
_MANY = 1_000

Call = Callable[[], None]


class Alarm:
    """One call to come. Who made it says on which thread it comes, and may be cancelled."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call: Call | None = call

    def cancel(self) -> None:
        """Don't call."""
        self._call = None

    @property
    def is_cancelled(self) -> bool:
        """Nothing will be called."""
        return self._call is None

    def fire(self) -> None:
        """Call, unless it was cancelled."""
        call, self._call = self._call, None
        if call is not None:
            call()


class _State(Enum):
    #: Keeps what is to be called.
    RESTING = auto()
    #: Calls what is due.
    RUNNING = auto()
    #: Has forgotten everything.
    STOPPED = auto()


class Timer:
    """Calls functions later, one after the other, on one daemon thread, under no lock. Thread-safe.

    Args:
        name: of the thread, which gets ``-timer`` appended.
        is_lazy: have no thread before there is something to wait for. At the interpreter's exit none can be started
            any more, so whoever needs it there wants one in time.
    """

    def __init__(self, name: str, *, is_lazy: bool = False) -> None:
        self._name = f"{name}-timer"
        self._is_lazy = is_lazy
        self._state = _State.RESTING
        #: Guards everything below, and the state; its thread waits for changes of the first entry and of the state.
        self._changed = threading.Condition(threading.Lock())
        self._heap: list[tuple[float, int, Call, Alarm | None]] = []
        self._numbers = itertools.count()
        self._cancelled = 0
        self._thread: threading.Thread | None = None

    @property
    def is_started(self) -> bool:
        """It has a thread, which was started."""
        thread = self._thread
        return thread is not None and thread.ident is not None

    def start(self) -> None:
        """Make calls that are due from now on."""
        with self._changed:
            if self._state is not _State.STOPPED:
                self._state = _State.RUNNING
                self._ensure_thread()

    def _ensure_thread(self) -> None:
        if self._state is _State.RUNNING and (self._heap or not self._is_lazy):
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            if self._thread.ident is None:  # also after an interruption
                self._thread.start()

    def call_at(self, when: float, call: Call) -> Alarm:
        """Call at a time of `time.monotonic`, or later when it is resting by then. Nothing once stopped."""
        alarm = Alarm(call)
        self.call_later(0.0, alarm.fire, alarm=alarm, when=when)
        return alarm

    def call_later(self, delay: float, call: Call, *, alarm: Alarm | None = None, when: float | None = None) -> None:
        """Call in so many seconds, or at ``when``, unless ``alarm`` is cancelled by then. Nothing once stopped."""
        with self._changed:
            if self._state is _State.STOPPED:
                return
            if when is None:
                when = time.monotonic() + min(delay, LONGEST_WAIT)
            try:
                heapq.heappush(self._heap, (when, next(self._numbers), call, alarm))
            finally:  # also after an interruption: nobody else would wake it up for this one
                if self._thread is None:
                    self._ensure_thread()
                if self._heap and self._heap[0][0] >= when:
                    self._changed.notify()

    def cancel(self, alarm: Alarm) -> None:
        """Forget a call that is to come; no effect when it was made."""
        with self._changed:
            if alarm.is_cancelled:
                return
            alarm.cancel()
            self._cancelled += 1
            if self._cancelled > _MANY and self._cancelled * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[3] is None or not entry[3].is_cancelled]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def rest(self) -> threading.Thread | None:
        """Let the thread end, and return it. What is still to come stays, for the next `start`. Doesn't block."""
        with self._changed:
            thread, self._thread = self._thread, None
            if self._state is _State.RUNNING:
                self._state = _State.RESTING
            self._changed.notify()
        return thread

    def stop(self) -> None:
        """Forget what has not been called, and wait for the thread, for 5 seconds at most."""
        with self._changed:
            self._state = _State.STOPPED
            self._heap.clear()
            self._changed.notify()
        thread = self._thread
        if thread is not None and thread.ident is not None and thread is not threading.current_thread():
            thread.join(5.0)

    def _run(self) -> None:
        while (call := self._next()) is not None:
            try:
                call()
            except Exception:  # noqa: BLE001 (the timer outlives whatever a call does)
                with contextlib.suppress(Exception):
                    _log.exception("an unexpected error in the timer")

    def _next(self) -> Call | None:
        """Wait for the next call; None: the thread ends."""
        with self._changed:
            while self._state is _State.RUNNING and self._thread is threading.current_thread():
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait is None or wait > 0:
                    self._changed.wait(None if wait is None else min(wait, threading.TIMEOUT_MAX))
                    continue
                _, _, call, alarm = heapq.heappop(self._heap)
                if alarm is None or not alarm.is_cancelled:
                    return call
                self._cancelled -= 1
        return None
