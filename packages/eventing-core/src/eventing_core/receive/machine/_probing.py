"""The circuit breaker at work: pausing, rounds of probes, consuming again."""

from __future__ import annotations

from eventing_core.receive.machine._actions import D, Fault, Notice, Report
from eventing_core.receive.machine._agenda import Due
from eventing_core.receive.machine._cases import Case
from eventing_core.receive.machine._circuit_breaker import GRACE
from eventing_core.receive.machine._core import CONSUMING, Core
from eventing_core.receive.machine._runs import Run
from eventing_core.receive.machine._states import STOPPING, DeliveryState, ListenerState


class Probing(Core[D]):
    """The part of a machine that pauses it."""

    def _open(self, case: Case[D], fault: Fault, now: float, *, first: bool) -> None:
        """Almost everything failed, last this one: begin nothing but probes."""
        self.breaker.open(now)
        self._pause(now)
        self._out.append(
            Report(Notice.PAUSED, case.delivery, case.event, fault, wait=self.breaker.due - now, first=first)
        )

    def _pause(self, now: float) -> None:
        """Wait for the next round; another process may be well, and have what was not begun."""
        self._enter(ListenerState.PAUSED)
        self._release(self._put_back(now))
        self.agenda.add(self.breaker.due, Due.ROUND)

    def _begin_round(self, now: float) -> None:
        if self.state is ListenerState.PAUSED and self.breaker.due <= now:
            self.breaker.begin_round(single=self.rules.ordered)
            self.agenda.add(now + GRACE, Due.GRACE, self.breaker.round)
            counts = self.guard.by_copies and self.cases.count[DeliveryState.COPYING]
            self._enter(ListenerState.CLEARING if counts else ListenerState.PROBING)

    def _next_probe(self) -> int | None:
        """Where in the queue the next probe is: what was not tried in this pause first, then the others.

        From the second round on, one that was tried before comes first: it may have been the first use of something
        that had to be connected anew. Each is tried once a round. In order it is always the first one.
        """
        breaker, queue = self.breaker, self.slots.queue
        if breaker.budget <= 0:
            return None
        if self.rules.ordered:
            return 0 if queue else None
        new = others = None
        for index, item in enumerate(queue):
            if not isinstance(item, Case) or not breaker.tried(item.event):
                new = index if new is None else new
            elif others is None and item.round != breaker.round:
                others = index
        if others is not None and breaker.revisits:
            return others
        return new if new is not None or breaker.patient else others

    def _end_round(self, now: float) -> None:
        """End the round when its probes are used up, or there is nothing more to try; not before it tried anything."""
        breaker = self.breaker
        if (
            self.state is not ListenerState.PROBING
            or not breaker.attempted
            or any(run.round == breaker.round for run in self.slots.runs)
        ):
            return
        if breaker.budget <= 0 or not (breaker.patient or self._next_probe() is not None):
            breaker.end_round(now)
            self._pause(now)

    def _probe_returned(self, run: Run[D]) -> None:
        """Something returned while not everything was as usual: it may have been a probe, or the suspect."""
        if self.state is ListenerState.ISOLATED:
            self._resume()
        if run.round == self.breaker.round and self.breaker.is_open and self.state not in STOPPING:
            self.breaker.close()
            if self.state is ListenerState.PROBING:
                self._enter(CONSUMING)
            self.window.restart(1 if self.state is ListenerState.ISOLATING else None)
            self._out.append(Report(Notice.RESUMED, run.delivery, None))
