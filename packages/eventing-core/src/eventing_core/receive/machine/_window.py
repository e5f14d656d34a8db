"""The window: how many deliveries may be unsettled at a time."""

from __future__ import annotations

from eventing_core.receive.machine._actions import Rules

#: Deliveries whose copy can't be stored widen the window, up to so many: they must not hold up others, and must not
#: fill the memory, either.
REFUSED_LIMIT = 1_000


class SlowStart:
    """A window that begins at ``concurrency`` and doubles as deliveries settle, up to ``prefetch``.

    It keeps a crash from costing a hundred prefetched messages a delivery attempt, which some brokers count, and costs
    no speed: nine doublings reach five hundred.

    Attributes:
        size: of the window, without what widens it.
        spare: deliveries that wait for a retry widen it up to so many.
    """

    __slots__ = ("_limit", "_settled", "_start", "size", "spare")

    def __init__(self, rules: Rules) -> None:
        self._start, self._limit = rules.concurrency, rules.prefetch
        self.spare = max(1, rules.prefetch // 2)
        self.size, self._settled = self._start, 0

    def restart(self, size: int | None = None) -> None:
        """Begin again, from ``size`` or from the start."""
        self.size, self._settled = self._start if size is None else size, 0

    def settled(self, count: int) -> None:
        """Count settled deliveries."""
        if self.size < self._limit:
            self._settled += count
            if self._settled >= self.size:
                self.size, self._settled = min(self.size * 2, self._limit), 0

    def widened(self, size: int, waiting: int, refused: int) -> int:
        """A window that has room for deliveries that wait for a retry, or whose copy can't be stored."""
        return size + min(waiting, self.spare) + min(refused, REFUSED_LIMIT)
