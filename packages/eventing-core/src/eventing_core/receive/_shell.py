"""What the shells share: the side of a listener that its manager and its provider see."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future

from eventing_core.errors import ManagerStoppedError, SubscriptionError
from eventing_core.provider import Delivery, Handle, SubscriptionState
from eventing_core.receive._driver import Driver
from eventing_core.receive._inbox import Inbox, read
from eventing_core.receive._incoming import Incoming
from eventing_core.receive._view import health_of
from eventing_core.receive.machine._actions import Store
from eventing_core.receive.machine._runs import Run
from eventing_core.receive.machine._states import STOPPING, ListenerState
from eventing_core.runtime._health import ListenerHealth, StuckRun

#: How long the end of a listener waits for another thread that hands over settlements, in seconds.
_HAND_OVER = 1.0


class Shell(Driver):
    """Serves one listener: the `Subscriber` of its subscription. Thread-safe."""

    def __init__(self, incoming: Incoming) -> None:
        super().__init__(incoming)
        self._stuck_after = incoming.descriptor.timeout or incoming.stuck_after
        self._inbox = Inbox()
        self._sharers = [self] if incoming.sharing is None else incoming.sharing.shells
        if incoming.sharing is not None:
            incoming.sharing.shells.append(self)
        self._state = SubscriptionState.INACTIVE
        self._error: Exception | None = None

    # -- called by the manager ----------------------------------------------------------------------------------------

    def attach(self, handle: Handle) -> None:
        """Take the handle of the subscription."""
        self._outbox.handle = handle
        self._carry_out()

    @property
    def running(self) -> int:
        """How many runs there are at this moment, those that wait for a thread included."""
        return self._machine.slots.busy

    def wait_active(self, deadline: float) -> Exception | None:
        """Wait until the subscription is active; the error when it is not."""
        self._wait(lambda: self._stops or self._state is not SubscriptionState.INACTIVE, deadline)
        if self._stops:
            return ManagerStoppedError("the event manager was stopped while it started")
        if self._state is SubscriptionState.ACTIVE:
            return None
        return self._error or SubscriptionError(f"{self.descriptor.label}: its queue was not ready in time")

    def begin(self) -> None:
        """Consume, now and in every later generation."""
        self._tell(self._machine.begin)

    def pause(self) -> None:
        """Take nothing more, and give back what was not begun. What waits for another attempt leaves as a copy."""
        self._tell(self._machine.drain)

    def cut_short(self) -> None:
        """Give up what still runs: its failure counts nothing."""
        self._tell(self._machine.drain)
        self._tell(self._machine.cut)

    def wait_empty(self, deadline: float) -> bool:
        """Wait until all that was delivered is settled. False when the deadline comes first."""
        return self._wait(lambda: self._machine.is_empty and self._outbox.is_done and not self._inbox.batches, deadline)

    def wait_idle(self, deadline: float) -> bool:
        """Wait until nothing runs and no copy is on its way. False when the deadline comes first."""
        return self._wait(lambda: self._machine.is_idle and self._outbox.is_done, deadline)

    def close(self) -> Future[None] | None:
        """Unsubscribe; what has returned is settled, and everything else goes back to the broker."""
        self._tell(self._machine.drain)
        self._wait(lambda: self._outbox.is_done, time.monotonic() + _HAND_OVER)
        handle = self._outbox.handle
        return handle.close() if handle is not None else None

    def abandon(self) -> None:
        """In a child after a fork: what was delivered is the parent's, and nothing is settled."""
        # Threads that aren't there any more may have held them.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._abandoned = True
        self._outbox.abandon()
        self._inbox.clear()
        for run in self._machine.slots.runs:
            run.further.clear()  # of the lease, nothing more is run here

    def health(self) -> ListenerHealth:
        """How the listener is. Never blocks: it takes no lock, and so may be a step behind in parts."""
        since = time.monotonic() - self._stuck_after
        stuck = self.stuck(since)
        is_stuck = sum(len(each.stuck(since)) for each in self._sharers) >= self.descriptor.concurrency
        active = self._state is SubscriptionState.ACTIVE
        handle = self._outbox.handle
        lost = handle.flaw if handle is not None else ""
        if not (lost or active or self._error is None):
            lost = str(self._error)
        running = self._at_work()
        return health_of(
            self.descriptor, self._machine, self._flaws, lost=lost, running=running, stuck=stuck, is_stuck=is_stuck
        )

    @abstractmethod
    def stuck(self, since: float) -> tuple[StuckRun, ...]:
        """The runs that began before that, of `time.monotonic`."""

    @abstractmethod
    def _at_work(self) -> int:
        """How many runs of ``on`` there are at this moment."""

    # -- called by the provider ---------------------------------------------------------------------------------------

    def deliver(self, batch: Sequence[Delivery]) -> None:
        """Take deliveries. Those whose messages have to be read first are, on the timer's thread, in their order."""
        reads = False
        for each in batch:
            if each.delivery_count:
                reads = True
                break
        generation, machine = batch[0].generation, self._machine
        runs: list[Run[Delivery]] = []
        stores: list[Store[Delivery]] = []
        with self._lock:
            now = time.monotonic()
            # What comes while it is paused goes back unread.
            reads = machine.state is not ListenerState.PAUSED and (
                reads or bool(self._inbox.batches) or machine.wants_facts(now)
            )
            if reads:
                self._inbox.put(batch)
            else:
                runs, stores = self._sort(machine.delivered(generation, batch, now))
            is_first = self._inbox.first is batch
        if not reads:
            self._go_on(runs, stores, is_ours=False)
        elif is_first:
            self._timer.call_later(0.0, self._read)

    def _read(self) -> None:
        """Read what is in the inbox, on the timer's thread."""
        while True:
            with self._lock:
                batch = self._inbox.first
                wants = self._machine.wants_facts(time.monotonic())
            if batch is None:
                return
            facts = read(batch, everything=wants)
            with self._lock:
                self._inbox.take()
                delivered = self._machine.delivered(batch[0].generation, batch, time.monotonic(), facts)
                runs, stores = self._sort(delivered)
            self._go_on(runs, stores)

    def state(self, state: SubscriptionState, generation: int, error: Exception | None) -> None:
        """Learn what the subscription is doing. What belongs to an older generation is void."""
        with self._lock:
            self._state, self._error = state, error
            self._flaws.forget()
            now = time.monotonic()
            active = state is SubscriptionState.ACTIVE
            actions = self._machine.generation_active(generation, now) if active else self._machine.generation_lost(now)
            runs, stores = self._sort(actions)
            self._changed.notify_all()
        self._go_on(runs, stores, is_ours=False)
        if state is SubscriptionState.FAILED and self._machine.state is ListenerState.DETACHED:
            self._flaws.not_consuming(error)

    @property
    def _stops(self) -> bool:
        return self._machine.state in STOPPING
