"""One subscription, through the generations of a connection."""

from __future__ import annotations

import itertools
import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from eventing_core.errors import (
    QueueNameConflictError,
    ServerNameInUseError,
    SubscriptionError,
)
from eventing_core.provider._interface import Delivery, Handle, Outcome, Subscriber, Subscription, SubscriptionState
from eventing_core.provider.sockets._backoff import Backoff
from eventing_core.provider.sockets._carrier import Carrier
from eventing_core.provider.sockets._generation import Generation
from eventing_core.provider.sockets._loop import quietly
from eventing_core.provider.sockets._said import Said
from eventing_core.provider.sockets._session import Session

G = TypeVar("G", bound=Generation)
S = TypeVar("S", bound=Session)

_log = logging.getLogger("eventing.sockets")

#: Waits before a queue that could not be had is tried again, in seconds.
_RETRY = (0.2, 10.0)

#: Between attempts to get the queue that a predecessor of the same server name still has, in seconds.
_KNOCK = 1.0

#: Over all providers and generations: a number names one delivery forever.
next_number = itertools.count(1).__next__


class SocketConsumer(Handle, Generic[G, S]):
    """Creates its queues and attaches to them, again in each generation, and notifies its subscriber.

    `settle`, `window` and `close` may be called on any thread; the rest runs on the I/O thread. A transport derives
    from it and says how to attach, settle and give credit.

    Attributes:
        subscription: what it consumes.
        move: has it go on over a connection of its own; on the I/O thread, with its connection lost. None: it can't.
        batches: how often deliveries were handed over.
    """

    def __init__(self, connection: Carrier, subscription: Subscription, subscriber: Subscriber) -> None:
        self.subscription = subscription
        self._connection = connection
        self._subscriber = subscriber
        self._generation: G | None = None
        self._session: S | None = None
        self._active = False
        self._was_active = False
        self._failed = False
        self._attempt = 0
        #: The generation that the subscriber sees: what is attached anew within one connection begins one, too.
        self._attachment = 0
        self._retry = Backoff(*_RETRY)
        self._in_use_since = 0.0
        self._not_before = 0.0
        self._size = 0
        self._closing: Future[None] | None = None
        self._said = Said(subscription.destination)
        self._flaw = ""
        self.move: Callable[[], None] | None = None
        self.batches = 0

    # -- what a transport is -------------------------------------------------------------------------------------------

    @abstractmethod
    def attach_now(self, generation: G, session: S) -> None:
        """Attach: the queues are there. Ends with `attached`, `refused` or `in_use`."""

    @abstractmethod
    def detach_now(self, generation: G) -> bool:
        """Detach properly and return unsettled deliveries; `detached` follows. False: there is nothing to detach."""

    @abstractmethod
    def settle_now(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle those deliveries that are of the present attachment."""

    @abstractmethod
    def flush(self) -> None:
        """Let as much come as the window allows; again when the connection is `dirty` with this consumer."""

    @abstractmethod
    def forget(self) -> None:
        """The attachment is lost: its unsettled deliveries are invalid."""

    # -- any thread ---------------------------------------------------------------------------------------------------

    @property
    def subscriber(self) -> Subscriber:
        """Who gets it."""
        return self._subscriber

    @property
    def flaw(self) -> str:
        """What is wrong while it is attached."""
        return self._flaw

    def settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle, on the I/O thread, soon."""
        self._connection.loop.post(self._settle, (batch, outcome))

    def window(self, size: int) -> None:
        """Set the window, on the I/O thread, soon."""
        self._connection.loop.post(self._set_window, size)

    def close(self) -> Future[None]:
        """Detach properly; unsettled deliveries are returned, uncounted."""
        future: Future[None] = Future()
        self._connection.hand_over_or(self._close, future, lambda: _resolve(future))
        return future

    # -- settling and credit ------------------------------------------------------------------------------------------

    def _settle(self, batch_and_outcome: tuple[Sequence[Delivery], Outcome]) -> None:
        if self._generation is not None:
            self.settle_now(*batch_and_outcome)
            self._connection.dirty.add(self)

    def _set_window(self, size: int) -> None:
        if self._active:
            self._size = size
            self._connection.dirty.add(self)

    def hand_over(self, batch: Sequence[Delivery]) -> None:
        """Give deliveries to the subscriber."""
        self.batches += 1
        if self._flaw:
            self._flaw = ""
        try:
            self._subscriber.deliver(batch)
        except Exception:  # noqa: BLE001 (must not end the I/O thread)
            with quietly:
                _log.exception("%s: deliveries could not be handed over", self.subscription.destination)

    # -- a queue that gives nothing -----------------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """Address and port of its end of the connection."""
        try:
            host, port = self._generation.sock.getsockname()[:2] if self._generation is not None else ("", 0)
        except OSError:
            return ""
        return f"{host}:{port}"

    def stalls(self, text: str) -> None:
        """Its queue has messages that it doesn't get."""
        if text != self._flaw:
            self._flaw = text
            with quietly:
                _log.warning("%s: %s", self.subscription.destination, text)

    def hoards(self, numbers: Sequence[int]) -> None:
        """The broker counts messages as delivered to it, and it has none."""
        self.stalls(f"the broker counts {len(numbers)} messages as delivered to this listener, and none came")

    # -- attaching ----------------------------------------------------------------------------------------------------

    def attach(self, generation: G, session: S) -> None:
        """There is a connection."""
        self._generation = generation
        self._session = session
        wait = self._not_before - time.monotonic()
        if wait > 0:
            # Where a refusal ends the connection, to try again at once would end each one.
            self._again(wait)
        else:
            self._begin()

    def lost(self, error: Exception) -> None:
        """The connection is lost, and its unsettled deliveries are invalid."""
        self._detach()
        self._generation = self._session = None
        if self._closing is not None:
            self._end()
        elif not self._failed:
            # Else why it can't be had is more telling: over STOMP the loss is the refusal's.
            self._tell(SubscriptionState.INACTIVE, error)

    def _detach(self) -> None:
        self.forget()
        self._attempt += 1
        self._active = False
        self._size = 0

    def _begin(self) -> None:
        """Make the queues, then attach."""
        generation, session = self._generation, self._session
        finished = self._closing is not None or (self._failed and not self._was_active)
        if finished or generation is None or session is None:
            return
        self._attempt += 1
        attempt = self._attempt

        def ready(error: SubscriptionError | None) -> None:
            if attempt != self._attempt:
                return
            if error is not None:
                self.refused(error)
            else:
                self.attach_now(generation, session)

        session.prepare(self.subscription, ready)

    def attached(self) -> None:
        """The subscription is attached to its queue."""
        if self._closing is not None or self._active:
            return
        self._active = self._was_active = True
        self._attachment += 1
        self._failed = False
        self._in_use_since = 0.0
        self._retry.reset()
        self._tell(SubscriptionState.ACTIVE, None)
        self._said.consumes()

    def refused(self, error: SubscriptionError) -> None:
        """Attaching failed: final before it was first active, tried again afterwards."""
        self._detach()
        if not self._was_active:
            self._failed = True
            self._tell(SubscriptionState.FAILED, error)
            return
        final = isinstance(error, QueueNameConflictError)
        if not final:
            self._tell(SubscriptionState.INACTIVE, error)
        elif not self._failed:
            self._failed = True
            self._tell(SubscriptionState.FAILED, error)
        self._said.refused(error, is_told=final)
        self._again(self._retry.next())

    def detached(self, error: SubscriptionError) -> None:
        """The broker detached us, or agreed to our detaching."""
        was_active = self._active
        self._detach()
        if self._closing is not None:
            self._end()
        elif not was_active:
            self.refused(error)
        else:
            # A queue may have been deleted.
            if self._session is not None:
                self._session.forget(self.subscription)
            self._tell(SubscriptionState.INACTIVE, error)
            self._said.interrupted(error)
            self._again(self._retry.next())

    def in_use(self, queue: str) -> None:
        """The queue is in use: by a second process of that name, or by a predecessor that is considered alive."""
        self._detach()
        now = time.monotonic()
        self._in_use_since = self._in_use_since or now
        limit = self._connection.config.server_name_timeout
        member = self.subscription.destination.member
        if now - self._in_use_since < limit:
            self._said.waits(queue, member, limit)
            self._again(_KNOCK)
            return
        if not self._failed:
            self._failed = True
            text = (
                f"another process consumes from the queue {queue!r} under the server_name {member!r} (waited "
                f"{limit:g} s). Give each process its own server_name (EVENTING_SERVER_NAME); the default is the "
                "host's name."
            )
            error = ServerNameInUseError(text)
            self._tell(SubscriptionState.FAILED, error)
            self._said.refused(error, is_told=True)
        if self._was_active:
            self._again(self._retry.next())

    def _again(self, delay: float) -> None:
        attempt = self._attempt
        self._not_before = time.monotonic() + delay
        self._connection.loop.call_in(delay, lambda: self._begin() if attempt == self._attempt else None)

    # -- moving -------------------------------------------------------------------------------------------------------

    def retire(self) -> None:
        """A successor takes over, on another connection: tell nobody anything any more."""
        self._detach()
        self._generation = self._session = None
        self._connection.forget(self)

    def succeed(self, other: SocketConsumer[G, S]) -> None:
        """Go on where one that has retired was: its subscriber sees one subscription."""
        self._attachment = other._attachment
        self._was_active = other._was_active
        self._failed = other._failed
        self._flaw = other._flaw
        self._said = other._said

    # -- the end ------------------------------------------------------------------------------------------------------

    def _close(self, future: Future[None]) -> None:
        if self._closing is not None:
            self._closing.add_done_callback(lambda _: _resolve(future))
            return
        self._closing = future
        self._size = 0
        if self._generation is None or not self.detach_now(self._generation):
            self._end()
        else:
            self._active = False

    def _end(self) -> None:
        self._detach()
        self._generation = self._session = None
        self._connection.forget(self)
        if self._closing is not None:
            _resolve(self._closing)

    def finish(self) -> None:
        """The provider is closed."""
        if self._closing is None:
            self._closing = Future()
        if not self._attachment and not self._failed:
            self._failed = True
            self._tell(SubscriptionState.FAILED, SubscriptionError("the provider is closed"))
        self._end()

    def _tell(self, state: SubscriptionState, error: Exception | None) -> None:
        try:
            self._subscriber.state(state, self._attachment, error)
        except Exception:  # noqa: BLE001 (must not end the I/O thread)
            with quietly:
                _log.exception("%s: its state could not be handed over", self.subscription.destination)


def _resolve(future: Future[None]) -> None:
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_result(None)
