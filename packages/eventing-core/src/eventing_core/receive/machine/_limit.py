"""The one ``concurrency`` of a listener with several queues, which their machines share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Limit:
    """So many slots for all of the machines.

    A machine that finds no free slot waits in line, once. A slot that is given back is kept for the first in line, so
    nobody overtakes: while a machine waits, no slot is free. Pure: whoever calls the machines sees to it that one is
    called at a time.

    Attributes:
        free: slots that nobody has.
        line: who waits for one.
    """

    __slots__ = ("free", "line")

    def __init__(self, size: int) -> None:
        self.free = size
        self.line: deque[Share] = deque()


class Share:
    """One machine's part in a limit.

    Attributes:
        is_kept: a slot is kept for this machine, which takes or declines it when it is told that it is its turn.
        is_turn: it is told so at this moment.
        wake: the shell's: has the machine told that it is its turn.
    """

    __slots__ = ("_limit", "is_kept", "is_turn", "wake")

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self.is_kept = self.is_turn = False
        self.wake: Callable[[], None] = lambda: None

    @property
    def is_waiting(self) -> bool:
        """In line for a slot."""
        return self in self._limit.line

    def may_begin(self) -> bool:
        """Whether a slot can be had now. If not, the machine waits in line for one."""
        if self.is_kept:
            return self.is_turn
        if not (self._limit.free or self.is_waiting):
            self._limit.line.append(self)
        return self._limit.free > 0

    def take(self) -> None:
        """Take a slot, after `may_begin`."""
        if self.is_kept:
            self.is_kept = False
        else:
            self._limit.free -= 1

    def give_back(self) -> Share | None:
        """Give a slot back; whose turn it is now, if somebody waits."""
        line = self._limit.line
        if not line:
            self._limit.free += 1
            return None
        following = line.popleft()
        following.is_kept = True
        return following

    def decline(self) -> Share | None:
        """The turn is over: have no more use for the slot that is kept, if one is; whose turn it is instead."""
        self.is_turn = False
        if not self.is_kept:
            return None
        self.is_kept = False
        return self.give_back()
