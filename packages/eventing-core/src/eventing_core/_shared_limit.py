"""The one limit of a listener with several queues: so many runs of ``on`` at a time, and the queues take turns."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

from eventing_core._health import StuckRun


class Sharer(ABC):
    """Serves one of the queues."""

    @abstractmethod
    def has_turn(self) -> None:
        """A token is kept for this queue: claim it, or decline it."""

    @abstractmethod
    def stuck(self, since: float) -> tuple[StuckRun, ...]:
        """The runs that began before that, of `time.monotonic`."""


class SharedLimit:
    """Tokens, each the right to run ``on``, that several dispatchers claim. Thread-safe.

    A dispatcher that gets fewer than it wants waits in line, once. A token that is given back is kept for the first in
    line, so nobody overtakes: while anyone waits, no token is free. The first in line is notified by ``run_later``: it
    takes its lock to claim, and the dispatcher that gives the token back may hold another one.

    Args:
        size: how many tokens there are.
        run_later: has a function called soon, on a thread of the listeners.
    """

    def __init__(self, size: int, run_later: Callable[[Callable[[], None]], object]) -> None:
        self._run_later = run_later
        #: All queues of the listener.
        self.sharers: list[Sharer] = []
        #: Guards the fields below. Nothing is called under it.
        self._lock = threading.Lock()
        self._free = size
        self._line: deque[Sharer] = deque()
        #: Whose turn it is, with one token each.
        self._kept: set[Sharer] = set()

    @property
    def is_wanted(self) -> bool:
        """Whether someone waits for a token."""
        return bool(self._line)

    def claim(self, sharer: Sharer, wanted: int) -> int:
        """Take up to so many tokens, at least 1; how many they are. The sharer waits in line for more."""
        with self._lock:
            granted = 0
            if sharer in self._kept:
                self._kept.discard(sharer)
                granted = 1
            more = min(wanted - granted, self._free)
            self._free -= more
            granted += more
            if granted < wanted and sharer not in self._line:
                self._line.append(sharer)
            return granted

    def give_back(self) -> None:
        """Give a token to the first in line."""
        with self._lock:
            following = self._pass_on()
        self._notify(following)

    def decline(self, sharer: Sharer) -> None:
        """Let the next one have the token that is kept for this one, if it wasn't claimed."""
        with self._lock:
            if sharer not in self._kept:
                return
            self._kept.discard(sharer)
            following = self._pass_on()
        self._notify(following)

    def abandon(self) -> None:
        """In a child after a fork: the lock may have been held by a thread that isn't there any more."""
        self._lock = threading.Lock()
        self._line.clear()

    def _pass_on(self) -> Sharer | None:
        """Call it with the lock."""
        if not self._line:
            self._free += 1
            return None
        following = self._line.popleft()
        self._kept.add(following)
        return following

    def _notify(self, following: Sharer | None) -> None:
        if following is not None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed, and nothing runs any more
                self._run_later(following.has_turn)
