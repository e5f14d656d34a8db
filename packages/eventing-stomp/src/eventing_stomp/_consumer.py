"""One subscription, over STOMP.

STOMP has no credit: a broker sends as much as its own setting for the STOMP subscription says, in bytes on Artemis. So
there is one STOMP subscription, whose setting follows from the window, and what comes beyond the window waits here. For
a window of 1 it is exact: one message at a time.

The setting can't be changed, so the STOMP subscription is made anew, which gives back what waits here: at a moment at
which nothing is out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eventing_core.errors import SubscriptionError
from eventing_core.provider import Delivery, Outcome, Subscriber, Subscription
from eventing_core.provider.artemis import ArtemisSession, Node, Queue, of_refusal
from eventing_core.provider.sockets import SocketConsumer, next_number
from eventing_stomp._frames import Incoming, frame
from eventing_stomp._generation import StompGeneration
from eventing_stomp._message import StompDelivery, routing

if TYPE_CHECKING:
    from eventing_stomp._connection import StompConnection

#: At least so much is asked for, in bytes, for a window of more than one.
_LEAST = 4096

#: How large a message is taken to be before one has come, in bytes.
_GUESS = 8192


class StompConsumer(SocketConsumer[StompGeneration, ArtemisSession]):
    """A STOMP subscription to one queue, made again in each generation.

    Attributes:
        address: the queue's.
    """

    gives_back = True

    def __init__(self, connection: StompConnection, subscription: Subscription, subscriber: Subscriber) -> None:
        super().__init__(connection, subscription, subscriber)
        self.address = subscription.destination.topic
        self._limit = connection.settings.prefetch_bytes
        #: Nobody else may have what waits here; given back, an exclusive queue's would go to another consumer.
        self._alone = subscription.exclusive or bool(subscription.destination.member)
        self._node: Node | None = None
        self._queue: Queue | None = None
        self._keeping: dict[str, str] = {}
        #: The id of the STOMP subscription; empty where there is none.
        self._live = ""
        self._bytes = 0
        #: What came by this STOMP subscription: how many, and their bytes.
        self._came = self._came_bytes = 0
        #: A message's size by the STOMP subscription before: one large message is not to count for ever.
        self._mean = _GUESS
        #: Delivered and not settled, by our numbers.
        self._out: dict[int, Incoming] = {}
        #: Came, and is not handed over yet.
        self._arrived: deque[Incoming] = deque()

    # -- attaching ----------------------------------------------------------------------------------------------------

    def attach_now(self, generation: StompGeneration, session: ArtemisSession) -> None:
        """See whether the queue is to be had, then subscribe."""
        self._node, self._queue = session.source(self.subscription)
        self.address = self._queue.address
        queue, attempt = self._queue, self._attempt
        # With the end of a multicast subscription Artemis deletes the queue, where that isn't durable, and all that is
        # in it. Where the queue exists, asking for the other type reaches it as well, and leaves it alone.
        managed = not session.management.denied
        self._keeping = {"subscription-type": "ANYCAST"} if managed and not queue.durable else {}
        if not queue.single:
            self._subscribe_first(generation)
            return

        def counted(consumers: int) -> None:
            # The broker would refuse a second consumer by ending the whole connection.
            if attempt == self._attempt:
                if consumers:
                    self.in_use(queue.name)
                else:
                    self._subscribe_first(generation)

        session.consumers(queue, counted)

    def _subscribe_first(self, generation: StompGeneration) -> None:
        """Subscribe, and be attached when the broker has agreed: it makes the queue, where nothing else has."""
        attempt = self._attempt

        def agreed(error: str | None) -> None:
            if attempt != self._attempt:
                return
            if error is None:
                if self._session is not None and self._queue is not None:
                    self._session.attached(self._queue)
                self.attached()
                self._connection.dirty.add(self)
            else:
                self.blamed(SubscriptionError(error))

        generation.receipts[self._subscribe(generation, self._limit if self._alone else 0)] = agreed

    def _subscribe(self, generation: StompGeneration, size: int) -> str:
        """Subscribe, with that many bytes on their way; 0: one message at a time. Returns the receipt's id."""
        self._live = str(next_number())
        self._bytes = size
        self._mean = self._message_size()
        self._came = self._came_bytes = 0
        generation.subscriptions[self._live] = self
        receipt = f"subscribed-{self._live}"
        if self._node is not None:
            headers = {
                **routing(self._node, "subscription-type"),
                **self._keeping,
                "id": self._live,
                "ack": "client-individual",
                # Artemis user manual, "STOMP", flow control.
                "consumer-window-size": str(size),
                "receipt": receipt,
            }
            generation.put(frame("SUBSCRIBE", headers))
        return receipt

    def _unsubscribe(self, generation: StompGeneration, **headers: str) -> None:
        """What is unsettled goes back to the broker, uncounted."""
        live, self._live = self._live, ""
        generation.subscriptions.pop(live, None)
        generation.put(frame("UNSUBSCRIBE", {"id": live, **headers}))
        # To acknowledge one of them now would end the connection.
        self._out.clear()
        self._arrived.clear()

    def blamed(self, error: SubscriptionError) -> None:
        """The broker refuses, and ends the connection for it."""
        if self._queue is not None:
            self.refused(of_refusal(self._queue, "", str(error)))

    def detach_now(self, generation: StompGeneration) -> bool:
        """Unsubscribe."""
        attempt, receipt = self._attempt, f"unsubscribed-{next_number()}"
        if not self._live:
            return False
        generation.receipts[receipt] = lambda _: (
            self.detached(SubscriptionError("closed")) if attempt == self._attempt else None
        )
        self._unsubscribe(generation, receipt=receipt)
        return True

    def forget(self) -> None:
        """There is no STOMP subscription any more; that of a living connection is ended."""
        generation = self._generation
        if self._live and generation is not None and generation.failure is None:
            self._unsubscribe(generation)
        self._live = ""
        self._out.clear()
        self._arrived.clear()

    # -- messages -----------------------------------------------------------------------------------------------------

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """Keep a message until all that was read is taken in."""
        if subscription != self._live:
            return
        self._arrived.append(incoming)
        self._came += 1
        self._came_bytes += len(incoming.head) + len(incoming.body)
        if self._generation is not None:
            self._generation.arrivals.add(self)

    def hand_over_arrived(self) -> None:
        """Hand over what the window allows."""
        if not self._active:
            return
        room = self._size - len(self._out)
        batch: list[StompDelivery] = []
        while self._arrived and len(batch) < room:
            incoming = self._arrived.popleft()
            delivery = StompDelivery(incoming, next_number(), self._attachment)
            self._out[delivery.number] = incoming
            batch.append(delivery)
        if batch:
            self.hand_over(batch)

    def settle_now(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle what is of this attachment. What is released waits here, and is handed over again first."""
        generation = self._generation
        if generation is None:
            return
        taken = [self._out.pop(delivery.number, None) for delivery in batch if isinstance(delivery, StompDelivery)]
        mine = [incoming for incoming in taken if incoming is not None]
        if outcome is Outcome.ACCEPT:
            generation.put(b"".join([b"ACK\nid:" + _raw_ack(incoming) + b"\n\n\0" for incoming in mine]))
        else:
            self._arrived.extendleft(reversed(mine))

    def flush(self) -> None:
        """Subscribe as the window wants it, and hand over what it allows."""
        generation = self._generation
        if generation is None or not self._active:
            return
        if not self._out and not self._alone:
            self._fit(generation)
        self.hand_over_arrived()

    def _fit(self, generation: StompGeneration) -> None:
        """Nothing is out: subscribe anew, where the window asks for something else."""
        wanted = self._wanted()
        if wanted is None:
            if self._live:
                self._unsubscribe(generation)
        elif not self._live:
            self._subscribe(generation, wanted)
        elif (wanted == 0) != (self._bytes == 0) or not self._bytes <= wanted * 4 <= self._bytes * 8:
            self._unsubscribe(generation)
            self._subscribe(generation, wanted)

    def _wanted(self) -> int | None:
        """How many bytes may be on their way; 0: one message at a time; None: nothing at all."""
        if self._size == 0:
            return None
        if self._size == 1:
            return 0
        return min(max(_LEAST, self._size * self._message_size()), max(_LEAST, self._limit))

    def _message_size(self) -> int:
        """Of a message, on average, in bytes."""
        return self._came_bytes // self._came if self._came else self._mean


def _raw_ack(incoming: Incoming) -> bytes:
    """The id to acknowledge by, escaped as it came: the last one, since a property of the sender's may be named so."""
    head = incoming.head
    start = head.rindex(b"\nack:") + 5
    return head[start : head.index(b"\n", start)]
