"""A listener in simulated time: a machine, a broker's queue, and runs that take a while."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from eventing_core.provider import Outcome
from eventing_core.receive.machine._actions import CopyKind, Facts, Fault, Report, Rules, Settle, Store, Turn, Window
from eventing_core.receive.machine._machine import Machine
from eventing_core.receive.machine._runs import Action, Run


@dataclass(eq=False)
class Message:
    event: int
    facts: Facts


@dataclass(eq=False)
class Delivery:
    message: Message


@dataclass
class Simulation:
    """Runs a listener until nothing happens any more, or a time is reached.

    Attributes:
        on: what the listener does with an event at a time: None when it returns.
        seconds: that a run takes.
        may_store: whether a copy of that kind can be stored.
        handled: when each event returned.
        dead: the events that were dead-lettered.
        tries: runs of each event.
    """

    rules: Rules
    on: Callable[[int, float], Fault | None]
    seconds: float = 0.001
    may_store: Callable[[CopyKind], bool] = lambda _: True
    now: float = 0.0
    handled: dict[int, float] = field(default_factory=dict)
    dead: list[int] = field(default_factory=list)
    tries: dict[int, int] = field(default_factory=dict)
    reports: list[Report[Delivery]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine: Machine[Delivery] = Machine(self.rules)
        self.queue: deque[Message] = deque()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._number = self._window = self._out = self._generation = 0
        self._armed: float | None = None
        self._carry(self.machine.begin(0.0))
        self.attach()

    def attach(self) -> None:
        """A new generation; what was delivered is in the queue again."""
        self._generation += 1
        self._window = self._out = 0
        self._carry(self.machine.generation_active(self._generation, self.now))

    def lose(self, unsettled: Iterable[Message]) -> None:
        """The connection is lost, and these are in the queue again."""
        self._carry(self.machine.generation_lost(self.now))
        back = [replace(each, facts=replace(each.facts, count=each.facts.count + 1)) for each in unsettled]
        self.queue.extendleft(reversed(back))

    def send(self, events: Iterable[int], at: float = 0.0, counts: int = 0) -> None:
        """Put events into the queue."""
        messages = [Message(event, Facts(event, counts)) for event in events]
        self.later(at, lambda: self._arrive(messages))

    def _arrive(self, messages: Iterable[Message]) -> None:
        self.queue.extend(messages)
        self._pump()

    def later(self, when: float, what: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._later, (when, self._number, what))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._later and self._later[0][0] <= until:
            when, _, what = heapq.heappop(self._later)
            self.now = max(self.now, when)
            what()
        self.now = until

    def _pump(self) -> None:
        free = self._window - self._out
        if free > 0 and self.queue and self.machine.generation:
            batch = [Delivery(self.queue.popleft()) for _ in range(min(free, len(self.queue)))]
            self._out += len(batch)
            wants = self.machine.wants_facts(self.now)
            facts = [(each, each.message.facts) for each in batch if wants or each.message.facts.count]
            self._carry(self.machine.delivered(self._generation, batch, self.now, facts))

    def _carry(self, actions: list[Action[Delivery]]) -> None:
        for action in actions:
            if isinstance(action, Run):
                self._begin(action)
            elif isinstance(action, Settle):
                self._out -= len(action.batch)
                if action.outcome is Outcome.RELEASE:
                    self.queue.extendleft(each.message for each in reversed(action.batch))
            elif isinstance(action, Store):
                self.later(self.now + 0.001, lambda store=action: self._stored(store))  # type: ignore[misc]
            elif isinstance(action, Window):
                self._window = action.size
            elif not isinstance(action, Turn):
                self.reports.append(action)
        due = self.machine.next_due
        if due is not None and (self._armed is None or due < self._armed):
            self._armed = due
            self.later(due, self._timer)
        if self._window > self._out and self.queue:
            self.later(self.now, self._pump)

    def _timer(self) -> None:
        self._armed = None
        self._carry(self.machine.timer(self.now))

    def _begin(self, run: Run[Delivery]) -> None:
        self.later(self.now + self.seconds, lambda: self._end(run))

    def _end(self, run: Run[Delivery]) -> None:
        message = run.delivery.message
        self.tries[message.event] = self.tries.get(message.event, 0) + 1
        fault = self.on(message.event, self.now)
        if fault is not None:
            self._carry(self.machine.raised(run, fault, self.now, message.facts))
            return
        self.handled.setdefault(message.event, self.now)
        if run.go_on():
            self._begin(run)
        else:
            self._carry(self.machine.returned(run, self.now))

    def _stored(self, store: Store[Delivery]) -> None:
        if not self.may_store(store.kind):
            self._carry(self.machine.copy_refused(store, self.now))
            return
        message = store.delivery.message
        if store.kind is CopyKind.DEAD_LETTER:
            self.dead.append(message.event)
        else:
            copy = Message(message.event, Facts(message.event, 0, store.attempts, store.uncounted))
            self.later(self.now + store.delay, lambda: self._arrive([copy]))
        self._carry(self.machine.copy_stored(store, self.now))
