"""When to look for sends that are late."""

from __future__ import annotations

import time
from collections.abc import Callable

from eventing_core.provider._timer import Alarm
from eventing_core.provider.sockets._loop import Loop

#: Between two looks, in seconds: a long line of deadlines isn't walked for each of them.
_STEP = 0.01


class Deadlines:
    """One timer for the deadlines of all sends. Runs on the I/O thread.

    Args:
        loop: that thread's.
        expire: ``expire(now)`` fails what is late, and returns the earliest deadline of the rest.
    """

    def __init__(self, loop: Loop, expire: Callable[[float], float]) -> None:
        self._loop = loop
        self._expire = expire
        self._at = float("inf")
        self._timer: Alarm | None = None

    def add(self, deadline: float) -> None:
        """Look at this time, or before."""
        if deadline < self._at:
            if self._timer is not None:
                self._timer.cancel()
            self._at = deadline
            self._timer = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        self._at = float("inf")
        earliest = self._expire(now)
        if earliest != float("inf"):
            self.add(max(earliest, now + _STEP))
