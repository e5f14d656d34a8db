"""Deliveries that were given out before: who may run, who leaves, and how a suspect comes to run alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from eventing_core.receive.machine._actions import CopyKind, D, Facts, Notice, Reason, Report
from eventing_core.receive.machine._agenda import Due
from eventing_core.receive.machine._cases import Case
from eventing_core.receive.machine._core import CONSUMING
from eventing_core.receive.machine._crash_guard import Verdict
from eventing_core.receive.machine._gate import PATIENCE, QUIET
from eventing_core.receive.machine._retrying import Retrying
from eventing_core.receive.machine._states import DeliveryState, ListenerState


class Isolating(Retrying[D]):
    """The part of a machine that acts on what the crash guard says."""

    def _sorted_out(self, batch: Sequence[D], facts: Sequence[tuple[D, Facts]], now: float) -> list[D | Case[D]]:
        """What of a batch goes into the queue. What won't be run leaves at once: all slots may be busy for long.

        In order each leaves in its turn.
        """
        self._recall()
        cases = {id(delivery): Case.of(delivery, known) for delivery, known in facts}
        for case in cases.values():
            refusal = self.failing.recall(case, now)
            if refusal is not None:
                self.cases.add(case)
                self.cases.refuse(case, refusal.refusals)
                if not self.rules.ordered:
                    self._copy_in_turn(case, now)
            elif case.facts.count or self.breaker.is_open:
                self.cases.add(case)
        # Of those that came back together one killed, mostly that with the highest count: it is to come again behind
        # the others, so that they have their turn without it.
        for case in sorted(cases.values(), key=lambda case: case.facts.count):
            if case.state is DeliveryState.QUEUED and case.facts.count and not self.rules.ordered:
                self._leave(case, self.guard.judge(case), now)
        found = [(delivery, self.cases.of(delivery)) for delivery in batch]
        return [case or delivery for delivery, case in found if case is None or case.state is DeliveryState.QUEUED]

    def _leave(self, case: Case[D], verdict: Verdict, now: float) -> bool:
        """Whether a delivery leaves without being run."""
        if verdict is Verdict.LOOP:
            self._dead_letter(case, Reason.CRASH_LOOP, now, crashes=self.guard.crashes(case))
        elif verdict is Verdict.RECOUNT:
            flagged = self.guard.is_flagged(case)
            self._store(case, CopyKind.RECOUNT, now, crashes=self.guard.crashes(case) if flagged else 0)
            if flagged and self.state in {CONSUMING, ListenerState.PROBING}:
                self._wait(ListenerState.CLEARING)
        return verdict in {Verdict.LOOP, Verdict.RECOUNT}

    def _admits(self, case: Case[D], now: float) -> bool:
        """Whether the next delivery may run at once."""
        if case.store is not None:  # its generation ended before its copy was stored
            self._enter(ListenerState.BLOCKED)
            self._copy_in_turn(case, now)
            return False
        if case.has_news or not case.facts.count:
            return True
        verdict = self.guard.judge(case)
        if self._leave(case, verdict, now):
            return False
        if verdict is Verdict.RUN:
            self.window.restart()
            return True
        self.window.restart(1)
        self.cases.move(case, DeliveryState.SUSPECT)
        self._wait(ListenerState.ISOLATING, case)
        self._out.append(Report(Notice.SUSPECT, case.delivery, case.event))
        self._put_aside(now)
        return False

    def _copy_in_turn(self, case: Case[D], now: float) -> None:
        if case.due <= now and case.store is not None:
            self._try(case, case.store, now)
        else:
            self._store_later(case, case.due)

    def _wait(self, state: ListenerState, suspect: Case[D] | None = None) -> None:
        self._enter(state)
        self.gate.wait(suspect)

    def _put_aside(self, now: float) -> bool:
        """Have everything leave that nobody began and that has not failed here; whether there was any.

        So it does not look like a suspect, if the process dies.
        """
        if not self.guard.by_copies:
            back = [item for item in self.slots.queue if not isinstance(item, Case) or not item.has_news]
            self.slots.queue = deque(item for item in self.slots.queue if isinstance(item, Case) and item.has_news)
            released: list[D] = []
            for item in back:
                if isinstance(item, Case):
                    self._close(item, DeliveryState.RELEASED)
                    released.append(item.delivery)
                else:
                    released.append(item)
            self._release(released)
            return bool(back)
        # What is given back there may stay with this process, and is flagged in any case.
        queued, self.slots.queue = self.slots.queue, deque()
        count = len(queued)
        for item in queued:
            case = item if isinstance(item, Case) else self.cases.add(Case.of(item, Facts()))
            if case.has_news:
                self.slots.queue.append(case)
            else:
                self._store(case, CopyKind.ASIDE, now)
        return len(self.slots.queue) < count

    def _wait_for_quiet(self, now: float) -> None:
        """While it waits: look whether it became quiet, or stayed so for long enough."""
        gate = self.gate
        if self.state not in {ListenerState.CLEARING, ListenerState.ISOLATING}:
            return
        if gate.until is None:
            gate.until = now + PATIENCE
            self.agenda.add(gate.until, Due.QUIET)
        copying = self.cases.count[DeliveryState.COPYING]
        if gate.listen(now, copying=copying, busy=self.slots.busy, is_free=self.slots.is_free):
            self.agenda.add(now + QUIET, Due.QUIET)
        if not gate.is_quiet(now):
            return
        suspect = gate.suspect
        if suspect is None:
            self._resume()
        elif not gate.swept and self._put_aside(now):
            gate.sweep()
            self._wait_for_quiet(now)
        elif self.slots.share is None or self.slots.share.may_begin():
            self._enter(ListenerState.ISOLATED)
            self.gate.wait(None)
            self._run(suspect.delivery, suspect)
