"""How many deliveries a listener may have out."""

from __future__ import annotations


class SlowStart:
    """A window that begins small and doubles as deliveries settle. Not thread-safe.

    It keeps a crash from costing a hundred prefetched messages a delivery attempt, which some brokers
    count, and costs no speed: nine doublings reach five hundred.
    """

    __slots__ = ("_limit", "_settled", "_start", "size")

    def __init__(self, start: int, limit: int) -> None:
        self._start = start
        self._limit = limit
        self._settled = 0
        self.size = start

    def restart(self, size: int | None = None) -> None:
        """Begin again, from ``size`` or from the start."""
        self.size = self._start if size is None else size
        self._settled = 0

    def settled(self, count: int) -> bool:
        """Count settled deliveries; True when the window has grown."""
        if self.size >= self._limit:
            return False
        self._settled += count
        if self._settled < self.size:
            return False
        self.size = min(self.size * 2, self._limit)
        self._settled = 0
        return True
