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
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial

from eventing_core.errors import (
    BrokerConnectionError,
    ConnectionLostError,
    SendError,
    ServerNameInUseError,
)
from eventing_core.memory._address import Address, Waiting
from eventing_core.memory._connection import Connection, Consumer
from eventing_core.memory._outbox import Outbox
from eventing_core.memory._shield import Shield
from eventing_core.memory._store import CONNECTED, Store, key_of, refused, unrouted
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
from eventing_core.provider._timer import Alarm, Timer


class Engine:
    """What a `MemoryBroker` does, for providers. Thread-safe; nothing here blocks but `disconnect_for_good`."""

    def __init__(self, name: str, max_messages: int) -> None:
        self._name = name
        self._limit = max_messages
        self.reset()

    def reset(self) -> None:
        """Begin empty; also in a child after a fork: the parent's messages are its own, its locks may be held."""
        #: Guards all that the broker holds: the store, connections and their consumers. Held for plain data work alone.
        self._lock = threading.Lock()
        #: The same lock, for who waits until a connection has no more sends that wait.
        self._sent = threading.Condition(self._lock)
        self._timer = Timer("eventing-memory", is_lazy=True)
        self._outbox = Outbox()
        self._shield = Shield(self._call_back, lambda: not self._connections)
        self._store = Store(self._limit, self._outbox, self._call_at, self._timer.cancel, self._sent)
        self._connections: list[Connection] = []
        #: Why it isn't; empty when it is.
        self.down = ""

    def _call_at(self, when: float, call: Callable[[], None]) -> Alarm:
        return self._timer.call_at(when, partial(self._call_in_time, call))

    def _call_in_time(self, call: Callable[[], None]) -> None:
        with self._lock:
            call()
        self._outbox.flush()

    def _call_back(self) -> None:
        self._outbox.flush()

    def _and_call_back(self, change: Callable[[], None]) -> None:
        """For what tests do to a broker: on the main thread, too, everybody knows of it afterwards."""
        change()
        self._outbox.flush()

    # Connections

    def connect(self, observer: Observer) -> Connection:
        """Open a connection."""
        return self._shield.call(partial(self._connect, observer))

    def _connect(self, observer: Observer) -> Connection:
        with self._lock:
            if not self._store.running:
                raise BrokerConnectionError(self.down)
            connection = Connection(observer)
            self._connections.append(connection)
            self._timer.start()
            self._outbox.put(observer, *CONNECTED)
        return connection

    def reconnect(self, connection: Connection) -> None:
        """Lose a connection, with everything that is out counted as delivered, and make it anew."""
        self._shield.call(partial(self._and_call_back, partial(self._reconnect, connection)))

    def _reconnect(self, connection: Connection) -> None:
        with self._lock:
            if not self._store.running or connection not in self._connections:
                return
            self._store.lose(connection, BrokerConnectionError("the in-memory broker dropped the connection"))
            self._store.regain(connection)

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
            self._store.withdraw(connection)
            closed = [self._store.detach(consumer) for consumer in tuple(connection.consumers)]
            self._connections.remove(connection)
            # Under the lock, as `connect` starts it; its thread may want the lock, so it is waited for without.
            return closed, None if self._connections else self._timer.rest()

    def serves_others(self, connection: Connection | None) -> bool:
        """Whether another connection is open."""
        with self._lock:
            return any(other is not connection for other in self._connections)

    def is_up(self, connection: Connection) -> bool:
        """Whether sends and deliveries go on."""
        return self._store.running and connection.open

    # The life of the broker

    def cut(self) -> None:
        """Lose all connections; what is in the queues stays."""
        self._shield.call(partial(self._and_call_back, self._cut))
        self._shield.end()

    def _cut(self) -> None:
        with self._lock:
            self._go("can't be reached")

    def stop(self) -> None:
        """Go down: connections are lost, and with them what isn't durable."""
        self._shield.call(partial(self._and_call_back, self._stop))
        self._shield.end()

    def _stop(self) -> None:
        with self._lock:
            self._go("is stopped")
            self._store.drop_volatile()

    def _go(self, why: str) -> None:
        """Lose all connections, once, until `start`."""
        self.down = self.down or f"the in-memory broker {self._name!r} {why}"
        if self._store.running:
            self._store.running = False
            for connection in self._connections:
                self._store.lose(connection, BrokerConnectionError(self.down))

    def start(self) -> None:
        """Come up: connections and subscriptions are made anew, and sends that waited are carried out."""
        self._shield.call(partial(self._and_call_back, self._start))
        self._shield.end()

    def _start(self) -> None:
        with self._lock:
            if self._store.running:
                return
            self._store.running = True
            self.down = ""
            for connection in self._connections:
                self._store.regain(connection)
            self._store.admit()

    def refuse(self, destination: Destination, *, refused: bool) -> None:
        """Refuse sends to a destination, or take them again."""
        with self._lock:
            self._store.address(destination).refused = refused

    def messages(self, destination: Destination) -> list[Message]:
        """What a queue holds, in its order, at consumers or not."""
        with self._lock:
            queue = self._store.queues.get(key_of(destination))
            return queue.messages() if queue else []

    def unhandled(self) -> dict[Destination, int]:
        """How many messages each listener's queue holds, those that wait for their delay included."""
        with self._lock:
            queues = [queue for queue in self._store.queues.values() if queue.destination.kind == "queue"]
            return {queue.destination: queue.stored for queue in queues if queue.stored}

    # Sending

    def address(self, destination: Destination) -> Address:
        """The address of a destination."""
        with self._lock:
            return self._store.address(destination)

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
            answer = refused if address.refused else None if address.queues else unrouted
            at_once = address.refused or (
                self._store.running
                and not address.waiting
                and address.room(self._limit) >= count
                and waiting.deadline > time.monotonic()
            )
            if not at_once:
                self._store.wait(address, waiting)
                return ()
            if answer is None:
                self._store.store(address, batch, waiting.delay)
                return [None] * count
        return [answer(address) for _ in range(count)]

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
            queue = self._store.queues.get(key_of(subscription.destination))
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
                if self._store.running:
                    self._store.attach(consumer)
        return consumer

    def unsubscribe(self, consumer: Consumer) -> Future[None]:
        """Detach for good."""
        return self._shield.call(partial(self._unsubscribe, consumer))

    def _unsubscribe(self, consumer: Consumer) -> Future[None]:
        with self._lock:
            return consumer.closed or self._store.detach(consumer)

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
                self._store.dispatch(queue)

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
            if self._store.stalled:
                self._store.admit()
            if queue.ready or queue.returned:
                self._store.dispatch(queue)
