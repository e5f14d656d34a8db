"""Carrying out what a machine decided, in its order: settlements, windows, reports, turns."""

from __future__ import annotations

from collections import deque

from eventing_core.provider import Delivery, Handle
from eventing_core.receive._log import Reporter
from eventing_core.receive._view import Flaws
from eventing_core.receive.machine._actions import Report, Settle, Turn, Window


class Outbox:
    """What is yet to be carried out, by one thread at a time; the others leave it to that one.

    The shell appends to it with its lock; `carry_out` is called without.

    Attributes:
        actions: what there is.
        is_busy: a thread is at it. Set with the shell's lock, by assignment: an exception of a signal handler, which
            may come with any call, must not leave it set.
        handle: of the subscription; None before it was attached, and in a child after a fork.
    """

    def __init__(self, reporter: Reporter, flaws: Flaws) -> None:
        self.handle: Handle | None = None
        self._reporter = reporter
        self._flaws = flaws
        self.actions: deque[Settle[Delivery] | Window | Report[Delivery] | Turn] = deque()
        self.is_busy = False

    def __bool__(self) -> bool:
        """There is something to be carried out."""
        return bool(self.actions) and self.handle is not None

    @property
    def is_done(self) -> bool:
        """Everything is carried out."""
        return not (self.is_busy or self)

    def abandon(self) -> None:
        """In a child after a fork."""
        self.handle = None
        self.actions.clear()
        self.is_busy = False

    def carry_out(self) -> None:
        """Carry out all that there is. What a provider raises, which it must not, is a flaw that health shows."""
        while self.actions and (handle := self.handle) is not None:
            action = self.actions.popleft()
            if isinstance(action, Report):
                self._flaws.note(action)
                self._reporter.report(action)
            elif isinstance(action, Turn):
                action.share.wake()
            else:
                try:
                    if isinstance(action, Settle):
                        handle.settle(action.batch, action.outcome)
                    else:
                        handle.window(action.size)
                        self._flaws.window = ""
                except Exception as error:  # noqa: BLE001 (whoever comes with news has to go on)
                    self._flaws.refused(action, error)
