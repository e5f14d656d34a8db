"""What a machine does later."""

from __future__ import annotations

import heapq
from enum import Enum


class Due(Enum):
    """What a timer is for."""

    FLUSH = "settle what has returned"
    ATTEMPT = "try a delivery again"
    STORE = "try a copy again"
    QUIET = "it has been quiet, or nothing is waited for any longer"
    ROUND = "begin a round of probes"
    GRACE = "try again what was tried"


class Agenda:
    """Entries by their time. Nothing is cancelled: who is called looks whether the reason still holds.

    Attributes:
        next: when the first entry is due; None if there is none.
    """

    __slots__ = ("_entries", "_number", "next")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Due, object]] = []
        self._number = 0
        self.next: float | None = None

    def add(self, when: float, due: Due, subject: object = None) -> None:
        """Note an entry."""
        self._number += 1
        heapq.heappush(self._entries, (when, self._number, due, subject))
        self.next = self._entries[0][0]

    def take(self, now: float) -> tuple[Due, object] | None:
        """Take the first entry, if it is due."""
        if not self._entries or self._entries[0][0] > now:
            return None
        _, _, due, subject = heapq.heappop(self._entries)
        self.next = self._entries[0][0] if self._entries else None
        return due, subject

    def entries(self) -> list[tuple[float, Due, object]]:
        """All entries, by their time."""
        return [(when, due, subject) for when, _, due, subject in sorted(self._entries, key=lambda entry: entry[:2])]
