"""What the in-memory broker holds, and what becomes of it.

Plain data: no locks and no threads. The engine guards it by its lock, and nothing here calls anybody: callbacks are put
into the outbox.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from eventing_core.errors import ConnectionLostError, SendError, SendRejectedError, SendTimeoutError, UnroutedError
from eventing_core.memory._address import Address, Waiting
from eventing_core.memory._connection import Connection, Consumer
from eventing_core.memory._outbox import Outbox
from eventing_core.memory._queue import MemoryDelivery, Queue
from eventing_core.provider import Destination, Message, SubscriptionState
from eventing_core.provider._timer import Alarm

CONNECTED: tuple[bool, None] = (True, None)

Key = tuple[str, str, str, str]


def key_of(destination: Destination) -> Key:
    """By what a queue is known: durability is no part of a name."""
    return destination.kind, destination.topic, destination.group, destination.member


class Store:
    """Addresses, queues, and sends that wait for room.

    Args:
        limit: messages that a queue holds.
        outbox: takes callbacks, in the order of what happened.
        call_at: ``call_at(when, call)``: call later, under the engine's lock.
        cancel: don't.
        sent: whom to wake when a send that waited has its answer.

    Attributes:
        running: the broker is up.
        addresses: by destination.
        queues: by destination.
        stalled: addresses at which something waits, in the order in which it began to.
    """

    def __init__(
        self,
        limit: int,
        outbox: Outbox,
        call_at: Callable[[float, Callable[[], None]], Alarm],
        cancel: Callable[[Alarm], None],
        sent: threading.Condition,
    ) -> None:
        self.running = True
        self.addresses: dict[Key, Address] = {}
        self.queues: dict[Key, Queue[Consumer]] = {}
        self.stalled: dict[Address, None] = {}
        self._limit = limit
        self._outbox = outbox
        self._call_at = call_at
        self._cancel = cancel
        self._sent = sent

    # Sending

    def store(self, address: Address, batch: Sequence[Message], delay: float) -> None:
        """Put messages into all queues of an address, after so many seconds."""
        fresh = address.without_duplicates(batch)
        for queue in address.queues:
            queue.stored += len(fresh)
            if delay > 0:
                self._call_at(time.monotonic() + delay, partial(self._due, queue, queue.restarts, fresh))
            else:
                queue.append(fresh)
                if queue.consumers:
                    self.dispatch(queue)

    def _due(self, queue: Queue[Consumer], restarts: int, messages: Sequence[Message]) -> None:
        if queue.alive:
            left = messages if queue.restarts == restarts else [message for message in messages if message.durable]
            queue.stored -= len(messages) - len(left)
            queue.append(left)
            self.dispatch(queue)

    def wait(self, address: Address, waiting: Waiting) -> None:
        """Let a batch wait for room; what there is room for is stored at once."""
        address.waiting.append(waiting)
        waiting.connection.pending += 1
        self.stalled[address] = None
        self._admit_to(address)
        if waiting.next < len(waiting.batch) and waiting.deadline < threading.TIMEOUT_MAX:
            waiting.alarm = self._call_at(waiting.deadline, partial(self._expire, address, waiting))

    def admit(self) -> None:
        """Store what there is room for of all that waits."""
        for address in tuple(self.stalled):
            self._admit_to(address)

    def _admit_to(self, address: Address) -> None:
        """Store what there is room for of what waits, in its order."""
        while self.running and address.waiting:
            waiting = address.waiting[0]
            if waiting.deadline <= time.monotonic():
                self._fail(address, waiting, _timed_out(address))
                continue
            room = address.room(self._limit)
            if room <= 0:
                return
            part = waiting.batch[waiting.next : waiting.next + room]
            routed = bool(address.queues)
            if routed:
                self.store(address, part, waiting.delay)
            self._finish(address, waiting, len(part), None if routed else unrouted(address))

    def _expire(self, address: Address, waiting: Waiting) -> None:
        if waiting.next < len(waiting.batch):
            self._fail(address, waiting, _timed_out(address))
            self.admit()

    def withdraw(self, connection: Connection) -> None:
        """Fail what a connection that is closed has waiting."""
        for address in tuple(self.stalled):
            for waiting in tuple(address.waiting):
                if waiting.connection is connection:
                    text = f"the provider was closed before there was room for a message in {address.destination}"
                    self._fail(address, waiting, ConnectionLostError(text))
        self.admit()

    def _fail(self, address: Address, waiting: Waiting, error: SendError) -> None:
        self._finish(address, waiting, len(waiting.batch) - waiting.next, error)

    def _finish(self, address: Address, waiting: Waiting, count: int, error: SendError | None) -> None:
        """Tell of the next ``count`` messages of a batch that waits what became of them."""
        for index in range(waiting.next, waiting.next + count):
            # An exception object of its own for each: they are raised on different threads.
            self._outbox.put(waiting.done, index, error and type(error)(*error.args))
        waiting.next += count
        if waiting.next == len(waiting.batch):
            address.waiting.remove(waiting)
            if not address.waiting:
                del self.stalled[address]
            if waiting.alarm is not None:
                self._cancel(waiting.alarm)
            waiting.connection.pending -= 1
            self._sent.notify_all()

    # Subscriptions

    def attach(self, consumer: Consumer) -> None:
        """Give a consumer its queue, which is made where there is none."""
        subscription = consumer.subscription
        if subscription.dead_letter is not None:
            self.queue(subscription.dead_letter)
        queue = self.queue(subscription.destination)
        queue.consumers.append(consumer)
        queue.exclusive = queue.exclusive or subscription.exclusive
        consumer.queue = queue
        self._outbox.put(consumer.subscriber.state, SubscriptionState.ACTIVE, consumer.connection.generation, None)

    def _release(self, consumer: Consumer, *, counted: bool) -> None:
        """Take a consumer from its queue, and give back what is out."""
        queue, consumer.queue = consumer.queue, None
        if queue is None:
            return
        queue.consumers.remove(consumer)
        queue.exclusive = any(other.subscription.exclusive for other in queue.consumers)
        queue.give_back(consumer.out, counted=counted)
        consumer.out = set()
        consumer.size = 0
        self.dispatch(queue)

    def detach(self, consumer: Consumer) -> Future[None]:
        """Take a consumer away for good. The future is done when everything that it was handed is handled."""
        self._release(consumer, counted=False)
        consumer.connection.consumers.remove(consumer)
        future: Future[None] = Future()
        consumer.closed = future
        self._outbox.put(future.set_result, None)
        return future

    def lose(self, connection: Connection, error: Exception) -> None:
        """Lose a connection: what is out counts as delivered, and goes back."""
        self._outbox.put(connection.observer, *_lost(error))
        for consumer in connection.consumers:
            # First, so that none gets what another one of this connection gives back.
            consumer.size = 0
        for consumer in connection.consumers:
            self._release(consumer, counted=True)
            self._outbox.put(consumer.subscriber.state, SubscriptionState.INACTIVE, connection.generation, error)

    def regain(self, connection: Connection) -> None:
        """Have a connection again, in a new generation."""
        connection.generation += 1
        self._outbox.put(connection.observer, *CONNECTED)
        for consumer in connection.consumers:
            self.attach(consumer)

    # Queues

    def drop_volatile(self) -> None:
        """Go down: forget what isn't durable. Nothing is at consumers any more."""
        for key, queue in tuple(self.queues.items()):
            if queue.durable:
                queue.drop_volatile()
            else:
                queue.alive = False
                del self.queues[key]
        for address in self.addresses.values():
            address.queues = [queue for queue in address.queues if queue.alive]

    def address(self, destination: Destination) -> Address:
        """The address of a destination."""
        return self.addresses.setdefault(key_of(destination), Address(destination))

    def queue(self, destination: Destination) -> Queue[Consumer]:
        """The queue of a destination, and its address."""
        key = key_of(destination)
        queue = self.queues.get(key)
        if queue is None:
            queue = self.queues[key] = Queue(destination)
            self.address(destination).queues.append(queue)
            if destination.kind == "queue":
                self.address(Destination(destination.topic)).queues.append(queue)
        return queue

    def dispatch(self, queue: Queue[Consumer]) -> None:
        """Hand out what the windows allow."""
        if not self.running:
            return
        for consumer, batch in queue.share_out():
            generation = consumer.connection.generation
            for delivery in batch:
                delivery.generation = generation
            consumer.out.update(batch)
            self._outbox.put(self._deliver, consumer, batch)

    @staticmethod
    def _deliver(consumer: Consumer, batch: list[MemoryDelivery]) -> None:
        if consumer.closed is None:
            consumer.subscriber.deliver(batch)


def _lost(error: Exception) -> tuple[bool, Exception]:
    return False, error


def refused(address: Address) -> SendRejectedError:
    """For an address that takes nothing."""
    return SendRejectedError(f"the in-memory broker refuses sends to {address.destination}")


def unrouted(address: Address) -> UnroutedError:
    """For an address without a queue."""
    return UnroutedError(
        f"{address.destination} has no queue: no listener of it has ever started. Start one before sending"
    )


def _timed_out(address: Address) -> SendTimeoutError:
    return SendTimeoutError(f"no room in a queue of {address.destination} within the time limit")
