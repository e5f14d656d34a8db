"""Waits that grow, with jitter: many clients of one broker don't come back at the same moment."""

from __future__ import annotations

import random


class Backoff:
    """Doubles from ``initial`` to ``longest`` seconds; each wait is between half of that and all of it."""

    __slots__ = ("_attempts", "_initial", "_longest")

    def __init__(self, initial: float, longest: float) -> None:
        self._initial = initial
        self._longest = longest
        self._attempts = 0

    def next(self) -> float:
        """The next wait."""
        wait = min(self._longest, self._initial * 2.0 ** min(self._attempts, 60))
        self._attempts += 1
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)

    def reset(self) -> None:
        """Begin again."""
        self._attempts = 0
