"""A machine in a world of its own: a broker, runs and copies as a model, and the invariants.

What may happen next is a list of choices; `World.act` lets one happen. A test can try all of them, or walk at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eventing_core.provider import Outcome
from eventing_core.receive.machine._actions import (
    CopyKind,
    Facts,
    Fault,
    FaultKind,
    Notice,
    Report,
    Rules,
    Settle,
    Store,
    Turn,
    Window,
)
from eventing_core.receive.machine._agenda import Due
from eventing_core.receive.machine._cases import Case, Cases
from eventing_core.receive.machine._core import FLUSH_SECONDS
from eventing_core.receive.machine._crash_guard import SUSPECT
from eventing_core.receive.machine._gate import PATIENCE
from eventing_core.receive.machine._limit import Share
from eventing_core.receive.machine._machine import Machine
from eventing_core.receive.machine._runs import Action, Run
from eventing_core.receive.machine._states import (
    DELIVERY_TRANSITIONS,
    LISTENER_TRANSITIONS,
    STOPPING,
    DeliveryState,
    Input,
    ListenerState,
)
from eventing_core.receive.machine._window import REFUSED_LIMIT

D, L = DeliveryState, ListenerState

#: One thing that may happen: its kind, and of what.
Choice = tuple[Any, ...]

#: What happens when all goes well, in this order.
_GOOD = {
    "begin": 0, "attach": 0, "turn": 0, "refuse_forever": 1, "stored": 1, "refuse": 1, "return": 2, "raise": 3,
    "deliver": 4, "time": 5,
}  # fmt: skip

#: No copy is tried within so many seconds after another one was refused.
_REFUSED_FOR = 0.499

#: A copy that was refused, or is behind one, is looked at again within so many seconds.
_PATIENT = 31.0

_ENDS = {D.ACCEPTED, D.RELEASED, D.LEFT, D.VOID}


class BrokenError(Exception):
    """An invariant doesn't hold."""


@dataclass(eq=False)
class Delivery:
    """A delivery: equal to all others, and not hashable, as its author's class may be."""

    number: int
    message: Instance
    generation: int

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"event {self.message.event}, delivery {self.number}"


@dataclass(frozen=True)
class Instance:
    """A message in the broker's queue: the original, or a copy."""

    event: int
    number: int
    facts: Facts
    at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a world is like.

    Attributes:
        counts: for each event, how often it was given out before.
        faults: how an event may fail.
        losses: of the connection, at most.
        refusals: of copies, at most.
        stops: the listener may be stopped.
        undecodable: these events always are.
        poison: these always fail.
        refused: the copies of these are always refused.
        flagged: these come with a flag that no copy has counted.
        wide: the window begins at ``prefetch``, so that a lease can be had early.
        anonymous: events have no id.
        begins: it is consuming from the start.
        oversized: the retry copies of these can never be stored.
    """

    rules: Rules
    counts: Sequence[int] = (0, 0, 0)
    faults: Sequence[FaultKind] = (FaultKind.FAILED,)
    losses: int = 1
    refusals: int = 1
    stops: bool = True
    undecodable: Collection[int] = ()
    poison: Collection[int] = ()
    refused: Collection[int] = ()
    flagged: Collection[int] = ()
    wide: bool = False
    anonymous: bool = False
    begins: bool = True
    oversized: Collection[int] = ()


@dataclass
class Seen:
    """The transitions that were observed, and the inputs that brought them about."""

    listener: set[tuple[ListenerState, ListenerState, Input]] = field(default_factory=set)
    delivery: set[tuple[DeliveryState, DeliveryState, Input]] = field(default_factory=set)


class WatchedCases(Cases[Delivery]):
    """Notes each change of state."""

    def __init__(self, note: Callable[[DeliveryState, DeliveryState], None]) -> None:
        super().__init__()
        self._note = note

    def move(self, case: Case[Delivery], state: DeliveryState) -> None:
        self._note(case.state, state)
        super().move(case, state)

    def close(self, case: Case[Delivery], state: DeliveryState) -> None:
        self._note(case.state, state)
        super().close(case, state)


class WatchedMachine(Machine[Delivery]):
    """Notes each change of state."""

    def __init__(self, rules: Rules, world: World, share: Share | None) -> None:
        super().__init__(rules, share)
        self._world = world
        self.slots.cases = self.cases = WatchedCases(world.note_delivery)

    def _enter(self, state: ListenerState) -> None:
        told = self._world.input
        if told not in LISTENER_TRANSITIONS.get((self.state, state), ()):
            raise BrokenError(f"{self.state} to {state} on {told}")
        self._world.seen.listener.add((self.state, state, told))
        if state is L.ISOLATING:
            self._world.isolating_since = self._world.now
        super()._enter(state)

    def _run(self, delivery: Delivery, case: Case[Delivery] | None = None) -> Run[Delivery]:
        share = self.slots.share
        if share is not None and share._limit.line and not share.is_turn:
            raise BrokenError(f"{delivery} begins before others whose turn it is")
        if self.state not in {L.CONSUMING, L.PROBING, L.ISOLATED}:
            raise BrokenError(f"{delivery} begins while {self.state}")
        patient = self._world.now < self._world.isolating_since + PATIENCE
        if self.state is L.ISOLATED and patient and self.cases.count[D.COPYING]:
            raise BrokenError(f"the suspect {delivery} begins beside copies")
        if self.state is not L.ISOLATED and case is not None and not case.has_news and self._is_suspect(case):
            raise BrokenError(f"the suspect {delivery} begins while {self.state}")
        return super()._run(delivery, case)

    def _is_suspect(self, case: Case[Delivery]) -> bool:
        if self.rules.flags:
            return case.facts.crashes >= SUSPECT
        return case.facts.count >= SUSPECT and self._world.generation == 1  # later it may have survived some


class World:
    """One machine, and everything around it."""

    def __init__(self, scope: Scope, seen: Seen | None = None, share: Share | None = None) -> None:
        self.scope, self.rules, self.now = scope, scope.rules, 0.0
        self.seen = seen or Seen()
        self.input = Input.BEGIN
        self.is_its_turn = False  # and it is not told yet
        if share is not None:
            share.wake = self._note_turn
        self.machine = WatchedMachine(scope.rules, self, share)
        self.ready = [self._original(event, count) for event, count in enumerate(scope.counts)]
        self.numbers = len(self.ready)
        self.out: list[Delivery] = []  # delivered in the living generation, and not settled
        self.runs: list[Run[Delivery]] = []
        self.stores: list[Store[Delivery]] = []  # of any generation
        self.may_accept: set[int] = set()  # numbers of deliveries that returned, or whose copy is stored
        self.failed: set[int] = set()  # numbers of deliveries that failed here
        self.handled, self.dead = Counter[int](), Counter[int]()
        self.generation = self.window = self.late = 0
        self.stale: Delivery | None = None
        self.losses, self.refusals, self.stops = scope.losses, scope.refusals, scope.stops
        self.probes = Counter[int]()
        self.probed: set[tuple[int, int]] = set()  # rounds, and the numbers of deliveries that they tried
        self.unstored: dict[object, int] = {}  # numbers of messages whose copy was under way when a generation ended
        self.no_copy_before: dict[CopyKind, float] = {}  # since one like it was refused
        self.isolating_since = 0.0
        self.begun: dict[int, float] = {}  # when each run began, by its identity
        if scope.begins:
            self._begin()
        self._attach()

    def _note_turn(self) -> None:
        self.is_its_turn = True

    def _original(self, event: int, count: int) -> Instance:
        flags = self.rules.flags
        crashes, flagged = (count if flags else 0), event in self.scope.flagged
        name = None if self.scope.anonymous else event
        return Instance(event, event, Facts(name, count + (flags and flagged), crashes=crashes))

    # -- what may happen ----------------------------------------------------------------------------------------------

    def choices(self) -> list[Choice]:  # noqa: C901, PLR0912
        """All that may happen next."""
        found: list[Choice] = []
        attached = self.machine.generation > 0
        ripe = len(self._ripe())
        free = max(self.window - len(self.out), self.late)
        if attached and ripe and free > 0:
            found += [("deliver", count) for count in sorted({1, min(free, ripe)})]
        for at, run in enumerate(self.runs):
            event = run.delivery.message.event
            if event in self.scope.undecodable:
                found.append(("raise", at, FaultKind.UNDECODABLE))
            elif event in self.scope.poison:
                found.append(("raise", at, FaultKind.FAILED))
            else:
                found += [("return", at), *(("raise", at, kind) for kind in self.scope.faults)]
        for at, store in enumerate(self.stores):
            event = store.delivery.message.event
            if event in self.scope.oversized and store.kind in {CopyKind.RETRY, CopyKind.ASIDE}:
                found.append(("refuse_forever", at))
                continue
            hopeless = event in self.scope.refused
            found += [("stored", at)] * (not hopeless) + [("refuse", at)] * (hopeless or self.refusals > 0)
        if self._next_time() is not None:
            found.append(("time",))
        if attached and self.losses:
            found += [("lose",), ("swap",)]
        if not attached:
            found.append(("attach",))
        if self.stale is not None:
            found.append(("stale",))
        if self.is_its_turn:
            found.append(("turn",))
        if self.machine.state is L.NEW:
            found.append(("begin",))
        if self.stops and self.machine.state not in STOPPING:
            found.append(("drain",))
        if self.machine.state is L.DRAINING and self.runs:
            found.append(("cut",))
        return found

    def _ripe(self) -> list[Instance]:
        return [each for each in self.ready if each.at <= self.now]

    def _next_time(self) -> float | None:
        times = [each.at for each in self.ready if each.at > self.now]
        if self.machine.next_due is not None:
            times.append(max(self.machine.next_due, self.now))
        return min(times, default=None)

    def act(self, choice: Choice) -> None:
        """Let it happen, and check the invariants."""
        self.repeat(choice)
        self.check()

    def repeat(self, choice: Choice) -> None:
        """Let it happen, as it did once before."""
        getattr(self, f"_{choice[0]}")(*choice[1:])

    def _begin(self) -> None:
        self._tell(Input.BEGIN, self.now)

    def _deliver(self, count: int) -> None:
        batch: list[Delivery] = []
        for message in self._ripe()[:count]:
            self.ready.remove(message)
            self.numbers += 1
            batch.append(Delivery(self.numbers, message, self.generation))
            # Of an event that is there twice, as its copy was stored and it came again all the same, either may wait.
            if self.unstored.get(_known_by(message.facts), message.number) != message.number:
                del self.unstored[_known_by(message.facts)]
        self.out += batch
        self.late = 0
        wants = self.machine.wants_facts(self.now)
        facts = [(each, each.message.facts) for each in batch if wants or each.message.facts.count]
        self._tell(Input.DELIVERED, self.generation, batch, self.now, facts)

    def _return(self, at: int) -> None:
        run = self.runs[at]
        if self._is_out(run.delivery):
            self.may_accept.add(run.delivery.number)
        self.handled[run.delivery.message.event] += 1
        if run.go_on():
            self._began(run)
            return
        del self.runs[at]
        breaker = self.machine.breaker
        stays_open = breaker.is_open and run.round != breaker.round
        self._tell(Input.RETURNED, run, self.now)
        if stays_open and not breaker.is_open:
            raise BrokenError(f"{run.delivery} is no probe, and closes the circuit breaker")

    def _raise(self, at: int, kind: FaultKind) -> None:
        run, machine = self.runs.pop(at), self.machine
        alive, was_stopping = run in machine.slots.runs and machine.state is not L.CUT, machine.state in STOPPING
        facts = run.delivery.message.facts
        before = run.case.attempts if run.case is not None else facts.attempts
        counts = not (machine.breaker.is_open or run.round)
        if run.round and kind not in {FaultKind.FAILED, FaultKind.STOPPED}:
            self.probes[run.round] -= 1
        if alive and kind is not FaultKind.INTERNAL:
            self.failed.add(run.delivery.number)
        was_cut, stores = machine.state is L.CUT, len(self.stores)
        self._tell(Input.RAISED, run, Fault(kind), self.now, facts)
        case = machine.cases.of(run.delivery)
        if was_cut and len(self.stores) > stores:
            raise BrokenError(f"{run.delivery} fails after the cut, and is copied")
        if alive and case is not None and kind is FaultKind.FAILED:
            counts = counts and not machine.breaker.is_open
            if case.attempts != before + counts:
                raise BrokenError(f"{case.attempts} attempts of {run.delivery}, after {before}")
            dead = case.store is not None and case.store.kind is CopyKind.DEAD_LETTER
            if dead != (counts and case.attempts >= self.rules.max_attempts):
                raise BrokenError(f"{run.delivery} after {case.attempts} attempts: {case.state}")
            if (
                machine.breaker.is_open
                and not was_stopping
                and case.state not in {D.QUEUED, D.COPYING, D.REFUSED, D.RUNNING}
            ):
                raise BrokenError(f"{run.delivery} is {case.state} in a pause")

    def _stored(self, at: int) -> None:
        store = self.stores.pop(at)
        self.no_copy_before.pop(store.kind, None)
        message = store.delivery.message
        self.numbers += 1
        if store.kind is CopyKind.DEAD_LETTER:
            self.dead[message.event] += 1
        else:
            crashes = {CopyKind.RECOUNT: store.crashes, CopyKind.ASIDE: message.facts.crashes}.get(store.kind, 0)
            counted = crashes if self.rules.flags else 0
            facts = Facts(message.facts.event, counted, store.attempts, store.uncounted, crashes)
            self.ready.append(Instance(message.event, self.numbers, facts, self.now + store.delay))
        if self._is_out(store.delivery):
            self.may_accept.add(store.delivery.number)
        self._tell(Input.COPY_STORED, store, self.now)

    def _refuse(self, at: int) -> None:
        store = self.stores.pop(at)
        if store.delivery.message.event not in self.scope.refused:
            self.refusals -= 1
        store.error = "refused"
        if store.kind in {CopyKind.RETRY, CopyKind.DEAD_LETTER} and self.machine.state not in STOPPING:
            before = self.no_copy_before.get(store.kind, 0.0)
            self.no_copy_before[store.kind] = before if self.now < before else self.now + _REFUSED_FOR
        self._tell(Input.COPY_REFUSED, store, self.now)

    def _refuse_forever(self, at: int) -> None:
        store = self.stores.pop(at)
        self.unstored.pop(_known_by(store.delivery.message.facts), None)
        if self.machine.state in STOPPING:
            self.failed.discard(store.delivery.number)  # it is given back
        self.input = Input.COPY_REFUSED
        self._carry(self.machine.copy_refused(store, self.now, forever=True))

    def _time(self) -> None:
        self.now = self._next_time() or self.now
        self._tell(Input.TIMER, self.now)

    def _lose(self) -> None:
        self._connection_lost()
        self._tell(Input.GENERATION_LOST, self.now)

    def _swap(self) -> None:
        """A new generation, without a word of the end of the old one."""
        self._connection_lost()
        self._attach()

    def _connection_lost(self) -> None:
        self.losses -= 1
        for case in self.machine.cases:
            kinds = {CopyKind.RETRY, CopyKind.DEAD_LETTER}
            if case.store is not None and case.store.kind in kinds and case.state in {D.COPYING, D.REFUSED}:
                self.unstored[_known_by(case.facts)] = case.delivery.message.number
        back = [replace(each.message, facts=self._redelivered(each.message.facts)) for each in self.out]
        self.ready = sorted([*back, *self.ready], key=lambda each: (each.event, each.number))
        running = {id(run.delivery) for run in self.runs}
        self.stale = next((each for each in self.out if id(each) not in running), None)
        self.out, self.window, self.late = [], 0, 0
        self.may_accept.clear()

    def _redelivered(self, facts: Facts) -> Facts:
        return replace(facts, count=facts.crashes + 1 if self.rules.flags else facts.count + 1)

    def _stale(self) -> None:
        """A delivery of an ended generation comes late."""
        stale, self.stale = self.stale, None
        assert stale is not None
        self._tell(Input.DELIVERED, stale.generation, [stale], self.now)

    def _attach(self) -> None:
        self.generation += 1
        self.window = 0
        if self.scope.wide:
            self.machine.window._start = self.rules.prefetch
        self._tell(Input.GENERATION_ACTIVE, self.generation, self.now)

    def _turn(self) -> None:
        self.is_its_turn = False
        self._tell(Input.TURN, self.now)

    def _drain(self) -> None:
        self._tell(Input.DRAIN, self.now)

    def _cut(self) -> None:
        self._tell(Input.CUT, self.now)

    # -- what the machine has done ------------------------------------------------------------------------------------

    def note_delivery(self, source: DeliveryState, target: DeliveryState) -> None:
        if self.input not in DELIVERY_TRANSITIONS.get((source, target), ()):
            raise BrokenError(f"{source} to {target} on {self.input}")
        self.seen.delivery.add((source, target, self.input))

    def _tell(self, what: Input, *args: Any) -> None:
        self.input = what
        self._carry(getattr(self.machine, what.value.replace(" ", "_"))(*args))

    def _carry(self, actions: list[Action[Delivery]]) -> None:  # noqa: C901
        for action in actions:
            if isinstance(action, Run):
                self.runs.append(action)
                self._began(action)
            elif isinstance(action, Settle):
                for delivery in action.batch:
                    self._settled(delivery, action.outcome)
            elif isinstance(action, Store):
                if not self._is_out(action.delivery):
                    raise BrokenError(f"a copy of {action.delivery}, which is void or settled")
                if self.now < self.no_copy_before.get(action.kind, 0.0) and self.machine.state not in STOPPING:
                    raise BrokenError(f"a copy of {action.delivery} is tried right after the refusal of another one")
                known, told = action.delivery.message.facts, (action.attempts, action.uncounted)
                if action.kind is CopyKind.RETRY and told == (known.attempts, known.uncounted):
                    raise BrokenError(f"a copy that says no more than {action.delivery}")
                self.stores.append(action)
            elif isinstance(action, Window):
                self.late = int(self.window > len(self.out) and action.size < self.window)  # it is on its way
                self.window = action.size
            elif isinstance(action, Turn):
                action.share.wake()
            else:
                self._reported(action)

    def _reported(self, report: Report[Delivery]) -> None:
        if report.notice is Notice.PAUSED:
            self.probes.clear()
            self.probed.clear()
        if report.notice is Notice.RESUMED and self.machine.window.size > 2 * self.machine.window._start:
            raise BrokenError("resumes with a wide window")

    def _settled(self, delivery: Delivery, outcome: Outcome) -> None:
        if not self._is_out(delivery):
            raise BrokenError(f"{delivery} is settled twice, or void: {outcome}")
        if any(run.delivery is delivery for run in self.runs):
            raise BrokenError(f"{delivery} is settled while it runs")
        if any(store.delivery is delivery for store in self.stores):
            raise BrokenError(f"{delivery} is settled while its copy is under way")
        self.out = [each for each in self.out if each is not delivery]
        if outcome is Outcome.ACCEPT:
            if delivery.number not in self.may_accept:
                raise BrokenError(f"{delivery} is accepted too early")
            return
        if delivery.number in self.may_accept:
            raise BrokenError(f"{delivery} is given back after it returned")
        if delivery.number in self.failed and not self.rules.ordered:
            raise BrokenError(f"{delivery} is given back, and its failures are forgotten")
        self.ready.insert(0, delivery.message)
        if self.rules.ordered:
            self.ready.sort(key=lambda each: (each.event, each.number))

    def _is_out(self, delivery: Delivery) -> bool:
        return any(each is delivery for each in self.out)

    def _began(self, run: Run[Delivery]) -> None:
        delivery = run.delivery
        self.begun[id(run)] = self.now
        if len(self.runs) > self.rules.concurrency:
            raise BrokenError("more than concurrency run")
        if not self._is_out(delivery):
            raise BrokenError(f"{delivery} runs, and is void or settled")
        if sum(each.delivery is delivery for each in self.runs) > 1:
            raise BrokenError(f"{delivery} runs twice")
        if self.rules.ordered:
            earlier = [
                each.event
                for each in [*self.ready, *(one.message for one in self.out)]
                if each.event < delivery.message.event and not self.handled[each.event] and not self.dead[each.event]
            ]
            if earlier:
                raise BrokenError(f"{delivery} overtakes {earlier}")
        known = _known_by(delivery.message.facts)
        if not self.scope.anonymous and self.unstored.get(known) == delivery.message.number:
            raise BrokenError(f"{delivery} runs, and its copy was not stored before the connection was lost")
        if run.round:
            self.probes[run.round] += 1
            if (run.round, delivery.number) in self.probed:
                raise BrokenError(f"{delivery} is tried twice in round {run.round}")
            self.probed.add((run.round, delivery.number))
            if self.probes[run.round] > (1 if self.rules.ordered else 2 ** ((self.machine.breaker.rounds or 1) - 1)):
                raise BrokenError(f"round {run.round} has {self.probes[run.round]} probes")

    # -- invariants ---------------------------------------------------------------------------------------------------

    def check(self) -> None:  # noqa: C901 (all of them)
        """Raise if one of the invariants doesn't hold."""
        machine = self.machine
        state, slots, cases = machine.state, machine.slots, machine.cases
        if slots.busy != len(self.runs):
            raise BrokenError(f"{slots.busy} slots are in use, and {len(self.runs)} run")
        self._check_places()
        if state in {L.PAUSED, L.NEW, L.DETACHED, *STOPPING} and self.window:
            raise BrokenError(f"window {self.window} while {state}")
        expected = 0 if self.rules.exact_window else len(machine.failing.refusals)
        parked = expected + sum(cases.count[each] for each in (D.WAITING, D.QUEUED, D.REFUSED, D.STUCK)) + cases.refused
        most = len(self.runs) + machine.breaker.budget if state is L.PROBING else machine.window.size
        if self.window > most + min(parked, machine.window.spare + REFUSED_LIMIT):
            raise BrokenError(f"window {self.window} while {state}")
        if machine.window.size > max(self.rules.prefetch, self.rules.concurrency):
            raise BrokenError(f"a window of {machine.window.size}")
        if state in {L.ISOLATING, L.ISOLATED} and machine.window.size > 1:
            raise BrokenError("a wide window beside a suspect")
        if state is L.ISOLATED and sum(self.begun[id(run)] > self.now - PATIENCE for run in self.runs) > 1:
            raise BrokenError("the suspect does not run alone")
        if state is L.PAUSED and not all(isinstance(each, Case) and each.has_news for each in slots.queue):
            raise BrokenError("paused, and keeps what another process could have")
        held = slots.returned or any(run.returned or run.further for run in self.runs if run in slots.runs)
        flushes = [when for when, due, _ in machine.agenda.entries() if due is Due.FLUSH]
        if held and not any(when <= self.now + FLUSH_SECONDS for when in flushes):
            raise BrokenError("what has returned is not going to be accepted soon")
        if any(run.further for run in slots.runs) and state is not L.CONSUMING:
            raise BrokenError(f"something is lent while {state}")
        if state is L.PROBING and not self.runs and machine.breaker.budget > 0 and not self.window:
            raise BrokenError("probes, and gets nothing to try")

    def _check_places(self) -> None:
        machine = self.machine
        slots, cases = machine.slots, machine.cases
        queued = [item.delivery if isinstance(item, Case) else item for item in slots.queue]
        running = [run.delivery for run in slots.runs]
        lent = [each for run in slots.runs for each in [*run.further]]
        returned = [*slots.returned, *(each for run in slots.runs for each in run.returned)]
        elsewhere = [case.delivery for case in cases if case.state not in {D.QUEUED, D.RUNNING, D.RETURNED}]
        places = [each.number for each in [*queued, *running, *lent, *returned, *elsewhere]]
        if len(places) != len(set(places)):
            raise BrokenError(f"in two places: {sorted(places)}")
        out = {each.number for each in self.out}
        if not set(places) <= out or (set(places) != out and machine.state not in STOPPING):
            raise BrokenError(f"lost track of {sorted(set(places) ^ out)}")
        soon = {id(case) for when, _, case in machine.agenda.entries() if when <= self.now + _PATIENT}
        refused, count = cases.refused, cases.count.copy()
        for case in cases:
            refused -= case.refusals > 0
            count[case.state] -= 1
            place = {D.QUEUED: queued, D.RUNNING: running, D.RETURNED: returned}.get(case.state)
            if place is not None and not any(each is case.delivery for each in place):
                raise BrokenError(f"{case.delivery} is not {case.state}")
            if case.state is D.COPYING and not any(store is case.store for store in self.stores):
                raise BrokenError(f"{case.delivery} waits for no copy")
            if case.state is D.REFUSED and id(case) not in soon:
                raise BrokenError(f"the copy of {case.delivery} is not going to be tried soon")
            if case.state in _ENDS:
                raise BrokenError(f"{case.delivery} has ended")
        if refused or any(count.values()):
            raise BrokenError("miscounts cases")

    # -- from here on everything goes well ----------------------------------------------------------------------------

    def finish(self, limit: int = 600) -> None:
        """Let everything go well from here on, and raise unless everything ends that can."""
        self.have_no_more_trouble()
        for _ in range(limit):
            if self.is_over():
                break
            choices = self.good_choices()
            if not choices:
                raise BrokenError(f"stands still: {self}")
            self.act(min(choices)[1])
        else:
            raise BrokenError(f"goes on forever: {self}")
        self.check_end()

    def have_no_more_trouble(self) -> None:
        """Lose and refuse nothing from here on."""
        self.losses = self.refusals = 0
        self.stops = False
        self.stale = None

    def good_choices(self) -> list[tuple[int, Choice]]:
        """What may happen when all goes well; what comes first has the lowest number."""
        return [(_GOOD[each[0]], each) for each in self.choices() if each[0] in _GOOD and self._goes_well(each)]

    def check_end(self) -> None:
        """Raise unless everything has ended that can."""
        machine = self.machine
        if machine.state in STOPPING:
            if not machine.is_idle or len(machine.cases) or machine.slots.queue:
                raise BrokenError(f"stopped, and keeps something: {self}")
            return
        for event in range(len(self.scope.counts)):
            if event not in self._hopeless() and not self.handled[event] and not self.dead[event]:
                raise BrokenError(f"event {event} is lost: {self}")

    def _goes_well(self, choice: Choice) -> bool:
        if choice[0] != "raise":
            return True
        event = self.runs[choice[1]].delivery.message.event
        return event in self.scope.undecodable or event in self.scope.poison

    def _hopeless(self) -> set[int]:
        stuck = {case.delivery.message.event for case in self.machine.cases if case.state is D.STUCK}
        blocked = set(range(len(self.scope.counts))) if stuck and self.rules.ordered else stuck
        left = {each.event for each in self.ready} | {each.message.event for each in self.out}
        paused = left & {*self.scope.poison} if self.machine.breaker.is_open else set()
        if paused and self.rules.ordered:
            paused = {*range(min(paused), len(self.scope.counts))}
        refused = set(self.scope.refused)
        if refused and self.rules.ordered:
            refused = {*range(min(refused), len(self.scope.counts))}
        return {*refused, *blocked, *paused}

    def is_over(self) -> bool:
        """Everything has ended that can."""
        if self.machine.state in STOPPING:
            return not self.runs and not self.stores
        left = {each.event for each in self.ready} | {each.message.event for each in self.out}
        hopeless = self._hopeless()
        if not left <= hopeless:
            return False
        return not any(run.delivery.message.event not in hopeless for run in self.runs)

    def __str__(self) -> str:
        machine = self.machine
        return (
            f"{machine.state}, window {self.window}, unsettled {self.out}, in the queue {self.ready}, cases "
            f"{[(case.delivery, case.state) for case in machine.cases]}, breaker {machine.breaker.rounds}"
        )

    # -- telling states apart -----------------------------------------------------------------------------------------

    def key(self) -> object:
        """Equal for two worlds that behave in the same way from here on."""
        machine, now = self.machine, self.now
        breaker, gate, failing = machine.breaker, machine.gate, machine.failing
        live = {each.number: at for at, each in enumerate(sorted(self.out, key=lambda each: each.number))}

        def name(delivery: Delivery) -> object:
            message = delivery.message
            return message.event, message.facts, live.get(delivery.number, -1), delivery.generation == self.generation

        def rest(when: float | None) -> float | None:
            return None if when is None else round(max(when - now, -100.0), 6)

        def told(store: Store[Delivery] | None) -> object:
            return store and (name(store.delivery), store.kind, store.attempts, store.uncounted, store.delay)

        def case_of(case: Case[Delivery] | None) -> object:
            return case and (
                name(case.delivery), case.state, case.attempts, case.uncounted, case.has_news, case.refusals, case.is_behind,
                case.round == breaker.round, told(case.store), rest(case.due) if case.state is D.REFUSED else 0,
            )  # fmt: skip

        def run_of(run: Run[Delivery]) -> object:
            further, returned = [*map(name, run.further)], [*map(name, run.returned)]
            return (
                name(run.delivery),
                case_of(run.case),
                run.round,
                run in machine.slots.runs,
                str(further),
                str(returned),
            )

        timers = [
            (rest(when), due, name(subject.delivery) if isinstance(subject, Case) else subject == breaker.round)
            for when, due, subject in machine.agenda.entries()
            if not isinstance(subject, Case) or machine.cases.has(subject)
        ]

        def event_of(event: object) -> object:
            """Its number; "success", or an event that has no id."""
            return event if isinstance(event, int) else type(event).__name__

        return (
            machine.state, str(timers), machine.slots.busy, self.losses, self.refusals, self.window, self.late,
            str([case_of(each) if isinstance(each, Case) else name(each) for each in machine.slots.queue]),
            str([run_of(each) for each in self.runs]), str([name(each) for each in machine.slots.returned]),
            str(sorted(str(case_of(case)) for case in machine.cases)), str([told(store) for store in self.stores]),
            str([(each.event, each.facts, rest(each.at)) for each in self.ready]),
            breaker.rounds, breaker.budget, breaker.attempted, breaker.patient, breaker.revisits, rest(breaker.due) if breaker.is_open else 0,
            str([(event_of(event), bad) for event, bad in breaker.last.items()]),
            str(sorted(str(event_of(event)) for event in breaker._tried)),
            gate.suspect is not None, gate.swept, rest(gate.quiet_since), rest(gate.until),
            machine.window.size, machine.window._settled, machine.guard._counts_flags, str(machine.guard._survived),
            str([(key, told(each.store), each.refusals, each.is_behind, rest(each.due)) for key, each in failing.refusals.items()]),
            *((outlet.limit, outlet.refusals, rest(outlet.until), len(outlet.under_way))
              for outlet in (failing.own, failing.dead)),
            machine._flush_due, machine.generation > 0, self.stale is not None, str(sorted(self.handled)), str(sorted(self.dead.items())),
            str(sorted(live.get(number, -1) for number in self.may_accept)),
        )  # fmt: skip


def _known_by(facts: Facts) -> object:
    return facts.event, facts.attempts, facts.uncounted
