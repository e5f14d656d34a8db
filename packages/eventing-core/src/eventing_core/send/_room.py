"""Room for a bounded number of things under way."""

from __future__ import annotations

import threading
import time


class Room:
    """Like a semaphore whose places have names, so that each is given back once, whatever came between. Thread-safe.

    An exception out of a signal handler may come between any two calls, and so after a place was taken and before the
    taker knows: whoever gives back a place by its name need not know whether it was taken.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken: dict[object, None] = {}
        self._waiting = 0
        # Guards both fields above; notified when a place is given back that somebody waits for.
        self._changed = threading.Condition(threading.Lock())

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, name: object, timeout: float) -> bool:
        """Take a place; False if none was free for ``timeout`` seconds."""
        with self._changed:
            if len(self._taken) >= self._size and not self._wait(timeout):
                return False
            self._taken[name] = None
        return True

    def _wait(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        self._waiting += 1
        try:
            while len(self._taken) >= self._size:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        finally:
            self._waiting -= 1
        return True

    def give_back(self, name: object) -> None:
        """Give a place back, if it is taken."""
        with self._changed:
            self._taken.pop(name, None)
            if self._waiting:
                self._changed.notify()
