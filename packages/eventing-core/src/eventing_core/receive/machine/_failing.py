"""What becomes of a failed attempt, and of a copy that could not be stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Generic

from eventing_core.receive.machine._actions import CopyKind, D, Facts, Rules, Store
from eventing_core.receive.machine._cases import Case, Cases
from eventing_core.receive.machine._outlet import Outlet, backoff
from eventing_core.receive.machine._states import DeliveryState

#: Retries that wait longer than this, in seconds, leave the process as a delayed copy where the broker can delay.
HOLD_LIMIT = 5.0

#: So many rejected or undecodable events within so many seconds are too many.
_MANY, _SECONDS = 10, 60.0

#: So many copies that could not be stored are remembered beyond their generation, for so many seconds after their
#: next try would have been due.
_REMEMBERED, _EXPIRY = 1_000, 600.0


class Fate(Enum):
    """How a failed delivery gets its next attempt."""

    #: It waits in this process.
    WAIT = "wait"
    #: A copy is sent to the listener's own queue.
    COPY = "copy"
    #: It goes back to the broker.
    RELEASE = "release"


@dataclass(slots=True)
class Refusal(Generic[D]):
    """A copy that could not be stored, or wasn't yet, when its generation ended."""

    store: Store[D]
    refusals: int
    due: float
    is_behind: bool


def _message_of(facts: Facts) -> Hashable:
    """What a message is known by. A retry's copy, which may have been stored all the same, is another one."""
    return facts.event, facts.attempts, facts.uncounted


class Failing(Generic[D]):
    """The failures of one listener.

    Attributes:
        refusals: copies of ended generations that were not stored, by their messages.
        own: the listener's own queue, where retries go.
        dead: that of its dead letters.
    """

    def __init__(self, rules: Rules, spare: int) -> None:
        self._rules, self._spare = rules, spare
        self.refusals: dict[Hashable, Refusal[D]] = {}
        self.own, self.dead = Outlet(), Outlet()
        self._rejected: deque[float] = deque(maxlen=_MANY)

    # -- another attempt ----------------------------------------------------------------------------------------------

    def fate(self, wait: float, waiting: int, *, stopping: bool) -> Fate:
        """Where a delivery waits so long for its next attempt, with so many others that do."""
        rules = self._rules
        if stopping:
            return Fate.RELEASE if rules.ordered else Fate.COPY  # a copy would lose its place
        # A delayed copy in a broker that ends with this process would be lost at a stop, which waits for what is held.
        if rules.ordered or not (rules.can_delay and rules.retains):
            return Fate.WAIT
        # What waits here widens the window, which takes a transport that can give one more message.
        room = wait <= HOLD_LIMIT and waiting < self._spare and rules.exact_window
        return Fate.WAIT if room else Fate.COPY

    # -- what never succeeds ------------------------------------------------------------------------------------------

    def rejected(self, now: float) -> bool:
        """Count a rejected or undecodable event; whether there are too many now, and were not before."""
        before = self.many_rejected(now)
        self._rejected.append(now)
        return self.many_rejected(now) and not before

    def many_rejected(self, now: float) -> bool:
        """Whether many events were rejected or undecodable in the last minute."""
        return len(self._rejected) == _MANY and now - self._rejected[0] < _SECONDS

    # -- where copies go ----------------------------------------------------------------------------------------------

    def outlet(self, store: Store[D]) -> Outlet | None:
        """Where a copy goes, if refusals of others matter to it."""
        return {CopyKind.DEAD_LETTER: self.dead, CopyKind.RETRY: self.own}.get(store.kind)

    # -- copies that can't be stored, beyond the end of their generation ----------------------------------------------

    def lost(self, cases: Cases[D], now: float) -> None:
        """The generation ended: remember the copies that are not stored, so that their backoff and reason survive."""
        for case in cases:
            # One that is queued has a copy of a generation before, and waits for its turn in order.
            unstored = case.state in {DeliveryState.COPYING, DeliveryState.REFUSED, DeliveryState.QUEUED}
            if unstored and case.store is not None and self._outlives(case, case.store):
                due = now if case.state is DeliveryState.COPYING else case.due
                self.refusals[_message_of(case.facts)] = Refusal(case.store, case.refusals, due, case.is_behind)
        while len(self.refusals) > _REMEMBERED:
            del self.refusals[next(iter(self.refusals))]

    @staticmethod
    def _outlives(case: Case[D], store: Store[D]) -> bool:
        return case.facts.event is not None and store.kind in {CopyKind.RETRY, CopyKind.DEAD_LETTER}

    def late_refusal(self, store: Store[D], now: float) -> None:
        """A copy was refused whose generation had ended."""
        outlet, due = self.outlet(store), now
        if outlet is not None:
            due = outlet.refused(store, store.error, now, 0.0)
        for refusal in self.refusals.values():
            if refusal.store is store:
                refusal.refusals += 1
                refusal.due = max(due, now + backoff(refusal.refusals))

    def recall(self, case: Case[D], now: float) -> Refusal[D] | None:
        """If its event was waiting for its copy when its generation ended, it still is."""
        refusal = self.refusals.pop(_message_of(case.facts), None)
        if refusal is None or refusal.due + _EXPIRY < now:
            return None
        case.attempts, case.uncounted = refusal.store.attempts, refusal.store.uncounted
        case.first_failed, case.due, case.is_behind = refusal.store.first_failed, refusal.due, refusal.is_behind
        case.store = replace(refusal.store, delivery=case.delivery)
        return refusal

    def remembers(self, now: float) -> bool:
        """Whether there are copies of an ended generation that could not be stored."""
        while self.refusals:
            event, refusal = next(iter(self.refusals.items()))
            if refusal.due + _EXPIRY >= now:
                return True
            del self.refusals[event]
        return False

    def remembered(self) -> list[Store[D]]:
        """The copies of ended generations that could not be stored."""
        return [refusal.store for refusal in self.refusals.copy().values() if refusal.refusals]
