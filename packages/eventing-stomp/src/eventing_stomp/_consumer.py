"""One subscription, over STOMP.

STOMP has no credit: a broker sends as much as its own setting for the subscription says, from SUBSCRIBE on. So a window
is made of STOMP subscriptions that get one message at a time: each is worth one message of the window. Unsubscribing
one gives its message back, at the head of the queue, uncounted.

Where one consumer gets everything (an exclusive queue, a process's own), there is one STOMP subscription, bounded in
bytes; what is beyond the window waits here, where nobody else could have it anyway.
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

#: STOMP subscriptions of one listener at most: with so many on their way, more would make it no faster.
_SLOTS = 64


class StompConsumer(SocketConsumer[StompGeneration, ArtemisSession]):
    """STOMP subscriptions to one queue, made again in each generation."""

    def __init__(self, connection: StompConnection, subscription: Subscription, subscriber: Subscriber) -> None:
        super().__init__(connection, subscription, subscriber)
        self._prefetch_bytes = connection.settings.prefetch_bytes
        self._alone = subscription.exclusive or bool(subscription.destination.member)
        self._node: Node | None = None
        self._queue: Queue | None = None
        #: Delivered and not settled: our numbers, with the STOMP subscription and the frame.
        self._out: dict[int, tuple[str, Incoming]] = {}
        #: Came, and is not handed over yet.
        self._arrived: deque[tuple[str, Incoming]] = deque()
        #: STOMP subscriptions without a message.
        self._idle: dict[str, None] = {}
        self._live: set[str] = set()

    # -- attaching ----------------------------------------------------------------------------------------------------

    def attach_now(self, generation: StompGeneration, session: ArtemisSession) -> None:
        """See whether the queue is to be had, then subscribe."""
        self._node, self._queue = session.source(self.subscription)
        queue, attempt = self._queue, self._attempt
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
        subscription = self._subscribe(generation)

        def agreed(error: str | None) -> None:
            if attempt == self._attempt and error is None:
                self.attached()
                self._connection.dirty.add(self)
            elif attempt == self._attempt and error is not None:
                self.blamed(SubscriptionError(error))

        generation.receipts[f"subscribed-{subscription}"] = agreed

    def _subscribe(self, generation: StompGeneration) -> str:
        subscription = str(next_number())
        generation.subscriptions[subscription] = self
        self._live.add(subscription)
        self._idle[subscription] = None
        if self._node is not None:
            headers = {
                **routing(self._node, "subscription-type"),
                "id": subscription,
                "ack": "client-individual",
                # In bytes; 0: one message at a time (Artemis user manual, "STOMP", flow control).
                "consumer-window-size": str(self._prefetch_bytes if self._alone else 0),
                "receipt": f"subscribed-{subscription}",
            }
            generation.put(frame("SUBSCRIBE", headers))
        return subscription

    def _unsubscribe(self, generation: StompGeneration, subscription: str, receipt: str = "") -> None:
        """What it holds goes back to the broker."""
        self._live.discard(subscription)
        self._idle.pop(subscription, None)
        generation.subscriptions.pop(subscription, None)
        generation.put(frame("UNSUBSCRIBE", {"id": subscription, **({"receipt": receipt} if receipt else {})}))

    def blamed(self, error: SubscriptionError) -> None:
        """The broker refuses, and ends the connection for it."""
        if self._queue is not None:
            self.refused(of_refusal(self._queue, "", str(error)))

    def detach_now(self, generation: StompGeneration) -> bool:
        """Unsubscribe."""
        live = sorted(self._live, key=int)
        if not live:
            return False
        for subscription in live[:-1]:
            self._unsubscribe(generation, subscription)
        attempt = self._attempt
        receipt = f"unsubscribed-{live[-1]}"
        generation.receipts[receipt] = lambda _: (
            self.detached(SubscriptionError("closed")) if attempt == self._attempt else None
        )
        self._unsubscribe(generation, live[-1], receipt)
        return True

    def forget(self) -> None:
        """There are no STOMP subscriptions any more; those of a living connection are ended."""
        generation = self._generation
        if generation is not None and generation.failure is None:
            for subscription in sorted(self._live, key=int):
                self._unsubscribe(generation, subscription)
        self._live.clear()
        self._idle.clear()
        self._out.clear()
        self._arrived.clear()

    # -- messages -----------------------------------------------------------------------------------------------------

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """Keep a message until all that was read is taken in."""
        self._idle.pop(subscription, None)
        self._arrived.append((subscription, incoming))
        if self._generation is not None:
            self._generation.arrivals.add(self)

    def hand_over_arrived(self) -> None:
        """Hand over what the window allows."""
        if not self._active:
            return
        room = self._size - len(self._out)
        batch: list[StompDelivery] = []
        while self._arrived and len(batch) < room:
            subscription, incoming = self._arrived.popleft()
            delivery = StompDelivery(incoming, next_number(), self._attachment)
            self._out[delivery.number] = subscription, incoming
            batch.append(delivery)
        if batch:
            self.hand_over(batch)

    def settle_now(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle what is of this attachment."""
        generation = self._generation
        if generation is None:
            return
        taken = [self._out.pop(delivery.number, None) for delivery in batch if isinstance(delivery, StompDelivery)]
        mine = [one for one in taken if one is not None]
        if outcome is Outcome.ACCEPT:
            for subscription, incoming in mine:
                generation.put(b"ACK\nid:" + _raw_ack(incoming) + b"\n\n\0")
                if not self._alone:
                    self._idle[subscription] = None
        elif self._alone:
            # Nobody else could have them.
            self._arrived.extendleft(reversed(mine))
        else:
            for subscription, _ in mine:
                self._unsubscribe(generation, subscription)

    def flush(self) -> None:
        """Have as many STOMP subscriptions as the window allows."""
        generation = self._generation
        if generation is None or not self._active:
            return
        if not self._alone:
            self._fit(generation)
        self.hand_over_arrived()

    def _fit(self, generation: StompGeneration) -> None:
        wanted = min(self._size, _SLOTS)
        surplus = len(self._live) - wanted
        # First what waits here, the last one first, so that others get it; then those that wait for a message.
        while surplus > 0 and self._arrived:
            subscription, _ = self._arrived.pop()
            self._unsubscribe(generation, subscription)
            surplus -= 1
        for subscription in [*self._idle][: max(0, surplus)]:
            self._unsubscribe(generation, subscription)
        for _ in range(wanted - len(self._live)):
            self._subscribe(generation)


def _raw_ack(incoming: Incoming) -> bytes:
    """The id to acknowledge by, escaped as it came."""
    head = incoming.head
    start = head.index(b"\nack:") + 5
    return head[start : head.index(b"\n", start)]
