"""When a connection has to beat, and when its peer counts as dead. Pure: it is told what the time is."""

from __future__ import annotations

#: However often a peer wants to hear from us, no more often than this, in seconds.
_SHORTEST = 0.01


class Pulse:
    """The heartbeats of one connection, both ways. All times are in seconds, of one clock.

    Bytes of any kind count as a heartbeat. Before `agree` nothing is due.

    Attributes:
        heard_at: when bytes last arrived; set by the code that reads them.
        wrote_at: when bytes were last sent; set by the code that writes them.
        limit: seconds of silence after which a peer is considered dead; infinite if no heartbeats were agreed on.
    """

    __slots__ = ("_beat", "heard_at", "limit", "wrote_at")

    def __init__(self, now: float) -> None:
        self.heard_at = self.wrote_at = now
        self.limit = self._beat = float("inf")

    def agree(self, *, beats: float, hears: float) -> None:
        """Begin: the peer wants to hear something every ``beats`` seconds, and beats every ``hears``; 0: it doesn't.

        We beat twice as often as the peer wants, so that one late heartbeat does no harm; and the peer may miss one of
        its own: it is dead after two intervals without a byte.
        """
        self._beat = max(_SHORTEST, beats / 2) if beats > 0 else float("inf")
        self.limit = 2 * hears if hears > 0 else float("inf")

    def must_beat(self, now: float) -> bool:
        """Whether a heartbeat is due. Returns True once: the heartbeat is assumed to be sent now."""
        if now < self.wrote_at + self._beat:
            return False
        self.wrote_at = now
        return True

    def is_silent(self, now: float) -> bool:
        """Whether the peer is considered dead."""
        return now >= self.heard_at + self.limit

    @property
    def next(self) -> float:
        """When there is something to do; infinite: never."""
        return min(self.wrote_at + self._beat, self.heard_at + self.limit)
