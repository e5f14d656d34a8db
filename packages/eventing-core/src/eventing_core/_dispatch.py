"""What becomes of a listener's deliveries: windows, attempts, retries, dead letters, settlement.

One `Dispatcher` serves one listener. A *token* is the right to run ``on``; there are ``concurrency``
of them. A token takes deliveries from the queue until it is empty, so that nothing is locked and
nobody is woken per message while there is work. The two kinds of dispatcher differ only in where a
token runs: on the pool's threads, or as a task on the manager's event loop.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from eventing_core._chain import Chain
from eventing_core._circuit import Circuit
from eventing_core._codec import Codec
from eventing_core._copies import NEXT_STEPS, Copies, Failures, describe_error, traceback_of
from eventing_core._copying import Copying
from eventing_core._crash_guard import CrashGuard
from eventing_core._credit import Credit
from eventing_core._health import ListenerHealth, StuckRun
from eventing_core._identity import Identity, IdentityDict
from eventing_core._listener import EventListener, EventListenerDescriptor
from eventing_core._retry import Retry
from eventing_core._shared_limit import SharedLimit, Sharer
from eventing_core._window import SlowStart
from eventing_core.errors import CrashLoopError, DecodeError, ManagerStoppedError, SubscriptionError
from eventing_core.provider import Capabilities, Delivery, Handle, Outcome, SubscriptionState
from eventing_core.provider._timer import Timer

_log = logging.getLogger("eventing")

#: Retries that wait longer than this, in seconds, leave the process as a delayed copy where the provider can.
HOLD_LIMIT = 5.0

#: Settle what has returned when so many have, or after so many seconds.
_FLUSH_COUNT = 64
_FLUSH_SECONDS = 0.02

#: So long before a suspect runs, or anything after copies that count, in seconds, the provider is told to settle
#: everything else: what is out when the process dies looks as suspicious, and what a copy has replaced comes again.
_ALONE_SECONDS = 0.2

#: How long the end of a listener waits for a settlement that another thread is about to hand over, in seconds.
_SETTLE_SECONDS = 1.0

_LOOK: Any = object()
_CLAIMED: Any = object()

#: Around what is logged, once everything else is done: a logging handler that raises must cost no event.
_quietly = contextlib.suppress(Exception)

#: Around what is logged of a listener's own exception, whose class may raise anything while it is being formatted.
_of_listeners = contextlib.suppress(BaseException)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """All that a dispatcher needs to know of its listener."""

    descriptor: EventListenerDescriptor
    listener: EventListener[Any]
    codec: Codec
    chain: Chain
    retry: Retry
    copies: Copies
    capabilities: Capabilities
    timer: Timer
    stuck_after: float = math.inf
    #: Of a listener with several events, for all its dispatchers.
    limit: SharedLimit | None = None


class Dispatcher(Sharer):
    """Serves one listener. It is the `Subscriber` of the listener's subscription.

    One lock guards all that changes, but for what tokens append and take by single steps. No foreign code runs under
    it: neither the handle's, nor a delivery's, nor a listener's, nor a logging handler's. Deliveries are compared by
    identity.
    """

    def __init__(self, incoming: Incoming) -> None:
        self.descriptor = incoming.descriptor
        self._retry = incoming.retry
        self._copies = incoming.copies
        self._capabilities = incoming.capabilities
        self._timer = incoming.timer
        self._concurrency = incoming.descriptor.concurrency
        self._limit = incoming.limit
        if incoming.limit is not None:
            incoming.limit.sharers.append(self)
        self._ordered = incoming.descriptor.ordered
        self._stuck_after = incoming.descriptor.timeout or incoming.stuck_after
        self._spare = max(1, incoming.descriptor.prefetch // 2)
        self._handle: Handle | None = None
        self._queue: deque[Delivery] = deque()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._tokens = 0
        self._copying = Copying(incoming.copies, incoming.timer, incoming.descriptor.label, self)
        self._window = SlowStart(self._concurrency, incoming.descriptor.prefetch)
        #: Failures of deliveries that are still ours; the held ones among them wait for the timer.
        self._failures: IdentityDict[Delivery, Failures] = IdentityDict()
        self._held: IdentityDict[Delivery, None] = IdentityDict()
        #: What has returned and is not settled yet; in batches, as each costs the provider's thread a look.
        self._done: deque[Delivery] = deque()
        #: A thread settles it at the moment; others leave to that one what returns meanwhile.
        self._settling = False
        self._flush_due = False
        #: Tokens of an older generation may still return: what they settle widens no window of this one.
        self._mixed = False
        #: Given out before, and looked at by the timer's thread, which decides whether they leave.
        self._looked_at = 0
        #: An ordered listener waits for its next attempt, or until a dead letter is stored; a suspect waits to run
        #: alone; one runs alone.
        self._waiting = False
        self._storing: Delivery | None = None
        self._suspect: Delivery | None = None
        self._alone: Delivery | None = None
        #: The suspect whose turn it is.
        self._cleared: Delivery | None = None
        self._circuit = Circuit(incoming.retry, ordered=self._ordered)
        #: What a paused listener tries; `_CLAIMED` while a token is on its way to take it.
        self._probe: Delivery | None = None
        #: Copies that count are under way, or have been until just now.
        self._counting = False
        #: The last of them to be stored, or given up; None while others are to be sent.
        self._last_counted: object = None
        #: One of these, or it is paused. Tokens take nothing then. See `_bar`.
        self._occupied = False
        self._barred = False
        self._guard = CrashGuard(incoming.capabilities, ordered=self._ordered)
        self._credit = Credit(self._wanted, incoming.descriptor.label)
        self._generation = 0
        self._state = SubscriptionState.INACTIVE
        self._error: Exception | None = None
        #: What went wrong in this generation that should never, and stays so until the next one; empty for nothing.
        self._flaw = ""
        self._consuming = False
        self._closing = False
        self._cut = False

    # -- called by the manager --------------------------------------------------------------------------------

    def attach(self, handle: Handle) -> None:
        """Take the handle of the subscription."""
        self._handle = handle

    @property
    def running(self) -> int:
        """How many tokens there are at this moment."""
        return self._tokens

    def wait_active(self, deadline: float) -> Exception | None:
        """Wait until the subscription is active; the error when it is not."""
        with self._lock:
            self._changed.wait_for(
                lambda: self._closing or self._state is not SubscriptionState.INACTIVE,
                max(0.0, deadline - time.monotonic()),
            )
            if self._closing:
                return ManagerStoppedError("the event manager was stopped while it started")
            if self._state is SubscriptionState.ACTIVE:
                return None
            return self._error or SubscriptionError(f"{self.descriptor.label}: its queue was not ready in time")

    def begin(self) -> None:
        """Give credit, now and in every later generation."""
        with self._lock:
            self._consuming = True
            active = self._state is SubscriptionState.ACTIVE
        if active:
            self._give_credit()

    def wait_empty(self, deadline: float) -> bool:
        """Wait until all that was delivered is settled. False when the deadline comes first."""
        with self._lock:
            return self._changed.wait_for(
                lambda: (
                    not (
                        self._active
                        or self._queue
                        or self._held
                        or self._suspect
                        or self._looked_at
                        or self._copying.busy
                    )
                ),
                max(0.0, deadline - time.monotonic()),
            )

    def pause(self) -> None:
        """Take nothing more, and give back what was not begun, uncounted where the provider can.

        What waits for another attempt leaves as a copy, which keeps its count.
        """
        with self._lock:
            self._closing = True
            back = self._drain_queue()
            if self._suspect is not None:
                back.append(self._suspect)
                self._suspect = None
            waiting = [*self._held, *[delivery for delivery in back if delivery in self._failures]]
            again = [(delivery, self._failures[delivery]) for delivery in waiting] if not self._ordered else []
            self._held.clear()
            self._changed.notify_all()
        self._give_credit()
        kept = {id(delivery) for delivery, _ in again}
        back = [delivery for delivery in back if id(delivery) not in kept]
        if back:
            self._settle(back, Outcome.RELEASE)
        for delivery, failures in again:
            self._retry_by_copy(delivery, failures, self._retry.delay(failures.attempts))

    def _drain_queue(self) -> list[Delivery]:
        """Take all that is queued; one by one, as tokens take without the lock."""
        taken: list[Delivery] = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._queue.popleft())
        return taken

    def _drain_neighbours(self) -> list[Delivery]:
        """Take all that is queued, but for what waits for another attempt. Call it with the lock."""
        queued = self._drain_queue()
        self._queue.extend(each for each in queued if each in self._failures)
        return [each for each in queued if each not in self._failures]

    def wait_idle(self, deadline: float) -> bool:
        """Wait until nothing runs and no copy is on its way. False when the deadline comes first."""
        with self._lock:
            return self._changed.wait_for(
                lambda: not self._active and not self._copying.busy, max(0.0, deadline - time.monotonic())
            )

    @property
    def _active(self) -> bool:
        """Something runs, or has returned and isn't settled."""
        return bool(self._tokens or self._settling or self._done)

    def cut_short(self) -> None:
        """Give up what still runs: it stays unsettled and counts nothing, however it ends."""
        self._cut = True

    def close(self) -> Future[None] | None:
        """Unsubscribe; what has returned is settled, and everything else goes back to the broker."""
        self._flush()
        with self._lock:  # another thread may be at it, by whom it is to be handed over first
            self._changed.wait_for(lambda: not self._settling, _SETTLE_SECONDS)
        return self._handle.close() if self._handle is not None else None

    def abandon(self) -> None:
        """In a child after a fork: what was delivered is the parent's, and nothing is settled."""
        # Threads that aren't there any more may have held them.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._settling = False
        if self._limit is not None:
            self._limit.abandon()
        self._credit.abandon()
        self._copying.abandon()
        self._handle = None
        self._closing = self._cut = True
        self._queue.clear()
        self._held.clear()
        self._done.clear()
        self._suspect = None

    def health(self) -> ListenerHealth:
        """How the listener is. Thread-safe. Never blocks: it takes no lock, and so may be a step behind in parts."""
        since = time.monotonic() - self._stuck_after
        stuck = self.stuck(since)
        sharers = [self] if self._limit is None else self._limit.sharers
        stuck_runs = len(stuck) + sum(len(other.stuck(since)) for other in sharers if other is not self)
        active, lost = self._state is SubscriptionState.ACTIVE, self._error
        paused, why = self._circuit.is_open, self._circuit.error
        ours = f"paused, almost everything fails: {why}" if paused else ""
        error = "" if active or lost is None else str(lost)
        flawed = bool(self._closing or self._credit.flaw or self._flaw) or stuck_runs >= self._concurrency
        return ListenerHealth(
            listener=self.descriptor.name,
            event=self.descriptor.event.name,
            consuming=active and self._consuming and not (flawed or paused),
            paused=active and self._consuming and not flawed and paused,
            running=self._tokens,
            held=len(self._held) + self._waiting,
            stuck=stuck,
            error=self._copying.error or self._credit.flaw or self._flaw or error or ours,
        )

    # -- called by the provider -------------------------------------------------------------------------------

    def deliver(self, batch: Sequence[Delivery]) -> None:
        """Take deliveries."""
        # What won't be run waits for no token: all may be busy for long, and the broker may soon take it away. Which
        # ones these are is in their messages, and those are not decoded here.
        doubtful = [each for each in batch if each.delivery_count and self._guard.may_reject(each)]
        with self._lock:
            if self._closing:
                return  # they go back when the subscription is closed; given back now, they might come again at once
            late = self._circuit.is_open and not self._circuit.probing  # they were on their way when it paused
            tokens, counting, apart = 0, self._counting, batch
            if not late:
                if doubtful:
                    self._looked_at += 1
                    if self._guard.counts_flags:
                        self._count_copies()
                    else:  # nothing begins before that is known, and so the order holds; else the others may begin
                        apart = doubtful
                self._queue.extend(_without(batch, apart) if doubtful else batch)
                tokens = self._claim()
        for _ in range(tokens):
            self._start_token()
        if late:
            self._settle(batch, Outcome.RELEASE)
        elif doubtful:
            self._timer.call_later(0.0, partial(self._look_at, doubtful, apart, counting=counting))

    def _count_copies(self) -> None:
        """Let nothing begin until copies that count are stored. Call it with the lock."""
        self._counting = True
        self._last_counted = None
        self._bar()

    def state(self, state: SubscriptionState, generation: int, error: Exception | None) -> None:
        """Learn what the subscription is doing. What belongs to an older generation is void."""
        with self._lock:
            self._state = state
            self._error = error
            was_active = bool(self._generation)
            self._generation = generation if state is SubscriptionState.ACTIVE else 0
            unread = self._guard.lost(self._drain_queue(), connection=was_active)
            self._failures.clear()
            self._held.clear()
            self._waiting = self._counting = False
            self._suspect = self._alone = self._probe = self._storing = None
            self._mixed = self._active
            self._bar()
            self._window.restart()
            self._copying.forget()
            self._flaw = self._credit.flaw = ""
            consuming = self._consuming and not self._closing
            self._changed.notify_all()
        if state is SubscriptionState.ACTIVE and consuming:
            self._give_credit()
        elif state is SubscriptionState.FAILED and consuming:
            with _quietly:
                _log.error("%s: not consuming: %s", self.descriptor.label, error)
        if unread:
            self._timer.call_later(0.0, self._read_lost)

    def _read_lost(self) -> None:
        """Read what the guard has to know of deliveries whose connection is lost."""
        read = self._guard.read_lost()
        with self._lock:
            self._guard.note_lost(read)

    @abstractmethod
    def stuck(self, since: float) -> tuple[StuckRun, ...]:
        """The runs that began before that, of `time.monotonic`."""

    # -- tokens -----------------------------------------------------------------------------------------------

    @abstractmethod
    def _start_token(self) -> None:
        """Let a token that was claimed run."""

    def _claim(self) -> int:
        """Claim as many tokens as there is work for. Call it with the lock."""
        if self._occupied:
            return 0
        if self._circuit.is_open:
            return self._claim_probe()
        free = min(self._concurrency - self._tokens, len(self._queue))
        if free and self._limit is not None:
            free = self._limit.claim(self, free)
        self._tokens += free
        return free

    def _claim_probe(self) -> int:
        if not self._circuit.probing or self._probe is not None or not self._queue or self._tokens >= self._concurrency:
            return 0
        if not self._may_run():
            return 0
        self._probe = _CLAIMED
        self._tokens += 1
        return 1

    def _may_run(self) -> bool:
        """Claim a token for one delivery of the limit that is shared with others, if any. Call it with the lock."""
        return self._limit is None or self._limit.claim(self, 1) == 1

    def has_turn(self) -> None:
        """A token of the limit that is shared with others is kept for this queue."""
        with self._lock:
            tokens = self._claim()
            suspect = self._suspect
        if suspect is not None and not tokens:
            self._suspect_due(suspect, drain=True)
        if self._limit is not None:
            self._limit.decline(self)
        for _ in range(tokens):
            self._start_token()

    def _yields(self) -> bool:
        """Whether the caller's token went to another queue of the same listener, which waited for it."""
        if self._limit is None or not self._limit.is_wanted or self._alone is not None:
            return False
        self._flush()
        with self._lock:
            self._give_token_back()
            tokens = self._claim()
            self._clear_suspect()
        for _ in range(tokens):
            self._start_token()
        return True

    def _bar(self) -> None:
        """Note whether tokens may take from the queue. Call it with the lock, after each change of the reasons."""
        alone = self._suspect is not None or self._alone is not None
        self._occupied = self._waiting or self._counting or alone or self._storing is not None
        self._barred = self._occupied or self._circuit.is_open

    def _take(self) -> Delivery | None:
        """The next delivery for a token; None when there is none, and then the token is given back.

        Before it is, what has returned is settled. When there is one, the timer sees to that, so that what returned
        doesn't wait for the end of the next ``on``.
        """
        while True:
            if not self._barred:
                try:
                    delivery = self._queue.popleft()
                except IndexError:
                    pass
                else:
                    if self._done and not self._flush_due:
                        self._flush_due = True
                        self._timer.call_later(_FLUSH_SECONDS, self._flush_late)
                    if not delivery.delivery_count or self._admit(delivery):
                        return delivery
                    continue
            if self._done and not self._settling:
                self._flush()
                continue
            single = self._look_again()
            if single is not _LOOK and (single is None or single is not self._probe or self._admit_probe(single)):
                return single

    def _admit_probe(self, probe: Delivery) -> bool:
        """Whether what a paused listener is about to try may run now."""
        if not probe.delivery_count or probe is self._alone or self._admit(probe):
            return True
        with self._lock:
            if self._suspect is not probe:  # it has left: the next one
                self._probe = _CLAIMED
        return False

    def _look_again(self) -> Delivery | None:
        """With the lock: nothing to take but a suspect or probe whose turn it is; else the token is given back."""
        with self._lock:
            if self._circuit.probing and (self._probe is None or self._probe is _CLAIMED):
                self._probe = self._queue.popleft() if self._queue and not self._occupied else None
                if self._probe is not None:
                    return self._probe
            claimed = 0
            if self._alone is not None:  # it has run
                self._alone = None
                self._bar()
                claimed = self._claim()
            look = bool(self._queue) and not self._barred
            if not look:
                if self._suspect is not None and self._tokens == 1 and self._suspect is self._cleared:
                    self._alone, self._suspect, self._cleared = self._suspect, None, None
                    return self._alone
                self._give_token_back()
                self._clear_suspect()
        for _ in range(claimed):
            self._start_token()
        return _LOOK if look else None

    def _clear_suspect(self) -> None:
        """Let the suspect have its turn soon, if nothing runs and nothing is being copied. Call it with the lock."""
        if self._suspect is not None and not (self._active or self._counting or self._copying.busy):
            self._timer.call_later(_ALONE_SECONDS, partial(self._suspect_due, self._suspect, drain=True))

    def _suspect_due(self, suspect: Delivery, *, drain: bool) -> None:
        with self._lock:
            busy = self._active or self._counting or self._copying.busy
            if suspect is not self._suspect or busy or self._closing:
                return
            late = self._drain_neighbours() if drain else []
            if not late:
                if not self._may_run():
                    return  # it comes again with `has_turn`
                self._cleared = suspect
                self._tokens += 1
        if late:
            self._put_aside(late)
            self._timer.call_later(_ALONE_SECONDS, partial(self._suspect_due, suspect, drain=False))
        else:
            self._start_token()

    def _give_token_back(self) -> None:
        """Call it with the lock."""
        self._tokens -= 1
        if self._limit is not None:
            self._limit.give_back()
        if not self._active:
            self._mixed = False
            self._changed.notify_all()

    def _token_broke(self, error: BaseException) -> None:
        """A token ended by an error of our own: its delivery stays unsettled, and the others go on."""
        with self._lock:
            self._flaw = f"an unexpected error, and its event stays unsettled: {describe_error(error)}"
            self._probe = None
            self._give_token_back()
            if not self._tokens:  # else nobody would give the others their turn
                if self._suspect is not None:
                    self._queue.appendleft(self._suspect)
                self._suspect = self._alone = None
                self._bar()
            claimed = self._claim()
        for _ in range(claimed):
            self._start_token()
        with _quietly:
            _log.error("%s: an unexpected error; its event stays unsettled", self.descriptor.label, exc_info=error)

    def _admit(self, delivery: Delivery) -> bool:
        """Whether a delivery that was given out before may run beside others."""
        if delivery in self._failures:
            return True
        back: list[Delivery] = []
        record = self._guard.read(delivery)
        with self._lock:
            if delivery.generation != self._generation:
                return False  # void: the broker delivers it again
            verdict = self._guard.judge(record)
            if verdict.suspect and self._occupied:  # another one comes first
                self._queue.appendleft(delivery)
                return False
            self._guard.begun(record)
            if verdict.runs:
                self._window.restart(1 if verdict.suspect else None)
            if verdict.suspect:
                self._suspect = delivery
                self._bar()
                back = self._drain_neighbours()
        if verdict.loops:
            error = CrashLoopError(
                f"delivered {verdict.crashes} times and never settled, not counting connections that this process lost "
                "and survived: handling it seems to kill the process"
            )
            self._dead_letter(delivery, Failures.of(delivery.message()), "crash-loop", error)
            return False
        if not verdict.runs:
            redeliveries = verdict.crashes if verdict.counted else 0
            anew = self._copies.anew(delivery.message(), delivery.delivery_count, redeliveries)
            self._copying.store(delivery, anew)
            return False
        self._give_credit()
        if back:  # with the window lowered, they don't come back beside the suspect
            self._put_aside(back)
        return not verdict.suspect

    def _put_aside(self, neighbours: list[Delivery]) -> None:
        """Give back what a suspect was prefetched with, so that it doesn't look like one."""
        if not self._guard.copies_count:
            self._settle(neighbours, Outcome.RELEASE)
            return
        # What is given back there may stay with this process, and is flagged in any case.
        for each in neighbours:
            given_back = partial(self._settle, [each], Outcome.RELEASE)
            self._copying.store(each, self._copies.beside(each.message()), given_back)

    def _look_at(self, doubtful: Sequence[Delivery], batch: Sequence[Delivery], *, counting: bool) -> None:
        """Have those of a batch leave that won't run, unless they are void, or go back anyway; queue the others.

        ``counting``: copies of others counted already when they came.
        """
        leaving: list[Delivery] = []
        try:
            leaving = [each for each in doubtful if self._guard.rejects(self._guard.read(each))]
            stay = [each for each in _without(batch, leaving) if each.generation == self._generation]
            if stay:
                self._queue_again(stay)
            # Of those that came back together one killed, mostly that with the highest count: it is to come again
            # behind the others, or in no order, so that they have their turn without it.
            for each in sorted(leaving, key=lambda each: (each.delivery_count, random.random())):  # noqa: S311 (no secret)
                if each.generation == self._generation and not self._closing:
                    self._admit(each)
        except Exception as error:
            self._flaw = f"an unexpected error, and its event stays unsettled: {describe_error(error)}"
            raise  # the timer logs it
        finally:
            with self._lock:
                self._looked_at -= 1
            self.copying_changed(at_once=not (leaving or counting))

    def _queue_again(self, deliveries: Sequence[Delivery]) -> None:
        """Queue what was looked at, as if it were delivered now."""
        with self._lock:
            late = self._circuit.is_open and not self._circuit.probing
            if self._closing:
                return
            if not late:
                self._queue.extend(deliveries)
            tokens = 0 if late else self._claim()
        for _ in range(tokens):
            self._start_token()
        if late:
            self._settle(deliveries, Outcome.RELEASE)

    def _counted(self, last: object) -> None:
        """Let tokens take again, if that was the last copy: what copies replaced was accepted some time ago."""
        with self._lock:
            if last is not self._last_counted or self._copying.busy:
                return
            self._counting = False
            self._bar()
            tokens = self._claim()
            self._clear_suspect()
        for _ in range(tokens):
            self._start_token()

    # -- what becomes of a delivery ---------------------------------------------------------------------------

    def _settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        handle = self._handle
        if handle is not None:
            handle.settle(batch, outcome)

    def _give_credit(self) -> None:
        """Tell the provider the window. Call it without the lock."""
        handle = self._handle
        if handle is not None:
            self._credit.give(handle)

    def _wanted(self) -> int:
        """The window."""
        with self._lock:
            if self._closing or (self._circuit.is_open and not self._circuit.probing):
                return 0
            if self._circuit.is_open:
                return 1 + min(len(self._failures), self._spare)
            return self._window.size + min(len(self._held), self._spare)

    def copying_changed(self, *, at_once: bool = False) -> None:
        """Copies were stored or given up; ``at_once``: there were none, and nothing has to become quiet."""
        tokens = 0
        with self._lock:
            self._changed.notify_all()
            if self._counting and not self._copying.busy and not self._looked_at:
                if at_once and self._last_counted is None:
                    self._counting = False
                    self._bar()
                    tokens = self._claim()
                else:
                    last = self._last_counted = object()
                    self._timer.call_later(_ALONE_SECONDS, partial(self._counted, last))
            self._clear_suspect()
        for _ in range(tokens):
            self._start_token()

    def _accept(self, batch: Sequence[Delivery], *, mixed: bool = True) -> None:
        """Accept; some of it may be of older generations, if it is ``mixed``."""
        self._settle(batch, Outcome.ACCEPT)
        with self._lock:
            if self._failures:
                for delivery in batch:
                    self._failures.pop(delivery)
            self._guard.settled(batch)
            present = self._generation
            count = sum([each.generation == present for each in batch]) if mixed or self._mixed else len(batch)
            # What leaves for the sake of a suspect makes no room beside it.
            grown = self._window.settled(count) if not self._occupied else False
        if grown:
            self._give_credit()

    def _succeeded(self, delivery: Delivery) -> None:
        """``on`` returned. Settled with others, when the token has nothing more to do or by the timer; see `_take`."""
        done = self._done
        done.append(delivery)
        if len(done) >= _FLUSH_COUNT:
            self._flush()
        if delivery is self._probe:
            self._resume()

    def _flush_late(self) -> None:
        self._flush_due = False
        self._flush()

    def _flush(self) -> None:
        """Accept what has returned. One thread at a time does; others leave to it what they have, and go on."""
        done = self._done
        while done:
            with self._lock:
                if self._settling:
                    return
                self._settling = True
            try:
                self._settle_returned([done.popleft() for _ in range(len(done))])
            finally:
                with self._lock:
                    self._settling = False
                    if not self._active:
                        self._mixed = False
                        self._changed.notify_all()
                        self._clear_suspect()
                    elif self._closing:
                        self._changed.notify_all()

    def _settle_returned(self, batch: Sequence[Delivery]) -> None:
        try:
            if self._circuit.watching:
                events = [_event_of(delivery) for delivery in batch]
                with self._lock:
                    for event in events:
                        self._circuit.succeeded(event)
            if batch:
                self._accept(batch, mixed=False)
        except Exception as error:  # noqa: BLE001 (whoever settles has to go on, and so has the timer)
            self._flaw = f"what returned can't be settled: {describe_error(error)}"
            with _quietly:
                _log.exception("%s: what returned can't be settled", self.descriptor.label)

    def wants_copy(self, delivery: Delivery, *, again: bool) -> bool:
        """Whether a copy is still to be sent: not of a void delivery, and no second try while stopping."""
        return delivery.generation == self._generation and not (again and self._closing)

    def copied(self, delivery: Delivery) -> None:
        """Its copy is confirmed."""
        self._accept([delivery])
        with self._lock:
            if self._storing is not delivery:
                return
            self._storing = None
            self._bar()
            tokens = self._claim()
        for _ in range(tokens):
            self._start_token()

    def _failed(self, delivery: Delivery, error: BaseException) -> None:
        """An attempt failed: decide on the next one, or on the dead-letter queue."""
        if self._cut or delivery.generation != self._generation:
            return  # given up by us, or void: the broker delivers it again
        # Not by isinstance, which asks the error itself for its class: that may raise.
        kind = type(error)
        if self._closing and issubclass(kind, ManagerStoppedError):
            return  # a send, by a manager that stops as this one does: no fault of the event's, which goes back
        failures = self._failures.get(delivery) or Failures.of(delivery.message())
        if issubclass(kind, (DecodeError, *self._retry.fatal)):
            self._never_succeeds(delivery, failures, error)
            return
        is_first = failures.attempts + failures.uncounted == 0
        wait = self._count_failure(delivery, failures, error)
        if wait is not None:
            self._try_again(delivery, failures, wait)
        elif failures.attempts >= self._retry.max_attempts:
            self._dead_letter(delivery, failures, "failed", error)
        else:
            attempt, delay = failures.attempts, self._retry.delay(failures.attempts)
            self._try_again(delivery, failures, delay)
            with _of_listeners:
                # The last attempt may be minutes away: what is wrong is said with the first one.
                with_trace = is_first or _log.isEnabledFor(logging.DEBUG)
                _log.warning(
                    "%s: attempt %d of %d of event %s failed, the next in %.1f s: %s",
                    self.descriptor.label, attempt, self._retry.max_attempts, delivery.message().message_id,
                    delay, describe_error(error), exc_info=traceback_of(error) if with_trace else None,
                )  # fmt: skip

    def _never_succeeds(self, delivery: Delivery, failures: Failures, error: BaseException) -> None:
        """Dead-letter what no further attempt can help.

        It says nothing of what the listener depends on: the circuit breaker doesn't count it, and where it was a probe,
        the next delivery is one.
        """
        failures.attempts += 1
        with self._lock:
            if delivery is self._probe:
                self._probe = None
        self._dead_letter(delivery, failures, "undecodable" if issubclass(type(error), DecodeError) else "fatal", error)

    # -- pausing ----------------------------------------------------------------------------------------------

    def _count_failure(self, delivery: Delivery, failures: Failures, error: BaseException) -> float | None:
        """Count a failed attempt. While the listener is paused it doesn't count: how long to wait then; else None."""
        if self._done:  # else some that have returned would count after it
            self._flush()
        text, event = describe_error(error), _event_of(delivery)
        with self._lock:
            back: list[Delivery] = []
            again = failures.attempts + failures.uncounted > 0
            opens = self._circuit.failed(event, text, again=again)
            is_open, is_probe = self._circuit.is_open, delivery is self._probe
            if is_open:
                failures.uncounted += 1
            else:
                failures.attempts += 1
            if not is_open:
                return None
            if opens:
                self._bar()
                back = self._drain_neighbours()
            if is_probe:
                self._probe = None
                self._circuit.error = text
            # What ran beside the one that opened it is back soon, in case that this is over soon.
            wait = self._circuit.wait() if opens or is_probe else self._retry.delay(1)
        if opens or is_probe:
            self._give_credit()
            self._timer.call_later(wait, self._probe_due)
        if opens:
            if back:
                self._settle(back, Outcome.RELEASE)
            with _quietly:
                _log.error(
                    "%s: paused, since almost everything fails; it tries single events until one succeeds: %s",
                    self.descriptor.label, text, exc_info=None if again else traceback_of(error),
                )  # fmt: skip
        return wait

    def _probe_due(self) -> None:
        """Let the next delivery be tried, whatever it is."""
        with self._lock:
            if self._closing or not self._circuit.is_open:
                return
            self._circuit.probing = True
            tokens = self._claim()
        self._give_credit()
        for _ in range(tokens):
            self._start_token()

    def _resume(self) -> None:
        """A probe has returned: consume as before, slowly at first."""
        with self._lock:
            self._probe = None
            self._circuit.close()
            self._window.restart()
            self._bar()
            tokens = self._claim()
        self._give_credit()
        for _ in range(tokens):
            self._start_token()
        with _quietly:
            _log.warning("%s: consumes again", self.descriptor.label)

    # -- another attempt, or the dead letters -----------------------------------------------------------------

    def _try_again(self, delivery: Delivery, failures: Failures, delay: float) -> None:
        """Hold the delivery, or send a delayed copy, or wait in place where the order matters."""
        ordered = self._ordered
        # A delayed copy in a broker that ends with this manager would be lost at a stop, which waits for what is held.
        can_delay = self._capabilities.send_delay and self._capabilities.retains
        with self._lock:
            if delivery.generation != self._generation:
                return
            # What is held widens the window, which takes a provider that can give one more message.
            room = delay <= HOLD_LIMIT and len(self._held) < self._spare and self._capabilities.exact_window
            hold = not self._closing and (ordered or not can_delay or room)
            if hold:
                self._failures[delivery] = failures
                if ordered:
                    self._waiting = True
                    self._bar()
                    self._queue.appendleft(delivery)
                else:
                    self._held[delivery] = None
        if hold:
            if ordered:
                self._timer.call_later(delay, lambda: self._due_in_place(delivery.generation))
            else:
                self._give_credit()
                self._timer.call_later(delay, lambda: self._due(delivery))
        elif ordered:  # stopping, and a copy would lose its place
            self._settle([delivery], Outcome.RELEASE)
        else:
            self._retry_by_copy(delivery, failures, delay)

    def _retry_by_copy(self, delivery: Delivery, failures: Failures, delay: float) -> None:
        wait = delay if self._capabilities.send_delay else 0.0
        message = delivery.message()
        hold = partial(self._hold_instead, delivery, failures, time.monotonic() + wait)
        if self._copies.can_retry(message):
            self._copying.store(delivery, self._copies.retry(message, failures, wait), hold)
        else:
            hold()

    def _hold_instead(self, delivery: Delivery, failures: Failures, due: float) -> None:
        """Hold what the broker can't store a retry copy of; when stopping, it goes back to the broker."""
        with self._lock:
            if delivery.generation != self._generation:
                return
            closing = self._closing
            if not closing:
                self._failures[delivery] = failures
                self._held[delivery] = None
        if closing:
            self._settle([delivery], Outcome.RELEASE)
        else:
            self._give_credit()
            self._timer.call_later(max(0.0, due - time.monotonic()), lambda: self._due(delivery))

    def _due(self, delivery: Delivery) -> None:
        with self._lock:
            if delivery not in self._held:
                return  # given back, or void
            self._held.pop(delivery)
            self._queue.append(delivery)
            tokens = self._claim()
        self._give_credit()
        for _ in range(tokens):
            self._start_token()

    def _due_in_place(self, generation: int) -> None:
        with self._lock:
            if generation != self._generation or self._closing:
                return
            self._waiting = False
            self._bar()
            tokens = self._claim()
        for _ in range(tokens):
            self._start_token()

    def _dead_letter(self, delivery: Delivery, failures: Failures, reason: str, error: BaseException) -> None:
        """Dead-letter a delivery. An ordered listener waits until that is stored: else it would be overtaken."""
        if self._ordered:
            with self._lock:
                if delivery.generation != self._generation:
                    return
                self._storing = delivery
                self._bar()
        self._copying.store(delivery, self._copies.dead_letter(delivery.message(), failures, reason, error))
        with _of_listeners:
            _log.error(
                "%s: event %s goes to the dead-letter queue %s as %s (attempts: %d); %s: %s",
                self.descriptor.label, delivery.message().message_id, self._copies.dead_letters, reason,
                failures.attempts, NEXT_STEPS[reason], describe_error(error),
                exc_info=None if issubclass(type(error), DecodeError | CrashLoopError) else traceback_of(error),
            )  # fmt: skip


def _without(batch: Sequence[Delivery], others: Sequence[Delivery]) -> list[Delivery]:
    apart = {id(each) for each in others}
    return [each for each in batch if id(each) not in apart]


def _event_of(delivery: Delivery) -> Hashable:
    return delivery.message().message_id or Identity(delivery)
