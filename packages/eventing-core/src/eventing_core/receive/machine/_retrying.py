"""Failed attempts: the next attempt, or the dead-letter queue."""

from __future__ import annotations

from eventing_core.receive.machine._actions import CopyKind, D, Fault, FaultKind, Notice, Reason, Report, Store
from eventing_core.receive.machine._agenda import Due
from eventing_core.receive.machine._cases import Case
from eventing_core.receive.machine._failing import Fate
from eventing_core.receive.machine._probing import Probing
from eventing_core.receive.machine._runs import Run
from eventing_core.receive.machine._states import STOPPING, DeliveryState, ListenerState

_NEVER_SUCCEEDS = {
    FaultKind.REJECTED: Reason.REJECTED,
    FaultKind.UNDECODABLE: Reason.UNDECODABLE,
    FaultKind.UNDELIVERABLE: Reason.UNDELIVERABLE,
}


class Retrying(Probing[D]):
    """The part of a machine that decides what becomes of a failed attempt."""

    def _failed(self, case: Case[D], run: Run[D], fault: Fault, now: float) -> None:
        stopping = self.state in STOPPING
        if self.state is ListenerState.CUT or (stopping and fault.kind in {FaultKind.STOPPED, FaultKind.INTERNAL}):
            self._close(case, DeliveryState.LEFT)
        elif fault.kind is FaultKind.INTERNAL:
            self.breaker.no_answer(run.round)
            self.cases.move(case, DeliveryState.STUCK)
            if self.rules.ordered:
                self._enter(ListenerState.BLOCKED)
        elif fault.kind in _NEVER_SUCCEEDS:
            self._never_succeeds(case, run, fault, now)
        else:
            self._may_succeed(case, run, fault, now)

    def _never_succeeds(self, case: Case[D], run: Run[D], fault: Fault, now: float) -> None:
        """It says nothing about what the listener needs, so it is no concern of the circuit breaker."""
        self.breaker.no_answer(run.round)
        reason = _NEVER_SUCCEEDS[fault.kind]
        case.attempts += 1
        case.first_failed = now if case.first_failed is None else case.first_failed
        if self.failing.rejected(now):
            self._out.append(Report(Notice.MANY_REJECTED, case.delivery, case.event, fault, reason))
        self._dead_letter(case, reason, now, fault)

    def _may_succeed(self, case: Case[D], run: Run[D], fault: Fault, now: float) -> None:
        stopping = self.state in STOPPING
        again = case.attempts + case.uncounted > 0
        case.first_failed = now if case.first_failed is None else case.first_failed
        if not stopping and self.breaker.failed(case.event, again=again):
            self._open(case, fault, now, first=not again)
        counts = not (self.breaker.is_open or run.round)
        if counts:
            case.attempts += 1
        else:
            case.uncounted += 1
        if self.breaker.is_open and not stopping:
            self._try_in_a_round(case, now)
        elif counts and case.attempts >= self.rules.max_attempts:
            self._dead_letter(case, Reason.FAILED, now, fault)
        else:
            self._try_again(case, fault, now, first=not again)

    def _try_again(self, case: Case[D], fault: Fault, now: float, *, first: bool) -> None:
        """Another attempt, after a wait: here, or by a copy."""
        wait = self.rules.delay(max(1, case.attempts))
        fate = self.failing.fate(wait, self.cases.count[DeliveryState.WAITING], stopping=self.state in STOPPING)
        if fate is Fate.WAIT:
            self.cases.move(case, DeliveryState.WAITING)
            self.agenda.add(now + wait, Due.ATTEMPT, case)
            if self.rules.ordered:
                self._enter(ListenerState.BLOCKED)
        elif fate is Fate.COPY:
            self._store_retry(case, wait, now)
        else:
            self._close(case, DeliveryState.RELEASED)
            self._release([case.delivery])
        attempts = case.attempts
        self._out.append(
            Report(Notice.RETRY, case.delivery, case.event, fault, attempts=attempts, wait=wait, first=first)
        )

    def _try_in_a_round(self, case: Case[D], now: float) -> None:
        """Another attempt, in a later round of probes: from the queue, or by a copy where there is no room."""
        wait = max(self.breaker.due - now, 0.0) if self.state is ListenerState.PAUSED else self.breaker.wait()
        held = self.cases.count[DeliveryState.WAITING] + self.cases.count[DeliveryState.QUEUED]
        if self.failing.fate(0.0, held, stopping=False) is Fate.COPY:
            self._store_retry(case, wait, now)
        else:
            self._queue(case)

    def _do_without(self, case: Case[D], store: Store[D], now: float) -> None:
        """The broker can never store that copy: the delivery waits in this process instead, or is given back."""
        case.store = None
        if store.kind is CopyKind.ASIDE or self.state in STOPPING:
            self._close(case, DeliveryState.RELEASED)
            self._release([case.delivery])
        elif self.breaker.is_open:
            self._queue(case)
        else:
            self.cases.move(case, DeliveryState.WAITING)
            self.agenda.add(now + store.delay, Due.ATTEMPT, case)
        if store.kind is CopyKind.RETRY:
            self._out.append(Report(Notice.COPY_WAIVED, case.delivery, case.event, error=store.error))

    def _attempt(self, case: Case[D]) -> None:
        """The wait for its next attempt is over."""
        self._queue(case)
        if self.state is ListenerState.BLOCKED:
            self._resume()

    def _queue(self, case: Case[D]) -> None:
        self.cases.move(case, DeliveryState.QUEUED)
        if self.rules.ordered:
            self.slots.queue.appendleft(case)
        else:
            self.slots.queue.append(case)

    def _dead_letter(
        self, case: Case[D], reason: Reason, now: float, fault: Fault | None = None, *, crashes: int = 0
    ) -> None:
        self._store(case, CopyKind.DEAD_LETTER, now, reason=reason, fault=fault, crashes=crashes)
        if self.rules.ordered and self.state not in STOPPING:
            self._enter(ListenerState.BLOCKED)  # until it is stored: else it would come again behind its successors
        self._out.append(Report(Notice.DEAD_LETTER, case.delivery, case.event, fault, reason, case.attempts))
