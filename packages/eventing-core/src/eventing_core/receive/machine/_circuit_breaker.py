"""The circuit breaker: whether almost everything fails, and how a paused listener finds out that it no longer does."""

from __future__ import annotations

from collections.abc import Hashable

#: Of the events looked at, this share has to have failed.
_SHARE = 0.9

#: Where one event comes after the other, each with all its attempts, so many are enough.
_ORDERED = 3

#: Seconds before the first round of probes; doubling, up to the longest.
_FIRST, _LONGEST = 1.0, 15.0

#: Probes of one round at most; the first round has one, and each later one twice as many.
_MOST = 256

#: Seconds that a round waits for deliveries that it hasn't tried yet, before it tries others again.
GRACE = 0.5

#: So many events are remembered as tried in a pause; the oldest are forgotten first.
_REMEMBERED = 100_000


class CircuitBreaker:
    """Looks at events, and not at attempts: that one fails again tells nothing new.

    Attributes:
        last: the last events, from the first one that failed: whether their last attempt has.
        rounds: rounds of probes begun in this pause; None while the breaker is closed.
        round: the number of this round, or pause; no other ever has it.
        due: when the next round begins.
        budget: probes that the round may still try.
        attempted: probes of the round so far.
        patient: the round still waits for deliveries that were not tried in this pause.
        revisits: the round is yet to try one again that was tried before.
    """

    __slots__ = (
        "_number",
        "_threshold",
        "_tried",
        "attempted",
        "budget",
        "due",
        "last",
        "patient",
        "revisits",
        "round",
        "rounds",
    )

    def __init__(self, pause_after: int, *, ordered: bool) -> None:
        self._threshold = min(pause_after, _ORDERED) if ordered else pause_after
        self.last: dict[Hashable, bool] = {}
        self._tried: dict[Hashable, None] = {}
        self._number = 0
        self.rounds: int | None = None
        self.round = 0
        self.due = 0.0
        self.budget = self.attempted = 0
        self.patient = self.revisits = False

    @property
    def is_open(self) -> bool:
        """The listener is paused, or probes."""
        return self.rounds is not None

    @property
    def watching(self) -> bool:
        """Events have failed lately; while none has, successes need not be counted."""
        return bool(self.last)

    def failed(self, event: Hashable, *, again: bool) -> bool:
        """Count a failure, of an event that may have failed before; whether the breaker has to open."""
        if self.is_open:
            self._try(event)
            return False
        if not self._threshold or (again and event not in self.last):
            return False
        self._note(event, failed=True)
        return len(self.last) == self._threshold and sum(self.last.values()) >= _SHARE * self._threshold

    def succeeded(self, count: int, event: Hashable | None = None) -> None:
        """Count successes, of an event that may have failed before or of others."""
        if not self.last or self.is_open:
            return
        for _ in range(min(count, self._threshold)):
            self._number += 1
            self._note(("success", self._number) if event is None else event, failed=False)
        if not any(self.last.values()):
            self.last.clear()

    def _note(self, event: Hashable, *, failed: bool) -> None:
        self.last[event] = failed
        if len(self.last) > self._threshold:
            del self.last[next(iter(self.last))]

    # -- pausing and probing --------------------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Pause; what made it so counts as tried."""
        self.rounds = 0
        self.round += 1
        for event in self.last:
            self._try(event)
        self.end_round(now)

    def wait(self) -> float:
        """Seconds before the next round: 1, 2, 4, 8, and then 15."""
        return min(_FIRST * 2.0 ** min(self.rounds or 0, 30), _LONGEST)

    def begin_round(self, *, single: bool) -> None:
        """Probe: one delivery in the first round, twice as many in each later one; always one where ``single``."""
        self.rounds = (self.rounds or 0) + 1
        self.round += 1
        self.budget = 1 if single else min(2 ** min(self.rounds - 1, 30), _MOST)
        self.attempted = 0
        self.patient = not single
        self.revisits = self.rounds > 1

    def probe(self, event: Hashable | None) -> int:
        """A probe begins, with an event if it is known; the number of its round."""
        self.revisits = self.revisits and event not in self._tried
        self.budget -= 1
        self.attempted += 1
        return self.round

    def no_answer(self, of_round: int) -> None:
        """A probe said nothing about what the listener needs: another one may be tried."""
        if of_round and of_round == self.round:
            self.budget += 1
            self.attempted -= 1

    def end_round(self, now: float) -> None:
        """Wait for the next round."""
        self.due = now + self.wait()
        self.budget = self.attempted = 0

    def close(self) -> None:
        """A probe has succeeded."""
        self.rounds = None
        self.last.clear()
        self._tried.clear()
        self.budget = self.attempted = 0

    def tried(self, event: Hashable) -> bool:
        """Whether it has failed in this pause, or brought it about."""
        return event in self._tried

    def _try(self, event: Hashable) -> None:
        self._tried[event] = None
        if len(self._tried) > _REMEMBERED:
            del self._tried[next(iter(self._tried))]
