"""The crash guard: a delivery that comes again may have crashed its process."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from enum import Enum
from typing import Any

from eventing_core.provider import CRASH_LIMIT
from eventing_core.receive.machine._actions import Facts, Rules
from eventing_core.receive.machine._cases import Case

#: From so many redeliveries on, without those that this process survived, a delivery runs alone, with a window of 1.
SUSPECT = 3

#: So many events are remembered as survived; the oldest are forgotten first.
_REMEMBERED = 1_000


class Verdict(Enum):
    """What becomes of a delivery that was given out before."""

    #: It runs as any other.
    RUN = "run"
    #: It runs alone.
    ALONE = "alone"
    #: A copy replaces it, which counts the redeliveries, or has the broker count them from 0 again.
    RECOUNT = "recount"
    #: It has come too often, and is dead-lettered.
    LOOP = "loop"


class CrashGuard:
    """Tells crashes from connections that this process lost and survived.

    Attributes:
        by_copies: the broker only flags redeliveries, and copies keep the number. Not in order, where a copy would lose
            its place: nothing is counted then.
    """

    __slots__ = ("_counts_flags", "_flags", "_ordered", "_survived", "by_copies")

    def __init__(self, rules: Rules) -> None:
        self._flags, self._ordered = rules.flags, rules.ordered
        #: A flag is taken for a crash. After a lost connection it may be of that, and says nothing any more.
        self.by_copies = self._counts_flags = rules.flags and not rules.ordered
        self._survived: dict[Hashable, set[int]] = {}

    def crashes(self, case: Case[Any]) -> int:
        """How often it may have crashed a process."""
        if self._flags:
            return case.facts.crashes + self.is_flagged(case)
        lost = self._survived.get(case.event, ()) if self._survived else ()
        return case.facts.count - sum(count < case.facts.count for count in lost)

    def is_flagged(self, case: Case[Any]) -> bool:
        """Whether it came again, and no copy has counted that yet."""
        return self._counts_flags and case.facts.count > case.facts.crashes

    def judge(self, case: Case[Any]) -> Verdict:
        """Judge a delivery that was given out before."""
        crashes = self.crashes(case)
        if crashes >= CRASH_LIMIT:
            return Verdict.LOOP
        # The broker doesn't know what this process survived, and would soon take it away.
        if self.is_flagged(case) or (case.facts.count >= CRASH_LIMIT and not self._ordered):
            return Verdict.RECOUNT
        return Verdict.ALONE if crashes >= SUSPECT else Verdict.RUN

    def settled(self, case: Case[Any]) -> None:
        """It won't come again."""
        self._survived.pop(case.event, None)

    def lost(self, cases: Iterable[Case[Any]]) -> None:
        """A connection was lost, and this process has survived it; with these unsettled."""
        self._counts_flags = False
        self.survived(case.facts for case in cases)

    def survived(self, lost: Iterable[Facts]) -> None:
        """These were unsettled when a connection was lost."""
        for facts in lost:
            # Lower counts need no excuse.
            if facts.event is not None and facts.count >= SUSPECT - 1:
                self._survived.setdefault(facts.event, set()).add(facts.count)
        while len(self._survived) > _REMEMBERED:
            del self._survived[next(iter(self._survived))]
