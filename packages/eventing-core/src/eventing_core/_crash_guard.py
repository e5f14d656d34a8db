"""The crash guard: a delivery that comes again may have taken its process down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eventing_core._copies import redeliveries_of
from eventing_core._identity import IdentityDict
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


@dataclass(frozen=True, slots=True)
class Record:
    """What the message of a delivery says that was given out before, and those say that were lost since.

    Attributes:
        delivery: whose it is.
        message_id: of the event.
        redeliveries: what copies of it have counted.
        lost: deliveries of older generations that had not been read, with their events.
    """

    delivery: Delivery
    message_id: str
    redeliveries: int
    lost: Sequence[tuple[Delivery, str]]


class CrashGuard:
    """Of one listener. Not thread-safe, but for `may_reject` and what calls `Delivery.message`: `read`, `read_lost`.

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
        #: What came back in this generation and was begun, with its event; what earlier ones lost. For telling crashes
        #: from outages.
        self._begun: IdentityDict[Delivery, str] = IdentityDict()
        self._survived = Survived(SUSPECT - 1)

    def may_reject(self, delivery: Delivery) -> bool:
        """Whether `rejects` may say so of one that was given out before. Doesn't decode it."""
        return not self._ordered and (self.counts_flags or delivery.delivery_count >= CRASH_LIMIT)

    def read(self, delivery: Delivery) -> Record:
        """Decode what there is to judge by. Calls `Delivery.message`: hold no lock."""
        message = delivery.message()
        return Record(delivery, message.message_id, redeliveries_of(message), self._survived.read())

    def read_lost(self) -> Sequence[tuple[Delivery, str]]:
        """Decode what was lost, for `note_lost`. Calls `Delivery.message`: hold no lock."""
        return self._survived.read()

    def note_lost(self, read: Sequence[tuple[Delivery, str]]) -> None:
        """Remember what was read."""
        self._survived.note(read)

    def judge(self, record: Record) -> Verdict:
        """Judge a delivery whose `Delivery.delivery_count` is not 0."""
        self._survived.note(record.lost)
        count = record.delivery.delivery_count
        counted = False
        if self._flags:
            counted = self.counts_flags and count > record.redeliveries
            crashes = record.redeliveries + counted
        else:
            crashes = self._survived.crashes(record.message_id, count)
        # The broker doesn't know what we survived, and would soon take it away.
        too_often = crashes >= CRASH_LIMIT or (count >= CRASH_LIMIT and not self._ordered)
        return Verdict(crashes, counted, runs=not (counted or too_often))

    def rejects(self, record: Record) -> bool:
        """Whether it is certain that one which was given out before won't run, whatever this process has survived."""
        if self._ordered:
            return False
        count = record.delivery.delivery_count
        return count >= CRASH_LIMIT or (self.counts_flags and count > record.redeliveries)

    def begun(self, record: Record) -> None:
        """Note that one that was given out before is begun, or leaves or loops."""
        self._begun[record.delivery] = record.message_id

    def settled(self, batch: Iterable[Delivery]) -> None:
        """They won't come again."""
        if self._begun:
            for delivery in batch:
                message_id = self._begun.pop(delivery)
                if message_id is not None:
                    self._survived.forget(message_id)

    def lost(self, queued: Iterable[Delivery], *, connection: bool) -> bool:
        """Remember what was begun and what wasn't, whose generation is over; whether with it a connection was lost.

        True: some of it has to be read; see `read_lost`.
        """
        self.counts_flags = self.counts_flags and not connection
        for delivery in self._begun:
            self._survived.add_known(self._begun[delivery], delivery.delivery_count)
        self._begun.clear()
        return self._survived.add(queued)
