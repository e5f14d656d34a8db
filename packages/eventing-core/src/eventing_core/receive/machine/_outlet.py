"""Where copies go: the listener's own queue, or that of its dead letters; and whether the broker refuses them there."""

from __future__ import annotations

#: Waits between tries to store a copy: doubling from the first to the second, in seconds.
_BACKOFF = (0.5, 30.0)

#: While tries are under way, others look again after so many seconds.
_LOOK = 1.0

#: When one may be tried, those that never were come first, then the others; the one that was refused last comes last.
#: In seconds.
_TRIED, _LAST = 0.001, 0.002

#: From so many copies at a time on, there is no limit any more.
_MANY = 64


def backoff(refusals: int) -> float:
    """Seconds before a copy that was refused so often is tried again."""
    return min(_BACKOFF[0] * 2.0 ** min(refusals - 1, 30), _BACKOFF[1])


class Outlet:
    """After a refusal, one copy at a time is tried there, with backoff; once that is stored, two, then four, and so on.

    A refusal is mostly due to a missing right or a full queue, which all copies meet, and may cost the connection.

    Attributes:
        error: why the last copy was refused.
        until: no copy is tried before.
        limit: so many copies are tried at a time; 0 for any number.
        under_way: what is tried, where there is a limit; each has an answer, if late.
    """

    __slots__ = ("error", "limit", "refusals", "under_way", "until")

    def __init__(self) -> None:
        self.error = ""
        self.until = 0.0
        self.limit = self.refusals = 0
        self.under_way: set[object] = set()

    def may_try(self, now: float) -> bool:
        """Whether a copy may be sent there now."""
        return not self.limit or (len(self.under_way) < self.limit and now >= self.until)

    def look_again(self, now: float, *, was_tried: bool) -> float:
        """When a copy that may not be sent now is to ask again."""
        return (self.until if self.until > now else now + _LOOK) + _TRIED * was_tried

    def begin(self, store: object) -> None:
        """It is tried."""
        if self.limit:
            self.under_way.add(store)

    def stored(self, store: object) -> bool:
        """A copy is stored there; whether more of them may be tried now."""
        self.under_way.discard(store)
        if not self.limit:
            return False
        self.refusals, self.until = 0, 0.0
        self.limit = 2 * self.limit if self.limit < _MANY else 0
        return True

    def refused(self, store: object, error: str, now: float, wait: float) -> float:
        """It was refused, and is to wait for so long by its own backoff; when it is to ask again.

        Others that are refused at the same time change nothing.
        """
        self.under_way.discard(store)
        self.error = error
        if now >= self.until:
            self.refusals += 1
            self.until, self.limit = now + backoff(self.refusals), 1
        return max(now + wait, self.until + _LAST)
