"""The in-memory broker's state and algorithms.

**Threads.** One lock guards all state, is held for plain data work alone, and no callback runs under
it. Callbacks (deliveries, states, confirmations) are put into the outbox under the lock, hence in the
order of what happened, and called by `Outbox.flush`: on whatever thread is inside the broker, one
thread at a time. A thread that finds another one flushing goes its way, and the other takes its
callbacks along: nobody ever waits for a callback, so a callback may call the broker again (its own
callbacks come after it returned), and neither a cycle of brokers and managers nor a listener that
sends to itself can deadlock. What this asks of the caller: to hold no lock that its callbacks take.

It also makes a send cost no change of thread: the sender itself hands the message to the subscriber. The main thread
is the exception: there a signal handler may raise between any two steps, and would leave half of a change behind. So
what the main thread asks for is done by another thread; it waits for that, but not for callbacks. See `Shield`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from functools import partial

from eventing_core.errors import (
    BrokerConnectionError,
    ConnectionLostError,
    SendError,
    SendRejectedError,
    SendTimeoutError,
    ServerNameInUseError,
    UnroutedError,
)
from eventing_core.memory._connection import Connection
from eventing_core.memory._consumer import Consumer
from eventing_core.memory._outbox import Outbox
from eventing_core.memory._queue import Address, MemoryDelivery, Queue, Waiting
from eventing_core.memory._shield import Shield
from eventing_core.memory._timer import Timer
from eventing_core.provider import (
    Delivery,
    Destination,
    Done,
    Message,
    Observer,
    Outcome,
    Subscriber,
    Subscription,
    SubscriptionState,
)

_CONNECTED: tuple[bool, None] = (True, None)

Key = tuple[str, str, str, str]


def _key(destination: Destination) -> Key:
    # Durability is no part of a name.
    return destination.kind, destination.topic, destination.group, destination.member


class Engine:
    """What a `MemoryBroker` does, for providers. Thread-safe; nothing here blocks but `disconnect_for_good`."""

    def __init__(self, name: str, max_messages: int) -> None:
        self._name = name
        self._limit = max_messages
        self.reset()

    def reset(self) -> None:
        """Begin empty; also in a child after a fork: the parent's messages are its own, its locks may be held."""
        self._lock = threading.Lock()
        self._sent = threading.Condition(self._lock)
        self._timer = Timer()
        self._outbox = Outbox()
        self._shield = Shield(self._call_back, lambda: not self._connections)
        self._addresses: dict[Key, Address] = {}
        self._queues: dict[Key, Queue] = {}
        self._stalled: dict[Address, None] = {}
        self._connections: list[Connection] = []
        self._running = True
        #: Why it isn't; empty when it is.
        self.down = ""

    def _call_back(self) -> None:
        self._outbox.flush()

    # Connections

    def connect(self, observer: Observer) -> Connection:
        """Open a connection."""
        return self._shield.call(partial(self._connect, observer))

    def _connect(self, observer: Observer) -> Connection:
        with self._lock:
            if not self._running:
                raise BrokerConnectionError(self.down)
            connection = Connection(observer)
            self._connections.append(connection)
            self._timer.start()
            self._outbox.put(observer, *_CONNECTED)
        return connection

    def reconnect(self, connection: Connection) -> None:
        """Lose a connection, with everything that is out counted as delivered, and make it anew."""
        self._shield.call(partial(self._reconnect, connection))

    def _reconnect(self, connection: Connection) -> None:
        with self._lock:
            if not self._running or connection not in self._connections:
                return
            self._lose(connection, BrokerConnectionError("the in-memory broker dropped the connection"))
            self._regain(connection)

    def disconnect_for_good(self, connection: Connection, timeout: float) -> None:
        """Close a connection: let sends that wait finish for so long, then fail them, and give back what is out."""
        deadline = time.monotonic() + timeout
        with self._lock:
            if connection not in self._connections:
                return
            connection.open = False
            self._sent.wait_for(lambda: not connection.pending, timeout)
        closed, ending = self._shield.call(partial(self._disconnect, connection))
        if ending is not None and ending is not threading.current_thread():
            ending.join()
        for future in closed:
            # Another thread may be calling back just now.
            try:
                future.result(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                break
        self._shield.end()

    def _disconnect(self, connection: Connection) -> tuple[list[Future[None]], threading.Thread | None]:
        with self._lock:
            if connection not in self._connections:  # another thread came first
                return [], None
            self._withdraw(connection)
            closed = [self._detach(consumer) for consumer in tuple(connection.consumers)]
            self._connections.remove(connection)
            # Under the lock, as `connect` starts it; its thread may want the lock, so it is waited for without.
            return closed, None if self._connections else self._timer.stop()

    def serves_others(self, connection: Connection | None) -> bool:
        """Whether another connection is open."""
        with self._lock:
            return any(other is not connection for other in self._connections)

    def is_up(self, connection: Connection) -> bool:
        """Whether sends and deliveries go on."""
        return self._running and connection.open

    # The life of the broker

    def cut(self) -> None:
        """Lose all connections; what is in the queues stays."""
        self._shield.call(self._cut)
        self._shield.end()

    def _cut(self) -> None:
        with self._lock:
            self._go("can't be reached")

    def stop(self) -> None:
        """Go down: connections are lost, and with them what isn't durable."""
        self._shield.call(self._stop)
        self._shield.end()

    def _stop(self) -> None:
        with self._lock:
            self._go("is stopped")
            for key, queue in tuple(self._queues.items()):
                if queue.durable:
                    queue.drop_volatile()
                else:
                    queue.alive = False
                    del self._queues[key]
            for address in self._addresses.values():
                address.queues = [queue for queue in address.queues if queue.alive]

    def _go(self, why: str) -> None:
        """Lose all connections, once, until `start`."""
        self.down = self.down or f"the in-memory broker {self._name!r} {why}"
        if self._running:
            self._running = False
            for connection in self._connections:
                self._lose(connection, BrokerConnectionError(self.down))

    def start(self) -> None:
        """Come up: connections and subscriptions are made anew, and sends that waited are carried out."""
        self._shield.call(self._start)
        self._shield.end()

    def _start(self) -> None:
        with self._lock:
            if self._running:
                return
            self._running = True
            self.down = ""
            for connection in self._connections:
                self._regain(connection)
            self._admit()

    def refuse(self, destination: Destination, *, refused: bool) -> None:
        """Refuse sends to a destination, or take them again."""
        with self._lock:
            self._address(destination).refused = refused

    def messages(self, destination: Destination) -> list[Message]:
        """What a queue holds, in its order, at consumers or not."""
        with self._lock:
            queue = self._queues.get(_key(destination))
            return queue.messages() if queue else []

    def unhandled(self) -> dict[Destination, int]:
        """How many messages each listener's queue holds, those that wait for their delay included."""
        with self._lock:
            queues = [queue for queue in self._queues.values() if queue.destination.kind == "queue"]
            return {queue.destination: queue.stored for queue in queues if queue.stored}

    # Sending

    def address(self, destination: Destination) -> Address:
        """The address of a destination."""
        with self._lock:
            return self._address(destination)

    def publish(  # noqa: PLR0913, PLR0917 (the hot path, called in one place)
        self,
        connection: Connection,
        address: Address,
        batch: Sequence[Message],
        done: Done,
        deadline: float,
        delay: float,
    ) -> None:
        """Store messages, or let them wait for room."""

        def tell(answers: Sequence[SendError | None]) -> None:
            for index, answer in enumerate(answers):
                done(index, answer)

        self._shield.call(
            partial(self._publish, connection, address, Waiting(connection, batch, done, deadline, delay)), tell
        )

    def _publish(self, connection: Connection, address: Address, waiting: Waiting) -> Sequence[SendError | None]:
        """What became of the messages, if that is known at once."""
        batch, count = waiting.batch, len(waiting.batch)
        with self._lock:
            if not connection.open:
                msg = f"can't send to {address.destination}: the provider is closed"
                raise ConnectionLostError(msg)
            answer = _refused if address.refused else None if address.queues else _unrouted
            at_once = address.refused or (
                self._running
                and not address.waiting
                and address.room(self._limit) >= count
                and waiting.deadline > time.monotonic()
            )
            if not at_once:
                self._wait(address, waiting)
                return ()
            if answer is None:
                self._store(address, batch, waiting.delay)
                return [None] * count
        return [answer(address) for _ in range(count)]

    def _store(self, address: Address, batch: Sequence[Message], delay: float) -> None:
        fresh = address.without_duplicates(batch)
        for queue in address.queues:
            queue.stored += len(fresh)
            if delay > 0:
                self._timer.call_at(time.monotonic() + delay, partial(self._due, queue, queue.restarts, fresh))
            else:
                queue.append(fresh)
                if queue.consumers:
                    self._dispatch(queue)

    def _due(self, queue: Queue, restarts: int, messages: Sequence[Message]) -> None:
        with self._lock:
            if queue.alive:
                left = messages if queue.restarts == restarts else [message for message in messages if message.durable]
                queue.stored -= len(messages) - len(left)
                queue.append(left)
                self._dispatch(queue)
        self._outbox.flush()

    def _wait(self, address: Address, waiting: Waiting) -> None:
        address.waiting.append(waiting)
        waiting.connection.pending += 1
        self._stalled[address] = None
        self._admit_to(address)
        if waiting.next < len(waiting.batch) and waiting.deadline < threading.TIMEOUT_MAX:
            waiting.alarm = self._timer.call_at(waiting.deadline, partial(self._expire, address, waiting))

    def _admit(self) -> None:
        for address in tuple(self._stalled):
            self._admit_to(address)

    def _admit_to(self, address: Address) -> None:
        """Store what there is room for of what waits, in its order."""
        while self._running and address.waiting:
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
                self._store(address, part, waiting.delay)
            self._finish(address, waiting, len(part), None if routed else _unrouted(address))

    def _expire(self, address: Address, waiting: Waiting) -> None:
        with self._lock:
            if waiting.next < len(waiting.batch):
                self._fail(address, waiting, _timed_out(address))
                self._admit()
        self._outbox.flush()

    def _withdraw(self, connection: Connection) -> None:
        for address in tuple(self._stalled):
            for waiting in tuple(address.waiting):
                if waiting.connection is connection:
                    text = f"the provider was closed before there was room for a message in {address.destination}"
                    self._fail(address, waiting, ConnectionLostError(text))
        self._admit()

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
                del self._stalled[address]
            if waiting.alarm is not None:
                self._timer.cancel(waiting.alarm)
            waiting.connection.pending -= 1
            self._sent.notify_all()

    # Subscriptions

    def subscribe(self, connection: Connection, subscription: Subscription, subscriber: Subscriber) -> Consumer:
        """Make the queues and attach to them."""
        return self._shield.call(partial(self._subscribe, connection, subscription, subscriber))

    def _subscribe(self, connection: Connection, subscription: Subscription, subscriber: Subscriber) -> Consumer:
        consumer = Consumer(self, connection, subscription, subscriber)
        with self._lock:
            if not connection.open:
                msg = f"can't subscribe to {subscription.destination}: the provider is closed"
                raise ConnectionLostError(msg)
            member = subscription.destination.member
            queue = self._queues.get(_key(subscription.destination))
            if member and queue and queue.consumers:
                error = ServerNameInUseError(
                    f"server_name {member!r} is in use: another live process or manager consumes from "
                    f"{subscription.destination}. Give each its own server_name."
                )
                consumer.closed = Future()
                consumer.closed.set_result(None)
                self._outbox.put(subscriber.state, SubscriptionState.FAILED, connection.generation, error)
            else:
                connection.consumers.append(consumer)
                if self._running:
                    self._attach(consumer)
        return consumer

    def unsubscribe(self, consumer: Consumer) -> Future[None]:
        """Detach for good."""
        return self._shield.call(partial(self._unsubscribe, consumer))

    def _unsubscribe(self, consumer: Consumer) -> Future[None]:
        with self._lock:
            return consumer.closed or self._detach(consumer)

    def set_window(self, consumer: Consumer, size: int) -> None:
        """Change how many may be out."""
        self._shield.call(partial(self._set_window, consumer, size))

    def _set_window(self, consumer: Consumer, size: int) -> None:
        with self._lock:
            queue = consumer.queue
            if queue is None:
                return
            consumer.size = size
            if queue.ready or queue.returned:
                self._dispatch(queue)

    def settle(self, consumer: Consumer, batch: Iterable[Delivery], outcome: Outcome) -> None:
        """Take deliveries from what is out."""
        self._shield.call(partial(self._settle, consumer, batch, outcome))

    def _settle(self, consumer: Consumer, batch: Iterable[Delivery], outcome: Outcome) -> None:
        with self._lock:
            queue, out = consumer.queue, consumer.out
            if queue is None:
                return
            before = len(out)
            if outcome is Outcome.ACCEPT:
                out.difference_update(batch)
                queue.stored -= before - len(out)
            else:
                back = out.intersection(batch)
                out -= back
                queue.give_back(back, counted=False)
            if self._stalled:
                self._admit()
            if queue.ready or queue.returned:
                self._dispatch(queue)

    def _attach(self, consumer: Consumer) -> None:
        subscription = consumer.subscription
        if subscription.dead_letter is not None:
            self._queue(subscription.dead_letter)
        queue = self._queue(subscription.destination)
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
        self._dispatch(queue)

    def _detach(self, consumer: Consumer) -> Future[None]:
        self._release(consumer, counted=False)
        consumer.connection.consumers.remove(consumer)
        future: Future[None] = Future()
        consumer.closed = future
        self._outbox.put(future.set_result, None)
        return future

    def _lose(self, connection: Connection, error: Exception) -> None:
        self._outbox.put(connection.observer, *_lost(error))
        for consumer in connection.consumers:
            # First, so that none gets what another one of this connection gives back.
            consumer.size = 0
        for consumer in connection.consumers:
            self._release(consumer, counted=True)
            self._outbox.put(consumer.subscriber.state, SubscriptionState.INACTIVE, connection.generation, error)

    def _regain(self, connection: Connection) -> None:
        connection.generation += 1
        self._outbox.put(connection.observer, *_CONNECTED)
        for consumer in connection.consumers:
            self._attach(consumer)

    # Queues

    def _address(self, destination: Destination) -> Address:
        return self._addresses.setdefault(_key(destination), Address(destination))

    def _queue(self, destination: Destination) -> Queue:
        key = _key(destination)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = Queue(destination)
            self._address(destination).queues.append(queue)
            if destination.kind == "queue":
                self._address(Destination(destination.topic)).queues.append(queue)
        return queue

    def _dispatch(self, queue: Queue) -> None:
        """Hand out what the windows allow."""
        if not self._running:
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


def _refused(address: Address) -> SendRejectedError:
    return SendRejectedError(f"the in-memory broker refuses sends to {address.destination}")


def _unrouted(address: Address) -> UnroutedError:
    return UnroutedError(f"{address.destination} has no queue: nobody listens there, or ever has")


def _timed_out(address: Address) -> SendTimeoutError:
    return SendTimeoutError(f"no room in a queue of {address.destination} within the time limit")
