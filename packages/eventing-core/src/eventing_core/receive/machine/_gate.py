"""The gate: what has to leave, or to end, before anything may begin again."""

from __future__ import annotations

from typing import Generic

from eventing_core.receive.machine._actions import D
from eventing_core.receive.machine._cases import Case

#: Seconds of quiet before a suspect runs, or anything after copies that count: the transport settles everything else
#: meanwhile. What is unsettled when the process dies looks as suspicious, and what a copy has replaced comes again.
QUIET = 0.2

#: Seconds after which nothing is waited for any longer: one long run must not hold up all others. A suspect then runs
#: alongside it.
PATIENCE = 30.0


class Gate(Generic[D]):
    """What a listener waits for while it is clearing or isolating.

    Attributes:
        suspect: the delivery that is to run alone.
        swept: what came after the suspect was found has been put aside, once.
        quiet_since: since when it has been quiet; None while it is loud.
        until: when the patience ends; None before it began.
    """

    __slots__ = ("quiet_since", "suspect", "swept", "until")

    def __init__(self) -> None:
        self.wait(None)

    def wait(self, suspect: Case[D] | None) -> None:
        """Begin to wait, for the sake of a suspect or of copies that count."""
        self.suspect = suspect
        self.swept = False
        self.quiet_since: float | None = None
        self.until: float | None = None

    def sweep(self) -> None:
        """What came late was put aside: wait once more."""
        self.swept = True
        self.quiet_since = None

    def listen(self, now: float, *, copying: int, busy: int, is_free: bool) -> bool:
        """Note whether it is quiet, by copies under way and slots in use; True when it became so just now."""
        if self.until is not None and now >= self.until:
            loud = not is_free
        else:
            loud = copying > 0 or (self.suspect is not None and busy > 0)
        became_quiet = not loud and self.quiet_since is None
        if loud:
            self.quiet_since = None
        elif became_quiet:
            self.quiet_since = now
        return became_quiet

    def is_quiet(self, now: float) -> bool:
        """Whether it has been quiet for long enough."""
        return self.quiet_since is not None and now >= self.quiet_since + QUIET
