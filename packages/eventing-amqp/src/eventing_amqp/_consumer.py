"""One subscription, through its generations."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from eventing_amqp import _backoff, _errors
from eventing_amqp._address import Node
from eventing_amqp._engine import State
from eventing_amqp._generation import Generation
from eventing_amqp._message import AmqpDelivery
from eventing_core.errors import EventingError, QueueNameConflictError, SubscriptionError
from eventing_core.provider import Delivery, Handle, Outcome, Subscriber, Subscription, SubscriptionState

if TYPE_CHECKING:
    from eventing_amqp._connection import Connection
    from eventing_amqp._provisioning import Broker

_log = logging.getLogger("eventing.amqp")

_STATES = {Outcome.ACCEPT: State.ACCEPTED, Outcome.RELEASE: State.RELEASED}

#: Over all providers and generations: a number names one delivery for ever.
_numbers = itertools.count(1)

#: Between attempts to get the queue that a predecessor of the same server name still has, in seconds.
_KNOCK = 1.0


class AmqpConsumer(Handle):
    """A receiver link, attached again in each generation.

    `settle`, `window` and `close` may be called on any thread; the rest runs on the I/O thread.

    Attributes:
        subscription: what it consumes.
    """

    def __init__(self, connection: Connection, subscription: Subscription, subscriber: Subscriber) -> None:
        self.subscription = subscription
        self._connection = connection
        self._subscriber = subscriber
        self._generation: Generation | None = None
        self._broker: Broker | None = None
        self._node: Node | None = None
        self._dead: Node | None = None
        self._link: int | None = None
        self._active = False
        self._was_active = False
        self._failed = False
        self._attempt = 0
        #: The generation that the subscriber sees: a link attached anew within one connection begins one, too.
        self._attachment = 0
        self._retry = _backoff.Backoff(0.2, 10.0)
        self._in_use_since = 0.0
        self._size = 0
        #: Delivered and not settled: the engine's deliveries by our numbers.
        self._out: dict[int, int] = {}
        self._closing: Future[None] | None = None

    # -- any thread ---------------------------------------------------------------------------------------------------

    def settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle, on the I/O thread, soon."""
        self._connection.loop.post(self._settle, (batch, _STATES[outcome]))

    def window(self, size: int) -> None:
        """Set the window, on the I/O thread, soon."""
        self._connection.loop.post(self._set_window, size)

    def close(self) -> Future[None]:
        """Detach in order; what is unsettled goes back, uncounted."""
        future: Future[None] = Future()
        self._connection.hand_over_or(self._close, future, lambda: _resolve(future))
        return future

    # -- settling and credit ------------------------------------------------------------------------------------------

    def _settle(self, batch_and_state: tuple[Sequence[Delivery], int]) -> None:
        batch, state = batch_and_state
        generation = self._generation
        if generation is None:
            return
        out, lib, forget = self._out, generation.lib, generation.received.discard
        update, settle = lib.pn_delivery_update, lib.pn_delivery_settle
        for delivery in batch:
            pointer = out.pop(delivery.number, None) if isinstance(delivery, AmqpDelivery) else None
            if pointer is not None:
                forget(pointer)
                update(pointer, state)
                settle(pointer)
        if state == State.RELEASED:
            # Credit that the broker sees first would be used for what is behind the ones given back.
            generation.frame()
        self._connection.dirty.add(self)

    def _set_window(self, size: int) -> None:
        if self._active:
            self._size = size
            self._connection.dirty.add(self)

    def flush(self) -> None:
        """Give the credit that the window allows, in few frames."""
        generation, link, size = self._generation, self._link, self._size
        if generation is None or link is None or not self._active:
            return
        # Below zero where it was lowered while deliveries were on their way.
        credit: int = generation.lib.pn_link_credit(link)
        free = size - len(self._out) - credit
        # Less than a quarter waits until there is more, or until nothing is left to come.
        if free > 0 and (free * 4 >= size or credit <= 0):
            generation.lib.pn_link_flow(link, free)
        elif free < 0 < credit:
            # The specification (part 2, section 2.6.7) lets receivers lower the credit.
            generation.lib.pn_link_flow(link, -min(-free, credit))

    # -- attaching ----------------------------------------------------------------------------------------------------

    def attach(self, generation: Generation, broker: Broker, node: Node, dead: Node | None) -> None:
        """There is a connection."""
        self._generation = generation
        self._broker = broker
        self._node = node
        self._dead = dead
        self._begin()

    def lost(self, error: Exception) -> None:
        """The connection is gone, and all that was out is void."""
        self._detached()
        self._generation = self._broker = None
        if self._closing is not None:
            self._ended()
        elif not self._failed or self._was_active:
            self._tell(SubscriptionState.INACTIVE, error)

    def _detached(self) -> None:
        generation = self._generation
        if generation is not None:
            generation.received.difference_update(self._out.values())
        self._attempt += 1
        self._link = None
        self._active = False
        self._out.clear()
        self._size = 0

    def _begin(self) -> None:
        """Make the queues, the dead letters' first, then attach."""
        generation, broker, node, dead = self._generation, self._broker, self._node, self._dead
        finished = self._closing is not None or (self._failed and not self._was_active)
        if finished or generation is None or broker is None or node is None or node.queue is None:
            return
        self._attempt += 1
        attempt, queue = self._attempt, node.queue

        def attach(error: SubscriptionError | None) -> None:
            if attempt != self._attempt:
                return
            if error is not None:
                self._refused(error)
            else:
                self._link = generation.receiver(node.address, node.capability, self)

        def make(error: SubscriptionError | None) -> None:
            if attempt != self._attempt:
                return
            if error is not None:
                self._refused(error)
            else:
                broker.ensure(queue, attach)

        if dead is not None and dead.queue is not None:
            broker.ensure(dead.queue, make)
        else:
            make(None)

    def _refused(self, error: SubscriptionError) -> None:
        if not self._was_active:
            self._failed = True
            self._tell(SubscriptionState.FAILED, error)
            return
        self._tell(
            SubscriptionState.FAILED if isinstance(error, QueueNameConflictError) else SubscriptionState.INACTIVE, error
        )
        self._again(self._retry.next())

    def _again(self, delay: float) -> None:
        attempt = self._attempt
        self._connection.loop.call_in(delay, lambda: self._begin() if attempt == self._attempt else None)

    # -- the link's handler -------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The queue is ours to consume from."""
        if self._closing is not None or self._active:
            return
        self._active = self._was_active = True
        self._attachment += 1
        self._failed = False
        self._in_use_since = 0.0
        self._retry.reset()
        self._tell(SubscriptionState.ACTIVE, None)

    def flowed(self) -> None:
        """A receiver gives credit, and gets none."""

    def arrived(self) -> None:
        """Hand over what has come."""
        generation, link = self._generation, self._link
        if generation is None or link is None:
            return
        taken = generation.receive(link)
        if not self._active:
            # They go back with the link.
            generation.received.difference_update([pointer for pointer, _ in taken])
            return
        if not taken:
            return
        number, out, generation_number = _numbers.__next__, self._out, self._attachment
        batch: list[AmqpDelivery] = []
        for pointer, raw in taken:
            delivery = AmqpDelivery(raw, number(), generation_number)
            out[delivery.number] = pointer
            batch.append(delivery)
        try:
            self._subscriber.deliver(batch)
        except Exception:  # noqa: BLE001 (must not end the I/O thread)
            _log.exception("%s: deliveries could not be handed over", self.subscription.destination)

    def closed(self, condition: tuple[str, str] | None) -> None:
        """The broker refused or closed the link, or agreed to our closing it."""
        was_active = self._active
        self._detached()
        node = self._node
        if self._closing is not None or node is None or node.queue is None:
            self._ended()
            return
        if not was_active and _errors.is_consumer_limit((condition or ("", ""))[1]):
            self._in_use(node)
            return
        error = _errors.of_attach(node.queue.name, node.queue.address, condition)
        if was_active:
            # The queue may have been deleted, and the dead letters' as well.
            if self._broker is not None:
                self._broker.forget(node.queue)
                if self._dead is not None and self._dead.queue is not None:
                    self._broker.forget(self._dead.queue)
            _log.warning("%s; attaching again", error)
            self._tell(SubscriptionState.INACTIVE, error)
            self._again(self._retry.next())
        else:
            self._refused(error)

    def _in_use(self, node: Node) -> None:
        """Someone has the queue: a second process of that name, or what the broker takes for a living predecessor."""
        now = time.monotonic()
        self._in_use_since = self._in_use_since or now
        limit = self._connection.config.server_name_timeout
        if now - self._in_use_since < limit:
            self._again(_KNOCK)
            return
        name = node.queue.name if node.queue else node.address
        error = _errors.of_server_name(name, self.subscription.destination.member, limit)
        if not self._failed:
            self._failed = True
            self._tell(SubscriptionState.FAILED, error)
        if self._was_active:
            self._again(_KNOCK)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _close(self, future: Future[None]) -> None:
        if self._closing is not None:
            first = self._closing
            first.add_done_callback(lambda _: _resolve(future))
            return
        self._closing = future
        self._size = 0
        if self._generation is None or self._link is None:
            self._ended()
        else:
            self._active = False
            self._generation.close_link(self._link)

    def _ended(self) -> None:
        self._detached()
        self._connection.forget(self)
        if self._closing is not None:
            _resolve(self._closing)

    def finish(self) -> None:
        """The provider is closed."""
        if self._closing is None:
            self._closing = Future()
        self._ended()

    def _tell(self, state: SubscriptionState, error: EventingError | Exception | None) -> None:
        try:
            self._subscriber.state(state, self._attachment, error)
        except Exception:  # noqa: BLE001 (must not end the I/O thread)
            _log.exception("%s: its state could not be handed over", self.subscription.destination)


def _resolve(future: Future[None]) -> None:
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_result(None)
