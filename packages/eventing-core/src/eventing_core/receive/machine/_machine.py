"""What becomes of a listener's deliveries, as a pure machine.

It has no threads, locks, clock, logging or random numbers. Inputs are methods, with the time as an argument; each
returns a list of actions, to be carried out in their order. A shell calls one input at a time, under its lock, and
carries the actions out without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from eventing_core.provider import Outcome
from eventing_core.receive.machine._actions import (
    CopyKind,
    D,
    Facts,
    Fault,
    Notice,
    Report,
    Rules,
    Settle,
    Store,
    Turn,
    Window,
)
from eventing_core.receive.machine._agenda import Due
from eventing_core.receive.machine._cases import Case
from eventing_core.receive.machine._core import CONSUMING
from eventing_core.receive.machine._isolating import Isolating
from eventing_core.receive.machine._limit import Share
from eventing_core.receive.machine._outlet import backoff
from eventing_core.receive.machine._runs import Action, Run
from eventing_core.receive.machine._states import STOPPING, DeliveryState, ListenerState

_BLOCKING = {DeliveryState.WAITING, DeliveryState.COPYING, DeliveryState.REFUSED, DeliveryState.STUCK}


class Machine(Isolating[D]):
    """Decides for one listener.

    Here are its inputs, and what follows each of them. The rest is in its parts, each of which derives from the one
    before: `Core` (elementary steps), `Probing` (the circuit breaker), `Retrying` (failed attempts), `Isolating`
    (redeliveries and suspects).
    """

    def __init__(self, rules: Rules, share: Share | None = None) -> None:
        super().__init__(rules, share)
        self._announced = 0

    # -- inputs -------------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> list[Action[D]]:
        """Consume from now on."""
        if self.state is ListenerState.NEW:
            self._enter(CONSUMING if self.generation else ListenerState.DETACHED)
        return self._go_on(now)

    def generation_active(self, generation: int, now: float) -> list[Action[D]]:
        """The queue is attached, in a new generation."""
        self._void(now)
        self.generation = generation
        if self.state is ListenerState.DETACHED:
            self._enter(ListenerState.PAUSED if self.breaker.is_open else CONSUMING)
            if self.breaker.is_open:
                self.agenda.add(max(now, self.breaker.due), Due.ROUND)
        return self._go_on(now)

    def generation_lost(self, now: float) -> list[Action[D]]:
        """The queue is not attached any more."""
        self._void(now)
        return self._go_on(now)

    def delivered(
        self, generation: int, batch: Sequence[D], now: float, facts: Sequence[tuple[D, Facts]] = ()
    ) -> list[Action[D]]:
        """Take deliveries, with the facts of those that were given out before; of all of them while `wants_facts`."""
        if generation != self.generation:
            self.guard.survived(known for _, known in facts)
            return []
        if self.state is not CONSUMING:
            if self.state in STOPPING:
                return []  # left: what is given back now might come again at once
            if self.state is ListenerState.PAUSED:  # they were on their way
                return [Settle(batch, Outcome.RELEASE)]
        self.slots.queue.extend(self._sorted_out(batch, facts, now) if facts else batch)
        return self._go_on(now)

    def returned(self, run: Run[D], now: float) -> list[Action[D]]:
        """``on`` returned, and nothing is left of the run's lease."""
        if self.slots.end(run):
            count = len(run.returned)
            self.slots.returned += run.returned
            self.slots.returned.append(run.delivery)
            case = run.case
            if case is not None:
                self.cases.move(case, DeliveryState.RETURNED)
            if self.breaker.last:
                self.breaker.succeeded(count)
                self.breaker.succeeded(1, case.event if case is not None else None)
            if self.state is not CONSUMING:
                self._probe_returned(run)
        return self._go_on(now)

    def raised(self, run: Run[D], fault: Fault, now: float, facts: Facts | None = None) -> list[Action[D]]:
        """``on`` raised, or could not be run, with the facts of the run's delivery, if they could be read."""
        self._recall()
        if self.slots.end(run):
            self._flush()
            case = run.case or self.cases.add(Case.of(run.delivery, facts or Facts(), DeliveryState.RUNNING))
            if self.state is ListenerState.ISOLATED:
                self._resume()
            self._failed(case, run, fault, now)
        return self._go_on(now)

    def copy_stored(self, store: Store[D], now: float) -> list[Action[D]]:
        """A copy is stored."""
        case, outlet = self._copied(store), self.failing.outlet(store)
        if outlet is not None and outlet.stored(store):
            self._try_those_behind(outlet, now)
        if case is not None:
            self._accept([case.delivery])
            self._close(case, DeliveryState.ACCEPTED)
            if self.state is ListenerState.BLOCKED:
                self._resume()
        return self._go_on(now)

    def copy_refused(self, store: Store[D], now: float, *, forever: bool = False) -> list[Action[D]]:
        """A copy is not stored, or it is not known whether it is; or the broker can never store it."""
        case, outlet = self._copied(store), self.failing.outlet(store)
        if outlet is not None:
            outlet.under_way.discard(store)
        if case is None:
            self.failing.late_refusal(store, now)
        elif forever and store.kind in {CopyKind.RETRY, CopyKind.ASIDE}:
            self._do_without(case, store, now)
        elif self.state in STOPPING:
            self._close(case, DeliveryState.LEFT)
        else:
            self.cases.refuse(case, 1 if case.is_behind else case.refusals + 1)
            case.is_behind = False
            wait = backoff(case.refusals)
            due = now + wait if outlet is None else outlet.refused(store, store.error, now, wait)
            self._store_later(case, due)
            wait, error = due - now, store.error
            self._out.append(
                Report(Notice.COPY_REFUSED, case.delivery, case.event, reason=store.reason, wait=wait, error=error)
            )
        return self._go_on(now)

    def timer(self, now: float) -> list[Action[D]]:
        """`next_due` has come."""
        self._recall()
        while (entry := self.agenda.take(now)) is not None:
            self._due(*entry, now)
        return self._go_on(now)

    def turn(self, now: float) -> list[Action[D]]:
        """A slot of the shared limit is kept for this machine."""
        share = self.slots.share
        if share is None:
            return []
        share.is_turn = True
        actions = self._go_on(now)
        following = share.decline()
        return actions if following is None else [*actions, Turn(following)]

    def drain(self, now: float) -> list[Action[D]]:
        """Begin nothing any more, and give back what was not begun. What has failed leaves as a copy."""
        if self.state not in STOPPING:
            self._enter(ListenerState.DRAINING)
            back = self._put_back(now)
            for case in self.cases:
                if case.state is DeliveryState.WAITING and self.rules.ordered:
                    self._close(case, DeliveryState.RELEASED)
                    back.insert(0, case.delivery)
                elif case.state is DeliveryState.WAITING:
                    self._store_retry(case, self.rules.delay(max(1, case.attempts)), now)
                elif case.state in {DeliveryState.REFUSED, DeliveryState.STUCK}:
                    self._close(case, DeliveryState.LEFT)
            self._release(back)
        return self._go_on(now)

    def cut(self, now: float) -> list[Action[D]]:
        """Give up what still runs: its failure counts nothing. What returns all the same is accepted."""
        if self.state is ListenerState.DRAINING:
            self._enter(ListenerState.CUT)
        return self._go_on(now)

    # -- what a shell and health ask ----------------------------------------------------------------------------------

    @property
    def next_due(self) -> float | None:
        """When `timer` is to be called."""
        return self.agenda.next

    @property
    def is_idle(self) -> bool:
        """Nothing runs, and no copy is under way."""
        return not (self.slots.busy or self.slots.returned or self.cases.count[DeliveryState.COPYING])

    @property
    def is_empty(self) -> bool:
        """All that was delivered is settled, but for what can't be."""
        count = self.cases.count
        return self.is_idle and not (self.slots.queue or count[DeliveryState.WAITING] or count[DeliveryState.SUSPECT])

    def wants_facts(self, now: float) -> bool:
        """Whether the facts of every delivery are needed: while it probes, and after copies could not be stored."""
        return self.breaker.rounds is not None or (bool(self.failing.refusals) and self.failing.remembers(now))

    def unstored(self) -> list[Store[D]]:
        """The copies that could not be stored so far, those of ended generations included."""
        return self.failing.remembered() + [case.store for case in self.cases if case.refusals and case.store]

    def wants_copy(self, store: Store[D]) -> bool:
        """Whether a delivery of the living generation waits for this copy."""
        return self._copied(store) is not None

    @property
    def blocking(self) -> Case[D] | None:
        """What an ordered listener waits for."""
        if not self.rules.ordered:
            return None
        in_pause = self.state is ListenerState.PAUSED
        return next((case for case in self.cases if case.state in _BLOCKING or (in_pause and case.has_news)), None)

    def wanted_window(self) -> int:
        """How many deliveries may be unsettled."""
        state, cases, window = self.state, self.cases, self.window
        if not self.generation or state in {ListenerState.NEW, ListenerState.PAUSED} or state in STOPPING:
            return 0
        refused = cases.refused + cases.count[DeliveryState.STUCK]
        if not self.rules.exact_window:  # it may not grow while they are unsettled: they are expected from the start
            refused += len(self.failing.refusals)
        waiting = cases.count[DeliveryState.WAITING]
        if state is ListenerState.PROBING:
            tried = sum(isinstance(each, Case) and self.breaker.tried(each.event) for each in self.slots.queue)
            return window.widened(len(self.slots.runs) + self.breaker.budget, waiting + tried, refused)
        return window.size if self.rules.ordered else window.widened(window.size, waiting, refused)

    # -- after each input ---------------------------------------------------------------------------------------------

    def _go_on(self, now: float) -> list[Action[D]]:
        """Begin what may begin, settle what is to be settled, and tell the window."""
        slots = self.slots
        if self.state is not CONSUMING:
            self._wait_for_quiet(now)
        if slots.queue:
            self._start(now)
        if slots.returned:
            if len(slots.returned) >= self.rules.flush_count or not slots.runs or self.state in STOPPING:
                self._flush()
            else:
                self._flush_later(now)
        if self.state is not CONSUMING:
            self._wait_for_quiet(now)
            self._end_round(now)
        usual = self.state is CONSUMING and not self.cases.known
        size = self.window.size if usual else self.wanted_window()
        if size != self._announced:
            if self.generation:  # lowered before anything is given back, which would come again at once
                self._out.insert(0 if size < self._announced else len(self._out), Window(size))
            self._announced = size
        if slots.following:
            self._out += map(Turn, slots.following)
            slots.following = []
        out, self._out = self._out, []
        return out

    def _start(self, now: float) -> None:
        slots, share = self.slots, self.slots.share
        concurrency = self.rules.concurrency
        while slots.queue and slots.busy < concurrency:
            index: int | None = 0
            if self.state is not CONSUMING:
                index = self._next_probe() if self.state is ListenerState.PROBING else None
            if index is None or (share is not None and not share.may_begin()):
                return
            item = slots.queue[index]
            del slots.queue[index]
            if isinstance(item, Case):
                if self._admits(item, now):
                    self._run(item.delivery, item)
            else:
                run = self._run(item)
                if self.state is CONSUMING and slots.queue and slots.lend(run):
                    self._flush_later(now)

    def _void(self, now: float) -> None:
        """A generation ends, if there is one: nothing of it is settled."""
        self._recall()
        if self.generation:
            self.guard.lost(self.cases)
        self.failing.lost(self.cases, now)
        self.slots.clear()
        for case in self.cases:
            self.cases.close(case, DeliveryState.VOID)
        self.gate.wait(None)
        self.window.restart()
        self.generation = self._announced = 0
        if self.state not in {ListenerState.NEW, ListenerState.DETACHED, *STOPPING}:
            self._enter(ListenerState.DETACHED)

    def _due(self, due: Due, subject: object, now: float) -> None:
        if due is Due.FLUSH:
            self._flush_due = False
            self._flush()
        elif due is Due.ROUND:
            self._begin_round(now)
        elif due is Due.GRACE:
            if subject == self.breaker.round:
                self.breaker.patient = False
        elif isinstance(subject, Case) and self.cases.has(subject):
            if due is Due.STORE and subject.state is DeliveryState.REFUSED and subject.store is not None:
                self._try(subject, subject.store, now)
            elif due is Due.ATTEMPT and subject.state is DeliveryState.WAITING:
                self._attempt(subject)
