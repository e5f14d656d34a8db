"""What a machine is made of, and the steps that all its regions share. See `_machine`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic

from eventing_core.provider import Outcome
from eventing_core.receive.machine._actions import CopyKind, D, Fault, Reason, Rules, Settle, Store
from eventing_core.receive.machine._agenda import Agenda, Due
from eventing_core.receive.machine._cases import Case
from eventing_core.receive.machine._circuit_breaker import CircuitBreaker
from eventing_core.receive.machine._crash_guard import CrashGuard
from eventing_core.receive.machine._failing import Failing
from eventing_core.receive.machine._gate import Gate
from eventing_core.receive.machine._limit import Share
from eventing_core.receive.machine._outlet import Outlet
from eventing_core.receive.machine._runs import Action, Run
from eventing_core.receive.machine._slots import Slots
from eventing_core.receive.machine._states import STOPPING, DeliveryState, ListenerState
from eventing_core.receive.machine._window import SlowStart

#: What has returned is accepted after so many seconds at the latest.
FLUSH_SECONDS = 0.02

CONSUMING = ListenerState.CONSUMING  # on the hot path; an enumeration's attributes are slow before Python 3.12


class Core(Generic[D]):
    """State and elementary steps of a machine.

    Attributes:
        state: what the listener does.
        generation: the living one; 0 for none.
        slots: where its deliveries are.
        cases: those with a story.
    """

    def __init__(self, rules: Rules, share: Share | None = None) -> None:
        self.rules = rules
        self.state = ListenerState.NEW
        self.generation = 0
        self.slots: Slots[D] = Slots(rules, share)
        self.cases = self.slots.cases
        self.breaker = CircuitBreaker(rules.pause_after, ordered=rules.ordered)
        self.guard = CrashGuard(rules)
        self.window = SlowStart(rules)
        self.failing: Failing[D] = Failing(rules, self.window.spare)
        self.gate: Gate[D] = Gate()
        self.agenda = Agenda()
        self._flush_due = False
        self._out: list[Action[D]] = []

    # -- the listener -------------------------------------------------------------------------------------------------

    def _enter(self, state: ListenerState) -> None:
        """Change what the listener does; what was lent for another state is taken back."""
        if self.state is CONSUMING:
            self._recall()
        self.state = state

    def _resume(self) -> None:
        """What held everything up is over."""
        if self.state is ListenerState.ISOLATED:
            self._flush()  # before there is room for others
            self.window.restart()
        self._enter(ListenerState.PROBING if self.breaker.is_open else CONSUMING)

    def _recall(self) -> None:
        """Take back what was lent, before anything is decided."""
        count = self.slots.recall()
        if count:
            self.breaker.succeeded(count)

    def _run(self, delivery: D, case: Case[D] | None = None) -> Run[D]:
        probe_of = 0
        if self.breaker.rounds is not None:
            probe_of = self.breaker.probe(None if case is None else case.event)
        run = self.slots.begin(Run(delivery, case, probe_of))
        if case is not None:
            case.round = probe_of
        self._out.append(run)
        return run

    # -- settling -----------------------------------------------------------------------------------------------------

    def _flush_later(self, now: float) -> None:
        if not self._flush_due:
            self._flush_due = True
            self.agenda.add(now + FLUSH_SECONDS, Due.FLUSH)

    def _flush(self) -> None:
        """Accept what has returned."""
        batch = self.slots.returned
        if batch:
            self.slots.returned = []
            if self.cases.known:
                for delivery in batch:
                    case = self.cases.of(delivery)
                    if case is not None:
                        self._close(case, DeliveryState.ACCEPTED)
            self._accept(batch)

    def _accept(self, batch: Sequence[D]) -> None:
        self._out.append(Settle(batch, Outcome.ACCEPT))
        if self.state is CONSUMING:  # what leaves for the sake of a suspect makes no room beside it
            self.window.settled(len(batch))

    def _release(self, batch: Sequence[D]) -> None:
        if batch:
            self._out.append(Settle(batch, Outcome.RELEASE))

    def _close(self, case: Case[D], state: DeliveryState) -> None:
        if state is DeliveryState.ACCEPTED:
            self.guard.settled(case)
        self.cases.close(case, state)

    def _put_back(self, now: float) -> list[D]:
        """Empty the queue of what the broker may have back, and the gate of its suspect.

        What has failed here, which the broker doesn't know, stays in the queue. At a stop it leaves as a copy; or goes
        back, in order.
        """
        stopping, slots = self.state in STOPPING, self.slots
        back: list[D] = []
        queued, slots.queue = slots.queue, deque()
        for item in queued:
            if not isinstance(item, Case):
                back.append(item)
            elif not item.has_news or (stopping and self.rules.ordered):
                back.append(item.delivery)
                self._close(item, DeliveryState.RELEASED)
            elif stopping:
                self._store_retry(item, self.rules.delay(max(1, item.attempts)), now)
            else:
                slots.queue.append(item)
        suspect = self.gate.suspect
        if suspect is not None and suspect.state is DeliveryState.SUSPECT:
            self._close(suspect, DeliveryState.RELEASED)
            back.insert(0, suspect.delivery)
        self.gate.wait(None)
        return back

    # -- copies -------------------------------------------------------------------------------------------------------

    def _store(  # noqa: PLR0913 (what a copy is made of)
        self, case: Case[D], kind: CopyKind, now: float, *, reason: Reason | None = None, fault: Fault | None = None,
        delay: float = 0.0, crashes: int = 0,
    ) -> None:  # fmt: skip
        """Have a copy stored, which settles the delivery then."""
        case.store = Store(
            case.delivery,
            case.event,
            kind,
            reason,
            fault,
            case.attempts,
            case.uncounted,
            crashes,
            delay,
            case.first_failed,
        )
        self._try(case, case.store, now)

    def _store_retry(self, case: Case[D], wait: float, now: float) -> None:
        self._store(case, CopyKind.RETRY, now, delay=wait if self.rules.can_delay else 0.0)

    def _try(self, case: Case[D], store: Store[D], now: float) -> None:
        """Have its copy stored; later, while the broker refuses such ones."""
        outlet = self.failing.outlet(store)
        if outlet is not None and self.state not in STOPPING and not outlet.may_try(now):
            if not case.refusals:
                case.is_behind = True
                store.error, store.fault = outlet.error, None
                self.cases.refuse(case, 1)
            due = outlet.look_again(now, was_tried=not case.is_behind)
            if case.state is DeliveryState.REFUSED:
                self.agenda.add(due, Due.STORE, case)
            else:
                self._store_later(case, due)
            return
        if outlet is not None:
            outlet.begin(store)
        self.cases.move(case, DeliveryState.COPYING)
        self._out.append(store)

    def _try_those_behind(self, outlet: Outlet, now: float) -> None:
        """A copy is stored: let others be tried that could not be, since it was refused before."""
        for case in self.cases:
            if case.is_behind and case.state is DeliveryState.REFUSED and case.store is not None:
                if not outlet.may_try(now):
                    return
                if self.failing.outlet(case.store) is outlet:
                    self._try(case, case.store, now)

    def _store_later(self, case: Case[D], due: float) -> None:
        case.due = due
        self.cases.move(case, DeliveryState.REFUSED)
        self.agenda.add(due, Due.STORE, case)

    def _copied(self, store: Store[D]) -> Case[D] | None:
        """The case that waits for this copy; None when its generation has ended."""
        case = self.cases.of(store.delivery)
        return case if case is not None and case.store is store and case.state is DeliveryState.COPYING else None
