"""Telling a machine what happens, and carrying out what it decides.

The lock guards the machine, its outbox and the inbox. No foreign code is called under it: no handle, no delivery, no
listener, no logging handler. Actions are carried out in the order in which the machine decided on them, by one thread
at a time: whoever comes with news carries out everything that there is, unless another thread is at it.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

from eventing_core.provider import Delivery
from eventing_core.receive._facts import facts_of, fault_of, rules_of
from eventing_core.receive._incoming import Incoming
from eventing_core.receive._log import Reporter
from eventing_core.receive._outbox import Outbox
from eventing_core.receive._storing import Storing, is_forever
from eventing_core.receive._view import Flaws
from eventing_core.receive.machine._actions import Facts, Fault, FaultKind, Store
from eventing_core.receive.machine._limit import Share
from eventing_core.receive.machine._machine import Machine
from eventing_core.receive.machine._runs import Action, Run
from eventing_core.runtime._log_words import describe_error


class Driver(ABC):
    """Drives the machine of one listener. Thread-safe."""

    def __init__(self, incoming: Incoming) -> None:
        self.descriptor = incoming.descriptor
        self._retry = incoming.retry
        self._timer = incoming.timer
        rules = rules_of(incoming.descriptor, incoming.retry, incoming.capabilities)
        sharing = incoming.sharing
        share = Share(sharing.limit) if sharing is not None else None
        if share is not None:
            share.wake = self._turn
        self._machine: Machine[Delivery] = Machine(rules, share)
        self._storing = Storing(incoming.copies, incoming.descriptor.label, self._copied, self._machine.wants_copy)
        self._flaws = Flaws(incoming.descriptor.label)
        self._outbox = Outbox(Reporter(incoming.descriptor.label, rules, incoming.copies), self._flaws)
        # Guards the machine, the outbox and what is below. `_changed` is notified when a thread may have waited for
        # what has changed.
        self._lock = sharing.lock if sharing is not None else threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0  # threads that wait for `_changed`
        self._armed = math.inf  # when the timer comes next
        self._abandoned = False

    # -- runs ---------------------------------------------------------------------------------------------------------

    @abstractmethod
    def _start(self, runs: Iterable[Run[Delivery]]) -> None:
        """Let these run."""

    def _returned(self, run: Run[Delivery]) -> list[Run[Delivery]]:
        """A run returned, and nothing is left of its lease; what runs next."""
        with self._lock:
            runs, stores = self._sort(self._machine.returned(run, time.monotonic()))
        if stores:
            self._go_on((), stores)
        elif self._outbox.actions:
            self._carry_out()
        return runs

    def _raised(self, run: Run[Delivery], error: BaseException) -> list[Run[Delivery]]:
        """A run raised; what runs next."""
        facts: Facts | None = None
        try:
            fault = fault_of(error, self._retry, run.delivery)
            facts = facts_of(run.delivery) if run.case is None else None
        except BaseException as problem:  # noqa: BLE001 (an error of our own, or of the provider's)
            fault = Fault(FaultKind.INTERNAL, problem)
            self._flaws.internal(problem)
        with self._lock:
            runs, stores = self._sort(self._machine.raised(run, fault, time.monotonic(), facts))
        self._go_on((), stores)
        return runs

    # -- the machine's actions ----------------------------------------------------------------------------------------

    def _tell(self, what: Callable[[float], list[Action[Delivery]]], *, is_ours: bool = True) -> None:
        with self._lock:
            runs, stores = self._sort(what(time.monotonic()))
        self._go_on(runs, stores, is_ours=is_ours)

    def _sort(self, actions: list[Action[Delivery]]) -> tuple[list[Run[Delivery]], list[Store[Delivery]]]:
        """What to run and what to store; the rest is carried out in its order. Call it with the lock."""
        runs: list[Run[Delivery]] = []
        stores: list[Store[Delivery]] = []
        outbox = self._outbox.actions
        if self._abandoned:
            return runs, stores
        for action in actions:
            if isinstance(action, Run):
                runs.append(action)
            elif isinstance(action, Store):
                stores.append(action)
            else:
                outbox.append(action)
        due = self._machine.agenda.next
        if due is not None and due < self._armed:
            self._armed = due
            self._timer.call_later(max(0.0, due - time.monotonic()), self._due)
        if self._waiting and not outbox:
            self._changed.notify_all()
        return runs, stores

    def _turn(self) -> None:
        self._tell(self._machine.turn)

    def _due(self) -> None:
        with self._lock:
            self._armed = math.inf
            runs, stores = self._sort(self._machine.timer(time.monotonic()))
        self._go_on(runs, stores)

    def _go_on(self, runs: Iterable[Run[Delivery]], stores: Sequence[Store[Delivery]], *, is_ours: bool = True) -> None:
        """Carry out; a thread of the provider's makes no copies, as it is not to decode."""
        if self._outbox.actions:
            self._carry_out()
        for store in stores:
            if is_ours or store.copy is not None:
                self._storing.store(store)
            else:
                self._timer.call_later(0.0, lambda store=store: self._storing.store(store))  # type: ignore[misc]
        self._start(runs)

    def _carry_out(self) -> None:
        outbox, is_mine = self._outbox, True
        while is_mine and outbox.actions and outbox.handle is not None:
            is_mine = False
            try:
                with self._lock:
                    if not outbox.is_busy:
                        is_mine = outbox.is_busy = True
                if is_mine:
                    outbox.carry_out()
            finally:  # also after an exception of a signal handler, wherever it came
                if is_mine:
                    outbox.is_busy = False
                    if self._waiting:
                        with self._lock:
                            self._changed.notify_all()

    def _copied(self, store: Store[Delivery], error: BaseException | None) -> None:
        machine = self._machine
        if error is None:
            self._tell(lambda now: machine.copy_stored(store, now), is_ours=False)
        else:
            store.error = describe_error(error)
            forever = is_forever(error)
            self._tell(lambda now: machine.copy_refused(store, now, forever=forever), is_ours=False)

    def _wait(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Wait until it holds."""
        with self._lock:
            self._waiting += 1  # before it looks: `_carry_out` looks at this without the lock
            try:
                return self._changed.wait_for(condition, max(0.0, deadline - time.monotonic()))
            finally:
                self._waiting -= 1
