"""A listener whose messages make the broker end the connection: how it stands, and which message it may be. Pure.

Some messages can't be written in a protocol, and a broker that finds out while it hands one over ends the whole
connection. A listener with such a message gets a connection of its own after the second time, so that nobody else is
interrupted again, and takes one message at a time there until the offending one is set aside.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum

from eventing_core.provider._transitions import following


class Standing(Enum):
    """How a listener stands."""

    #: On the connection that it shares.
    NORMAL = "normal"
    #: A message for it has ended the shared connection once.
    SUSPECTED = "suspected"
    #: On a connection of its own, with a window of one: another message has ended the connection.
    ISOLATED = "isolated"
    #: On a connection of its own, with the window that it wants: no message has ended that lately.
    APART = "apart"


class Sign(Enum):
    """What may change how it stands."""

    #: The connection has ended because of a message for it.
    BLAMED = "blamed"
    #: It has been quiet for long enough.
    CLEAN = "clean"


#: From one to another, and what leads there; drawn in ``docs/architecture.md``.
STANDING_TRANSITIONS: Mapping[tuple[Standing, Standing], frozenset[Sign]] = {
    (Standing.NORMAL, Standing.SUSPECTED): frozenset({Sign.BLAMED}),
    (Standing.NORMAL, Standing.NORMAL): frozenset({Sign.CLEAN}),
    (Standing.SUSPECTED, Standing.ISOLATED): frozenset({Sign.BLAMED}),
    (Standing.SUSPECTED, Standing.NORMAL): frozenset({Sign.CLEAN}),
    (Standing.ISOLATED, Standing.ISOLATED): frozenset({Sign.BLAMED}),
    (Standing.ISOLATED, Standing.APART): frozenset({Sign.CLEAN}),
    (Standing.APART, Standing.ISOLATED): frozenset({Sign.BLAMED}),
    # It stays there until the process ends: whoever sends such messages sends more of them.
    (Standing.APART, Standing.APART): frozenset({Sign.CLEAN}),
}

_after = following("a listener", STANDING_TRANSITIONS)

#: A suspicion is dropped after so long, in seconds: a message that stays ends the next connection at once.
SUSPICION = 60.0

#: What ends an isolation: so many deliveries, or so long, in seconds, without a loss.
ENOUGH = 20
QUIET = 10.0

#: The same while messages that were delivered with the offending one, which was not set aside, are not handled: it may
#: be behind them, or another process may have taken them.
LONG_QUIET = 60.0


class Quarantine:
    """How one listener stands, and what is known. Time is given to it, of `time.monotonic`, in seconds.

    Attributes:
        standing: how it stands.
        losses: connections that ended since the last message was set aside.
        suspects: messages that are known to be offending, by the broker's numbers, and why.
    """

    def __init__(self) -> None:
        self.standing = Standing.NORMAL
        self.losses = 0
        self.suspects: dict[int, str] = {}
        self._seen: dict[int, str] = {}
        #: What was acknowledged by connections that ended: the broker may not have noted it.
        self._done: set[int] = set()
        #: The first message that was never delivered, and after how many losses it was that first.
        self._first: tuple[int | None, int] = None, 0
        self._since = 0.0
        self._handed = 0

    @property
    def is_isolated(self) -> bool:
        """Whether it takes one message at a time."""
        return self.standing is Standing.ISOLATED

    @property
    def is_searching(self) -> bool:
        """Whether an offending message is still in the queue, as far as is known."""
        return bool(self.suspects) or self.losses > 0

    @property
    def seen(self) -> Mapping[int, str]:
        """Unsettled deliveries of connections that ended: the broker's numbers, and what selects them."""
        return self._seen

    def limit(self, window: int) -> int:
        """The window that it gets, where it wants this one."""
        return min(window, 1) if self.is_isolated else window

    def blamed(
        self, came: Mapping[int, str], done: Iterable[int], now: float, *, culprit: int | None = None, why: str = ""
    ) -> None:
        """The connection has ended because of a message for it.

        Args:
            came: unsettled deliveries, which can't be the offending message; as `seen`, with an empty text where
                nothing selects one.
            done: what was acknowledged by that connection.
            now: when.
            culprit: the message, where that is known.
            why: what is wrong with it.
        """
        self.pass_time(now)
        self.losses += 1
        self._seen.update(came)
        self._done.update(done)
        self._since, self._handed = now, 0
        if culprit is not None:
            self.suspects[culprit] = why
            self._seen.pop(culprit, None)
        self._advance(Sign.BLAMED)

    def pass_time(self, now: float) -> None:
        """Drop a suspicion that is too old."""
        if self.standing is Standing.SUSPECTED and now - self._since > SUSPICION:
            self._advance(Sign.CLEAN)
            self._forget()

    def candidate(self, listed: Sequence[int]) -> int | None:
        """The message that has ended the connection; None: it isn't known. To be asked once after each loss.

        A broker hands over in the queue's order, and passes over the one that it fails at: so it is the first in the
        queue that was never delivered. But another one may have got there since: another process returned it, its
        delay is over, or it has a higher priority. Such a one comes with the next connection. So the message has to
        be the first in vain twice, with a loss in between.

        Args:
            listed: the first ones in the queue, in its order, while nothing is delivered to this listener.
        """
        known = next((number for number in listed if number in self.suspects), None)
        if known is not None or not self.losses:
            return known
        number = next((number for number in listed if number not in self._seen and number not in self._done), None)
        before, losses = self._first
        if number is None or number == before:
            return number if losses < self.losses else None
        self._first = number, self.losses
        return None

    def delivered(self, count: int) -> None:
        """Count deliveries that were settled."""
        self._handed += count

    def set_aside(self, number: int, now: float) -> None:
        """A message is no longer in the queue."""
        self.suspects.pop(number, None)
        self.losses, self._first = 0, (None, 0)
        self._since, self._handed = now, 0

    def settled(self, numbers: Iterable[int]) -> None:
        """These are handled."""
        for number in numbers:
            self._seen.pop(number, None)

    @property
    def has_enough(self) -> bool:
        """Whether enough was delivered since the last loss to widen the window."""
        return self.is_isolated and not self._has_more_to_do and self._handed >= ENOUGH

    @property
    def _has_more_to_do(self) -> bool:
        return self.is_searching and bool(self._seen)

    def quiet_in(self, now: float) -> float | None:
        """How long until it may be quiet enough for a wider window, in seconds; None: there is nothing to wait for."""
        if not self.is_isolated:
            return None
        if self.has_enough:
            return 0.0
        return max(0.0, self._since + (LONG_QUIET if self._has_more_to_do else QUIET) - now)

    def quiet(self, now: float) -> bool:
        """See whether it has been quiet for long enough; True: the window is wider now."""
        left = self.quiet_in(now)
        if left is None or left > 0:
            return False
        self._advance(Sign.CLEAN)
        self._forget()
        return True

    def _forget(self) -> None:
        self.losses, self._first = 0, (None, 0)
        self._seen.clear()
        self._done.clear()

    def _advance(self, sign: Sign) -> None:
        self.standing = _after(self.standing, sign)


def quoted_list(values: Collection[str]) -> str:
    """Values as a list in a selector."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
