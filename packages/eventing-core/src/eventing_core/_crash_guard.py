"""The crash guard: a delivery that comes again may have taken its process down."""

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
    """What is to become of a delivery that was given out before.

    Attributes:
        crashes: how often it may have taken a process down.
        counted: a flag is among these, which only a copy can note.
        runs: False: it is dead-lettered if it ``loops``, and else a copy replaces it.
        suspect: it runs alone.
    """

    crashes: int
    counted: bool
    runs: bool

    @property
    def loops(self) -> bool:
        """It has come too often."""
        return self.crashes >= CRASH_LIMIT

    @property
    def suspect(self) -> bool:
        """It runs, but alone."""
        return self.runs and self.crashes >= SUSPECT


class CrashGuard:
    """Of one listener. Not thread-safe, but for `rejects`, which only looks.

    Attributes:
        copies_count: the broker only flags what comes again, and copies keep the number. False in order, where a copy
            would lose its place: nothing is counted then.
        counts_flags: a flag is taken for a crash. After a lost connection it may be of that, and says nothing any more;
            whoever crashes begins anew.
    """

    __slots__ = ("_begun", "_flags", "_ordered", "_survived", "copies_count", "counts_flags")

    def __init__(self, capabilities: Capabilities, *, ordered: bool) -> None:
        self._flags = capabilities.delivery_count == "flag"
        self._ordered = ordered
        self.copies_count = self.counts_flags = self._flags and not ordered
        #: What came back in this generation, and was begun; what earlier ones lost. For telling crashes from outages.
        self._begun: set[Delivery] = set()
        self._survived = Survived(SUSPECT - 1)

    def judge(self, delivery: Delivery) -> Verdict:
        """Judge a delivery whose `Delivery.delivery_count` is not 0."""
        counted = False
        if self._flags:
            recorded = redeliveries_of(delivery.message())
            counted = self.counts_flags and delivery.delivery_count > recorded
            crashes = recorded + counted
        else:
            crashes = self._survived.crashes(delivery)
        # The broker doesn't know what we survived, and would soon take it away.
        too_often = crashes >= CRASH_LIMIT or (delivery.delivery_count >= CRASH_LIMIT and not self._ordered)
        return Verdict(crashes, counted, runs=not (counted or too_often))

    def rejects(self, delivery: Delivery) -> bool:
        """Whether it is certain that one which was given out before won't run, whatever this process has survived."""
        if self._ordered:
            return False
        if delivery.delivery_count >= CRASH_LIMIT:
            return True
        return self.counts_flags and delivery.delivery_count > redeliveries_of(delivery.message())

    def begun(self, delivery: Delivery) -> None:
        """Note that one that was given out before is begun, or leaves or loops."""
        self._begun.add(delivery)

    def settled(self, batch: Iterable[Delivery]) -> None:
        """They won't come again."""
        if self._begun:
            settled = self._begun.intersection(batch)
            self._begun -= settled
            self._survived.forget(settled)

    def lost(self, queued: Iterable[Delivery], *, connection: bool) -> None:
        """Remember what was begun and what wasn't, whose generation is over; whether with it a connection was lost."""
        self.counts_flags = self.counts_flags and not connection
        self._survived.add([*self._begun, *queued])
        self._begun.clear()
