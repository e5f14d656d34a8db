"""How a listener is, as health tells it."""

from __future__ import annotations

import logging
import time

from eventing_core.declare._listener import EventListenerDescriptor
from eventing_core.provider import Delivery
from eventing_core.receive._facts import name_of
from eventing_core.receive._log import quietly
from eventing_core.receive.machine._actions import Notice, Report, Window
from eventing_core.receive.machine._machine import Machine
from eventing_core.receive.machine._runs import Action
from eventing_core.receive.machine._states import STOPPING, DeliveryState, ListenerState
from eventing_core.runtime._health import ListenerHealth, StuckRun
from eventing_core.runtime._log_words import describe_error

_log = logging.getLogger("eventing")


class Flaws:
    """What went wrong that never should, and why the listener paused.

    Attributes:
        window: why the provider did not take the window.
        lasting: an internal error, or a settlement that the provider did not take; until the next generation.
        paused: the failure that opened the circuit breaker.
        rejected: the last event that was rejected or could not be decoded, when these were many.
    """

    def __init__(self, label: str) -> None:
        self.window = self.lasting = self.paused = self.rejected = ""
        self._label = label

    def forget(self) -> None:
        """A new generation: the broker delivers again."""
        self.window = self.lasting = ""

    def internal(self, error: BaseException) -> None:
        """An error of our own, or of the provider's."""
        self.lasting = f"an unexpected error, and its event stays unsettled: {describe_error(error)}"
        with quietly:
            _log.error("%s: an unexpected error; its event stays unsettled", self._label, exc_info=error)

    def refused(self, action: Action[Delivery], error: Exception) -> None:
        """The provider raised, which it must not."""
        if isinstance(action, Window):
            what = "the provider failed to set the window"
            self.window = f"{what}: {describe_error(error)}"
        else:
            what = "deliveries can't be settled"
            self.lasting = f"{what}: {describe_error(error)}"
        with quietly:
            _log.error("%s: %s", self._label, what, exc_info=error)

    def not_consuming(self, error: Exception | None) -> None:
        """The queue can't be attached."""
        with quietly:
            _log.error("%s: not consuming: %s", self._label, error)

    def note(self, report: Report[Delivery]) -> None:
        """Keep what health has to say of it."""
        cause = report.fault.cause if report.fault is not None else None
        if not isinstance(cause, BaseException):
            return
        if report.notice is Notice.PAUSED:
            self.paused = describe_error(cause)
        elif report.notice is Notice.MANY_REJECTED:
            self.rejected = describe_error(cause)


def health_of(  # noqa: PLR0913 (what health is made of)
    descriptor: EventListenerDescriptor,
    machine: Machine[Delivery],
    flaws: Flaws,
    *,
    lost: str,
    running: int,
    stuck: tuple[StuckRun, ...],
    is_stuck: bool,
) -> ListenerHealth:
    """The state of a listener. Takes no lock: what it reads may change meanwhile."""
    state = machine.state
    paused = state in {ListenerState.PAUSED, ListenerState.PROBING}
    active = state not in {ListenerState.NEW, ListenerState.DETACHED, *STOPPING}
    flawed = bool(flaws.window or flaws.lasting) or is_stuck
    return ListenerHealth(
        listener=descriptor.name,
        event=descriptor.event.name,
        consuming=active and not (flawed or paused),
        paused=active and not flawed and paused,
        running=running,
        held=machine.cases.count[DeliveryState.WAITING],
        stuck=stuck,
        error=_unstored(machine) or flaws.window or flaws.lasting or lost or _waits(machine, flaws),
    )


def _unstored(machine: Machine[Delivery]) -> str:
    stores = machine.unstored()
    if not stores:
        return ""
    others = f" (and {len(stores) - 1} others)" if len(stores) > 1 else ""
    return f"a copy of event {name_of(stores[0].event)} can't be stored: {stores[0].error}{others}"


def _waits(machine: Machine[Delivery], flaws: Flaws) -> str:
    blocking = machine.blocking
    first = f"; event {name_of(blocking.event)} comes first" if blocking is not None else ""
    if machine.state in {ListenerState.PAUSED, ListenerState.PROBING}:
        return f"paused, almost everything fails: {flaws.paused}{first}"
    if machine.failing.many_rejected(time.monotonic()):
        return f"many events are rejected or can't be decoded: {flaws.rejected}"
    return f"waits for event {name_of(blocking.event)}" if blocking is not None else ""
