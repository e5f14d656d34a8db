"""What one connection has on RabbitMQ: queues, made by subscribing to them; and settlements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from eventing_core.errors import SubscriptionError
from eventing_core.provider import Subscription
from eventing_core.provider.sockets import Loop, next_number
from eventing_stomp._frames import Incoming, frame
from eventing_stomp._generation import StompGeneration, SubscriptionHandler
from eventing_stomp._rabbitmq._address import Queue

#: A subscription that gets nothing, see `_settling_id`.
_ACKS = "acks"


class RabbitSession:
    """Runs on the I/O thread.

    Attributes:
        call_in: ``call_in(seconds, call)``: call later.
    """

    def __init__(self, generation: StompGeneration, loop: Loop) -> None:
        self.call_in = loop.call_in
        self._generation = generation
        self._can_settle = False

    def lost(self) -> None:
        """Nobody waits for anything."""

    def prepare(self, subscription: Subscription, ready: Callable[[Any], None]) -> None:  # noqa: ARG002 (the interface)
        """The queue is made by its consumer; that for dead letters by the first send to it."""
        ready(None)

    def forget(self, subscription: Subscription) -> None:
        """There is nothing that is known of queues."""

    def subscribe(self, queue: Queue, subscription: str, prefetch: int, handler: SubscriptionHandler) -> str:
        """Subscribe with so many messages on their way at most; returns the receipt's id."""
        if not self._can_settle:
            self._can_settle = True
            _Acks(self._generation, handler)
        self._generation.subscriptions[subscription] = handler
        receipt = f"subscribed-{subscription}"
        headers = {
            "id": subscription,
            "destination": queue.source,
            "ack": "client-individual",
            "prefetch-count": str(prefetch),
            "receipt": receipt,
            # Passed over where the destination is the queue.
            "x-queue-name": queue.name,
            **dict(queue.settings),
        }
        self._generation.put(frame("SUBSCRIBE", headers))
        return receipt

    def unsubscribe(self, subscription: str) -> None:
        """End a subscription. What it had out stays out.

        Nothing should be on its way: what RabbitMQ 3.10 has written still comes, before the receipt; for what it hasn't
        there is an ERROR frame, which is taken for the connection's end, so that everything goes back.
        """
        generation, receipt = self._generation, f"unsubscribed-{next_number()}"

        def ended(_: str | None) -> None:
            generation.subscriptions.pop(subscription, None)

        generation.receipts[receipt] = ended
        generation.put(frame("UNSUBSCRIBE", {"id": subscription, "receipt": receipt}))

    def when_done(self, call: Callable[[], None]) -> None:
        """Call when the broker has carried out everything so far."""
        name = f"done-{next_number()}"
        self._generation.receipts[name] = lambda _: call()
        self._generation.put(frame("BEGIN", {"transaction": name}))
        self._generation.put(frame("ABORT", {"transaction": name, "receipt": name}))

    def accept(self, incoming: Incoming, *, live: bool) -> None:
        """Acknowledge a message; ``live``: its subscription lasts."""
        self._generation.put(b"ACK\nid:%b\n\n\0" % _settling_id(incoming, live=live))

    def give_back(self, incoming: Incoming, *, live: bool) -> None:
        """Have a message delivered again, from its old place in the queue."""
        self._generation.put(b"NACK\nid:%b\nrequeue:true\n\n\0" % _settling_id(incoming, live=live))


def _settling_id(incoming: Incoming, *, live: bool) -> bytes:
    """What a message is settled by.

    It is ``T_<subscription>@@<session>@@<number>``, and the number alone says which message it is. RabbitMQ refuses it
    once the subscription has ended, so it is given that of one which never ends.
    """
    head = incoming.head
    start = head.index(b"\nack:") + 5
    raw = head[start : head.index(b"\n", start)]
    return raw if live else b"T_%b%b" % (_ACKS.encode(), raw[raw.index(b"@@") :])


class _Acks:
    """The subscription that never ends: to a queue of the connection's own, which nothing comes to."""

    gives_back = False

    def __init__(self, generation: StompGeneration, first: SubscriptionHandler) -> None:
        self.address = f"eventing.{_ACKS}.{uuid4().hex}"
        self._first = first
        generation.subscriptions[_ACKS] = self
        headers = {
            "id": _ACKS,
            "destination": f"/queue/{self.address}",
            "durable": "false",
            "exclusive": "true",
            "auto-delete": "true",
            "ack": "client-individual",
        }
        generation.put(frame("SUBSCRIBE", headers))

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """Nobody sends to it."""

    def blamed(self, error: SubscriptionError) -> None:
        """The user may not have it: no listener can be served."""
        self._first.blamed(error)
