"""A slot at work; and with it, all that a machine decides."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic

from eventing_core.receive.machine._actions import D, Report, Settle, Store, Turn, Window
from eventing_core.receive.machine._cases import Case

#: Of a run without a lease. Nobody appends to it.
_NOTHING: deque[Any] = deque()


class Run(Generic[D]):
    """A slot at work: one delivery to be run, and perhaps a lease, further ones that follow without asking the machine.

    The only object that shell and machine share. The shell takes from the left of ``further``; the machine takes back
    from the right. Each step is a single one of a deque's, which is atomic.
    """

    __slots__ = ("case", "delivery", "further", "returned", "round")

    def __init__(self, delivery: D, case: Case[D] | None = None, probe_of: int = 0) -> None:
        self.delivery = delivery
        self.case = case
        self.round = probe_of
        self.further: deque[D] = _NOTHING
        self.returned: deque[D] = _NOTHING

    def go_on(self) -> bool:
        """``delivery`` has returned: go on with the next one of the lease; False when there is none."""
        try:
            following = self.further.popleft()
        except IndexError:
            return False
        self.returned.append(self.delivery)
        self.delivery = following
        return True


Action = Run[D] | Settle[D] | Store[D] | Window | Report[D] | Turn
