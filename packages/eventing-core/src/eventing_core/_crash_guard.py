"""The crash guard: what it tells of crashes that a delivery comes again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eventing_core._copies import redeliveries_of
from eventing_core._survived import Survived
from eventing_core.provider import CRASH_LIMIT, Capabilities, Delivery

#: From this delivery count on, without what this process survived, a delivery runs alone, with a window of 1.
SUSPECT = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of a delivery that was given out before. One of them at most; none: it runs beside others.

    Attributes:
        crashes: how often it may have taken a process down.
        counted: a copy has to count the last time.
        loops: it is dead-lettered without being run.
        leaves: a copy replaces it without it being run.
        suspect: it runs alone.
    """

    crashes: int
    counted: bool
    loops: bool
    leaves: bool
    suspect: bool


class CrashGuard:
    """Of one listener. Not thread-safe, but for `leaves`, which only looks.

    Attributes:
        only_flags: the broker only flags what comes again, and copies count, where the order doesn't matter.
        counts: a flag counts still. After a lost connection it may be of that, and says nothing of crashes; whoever
            crashes begins anew.
    """

    __slots__ = ("_begun", "_flags", "_ordered", "_survived", "counts", "only_flags")

    def __init__(self, capabilities: Capabilities, *, ordered: bool) -> None:
        self._flags = capabilities.delivery_count == "flag"
        self._ordered = ordered
        self.only_flags = self.counts = self._flags and not ordered
        #: What came back in this generation, and was begun; what earlier ones lost. For telling crashes from outages.
        self._begun: set[Delivery] = set()
        self._survived = Survived(SUSPECT - 1)

    def judge(self, delivery: Delivery) -> Verdict:
        """Judge a delivery whose `Delivery.delivery_count` is not 0."""
        counted = False
        if self._flags:
            recorded = redeliveries_of(delivery.message())
            counted = self.counts and delivery.delivery_count > recorded
            crashes = recorded + counted
        else:
            crashes = self._survived.crashes(delivery)
        loops = crashes >= CRASH_LIMIT
        # The broker doesn't know what we survived.
        many = delivery.delivery_count >= CRASH_LIMIT and not self._ordered
        leaves = (counted or many) and not loops
        return Verdict(crashes, counted, loops, leaves, suspect=crashes >= SUSPECT and not (loops or leaves))

    def leaves(self, delivery: Delivery) -> bool:
        """Whether one that comes again won't be run, whatever this process has survived."""
        if self._ordered:
            return False
        if delivery.delivery_count >= CRASH_LIMIT:
            return True
        return self.counts and delivery.delivery_count > redeliveries_of(delivery.message())

    def begun(self, delivery: Delivery) -> None:
        """Note that one that was given out before is begun, or leaves."""
        self._begun.add(delivery)

    def settled(self, batch: Iterable[Delivery]) -> None:
        """They won't come again."""
        if self._begun:
            settled = self._begun.intersection(batch)
            self._begun -= settled
            self._survived.forget(settled)

    def lost(self, queued: Iterable[Delivery], *, connection: bool) -> None:
        """Remember what was begun and what wasn't, whose generation is over; whether with it a connection was lost."""
        self.counts = self.counts and not connection
        self._survived.add([*self._begun, *queued])
        self._begun.clear()
