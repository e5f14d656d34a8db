"""What one connection has on RabbitMQ: queues, made by subscribing to them; and settlements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from eventing_core.provider import Subscription
from eventing_core.provider.sockets import Loop, next_number
from eventing_stomp._blame import SubscriptionHandler
from eventing_stomp._frames import Incoming, frame
from eventing_stomp._generation import StompGeneration
from eventing_stomp._rabbitmq._address import Queue


class RabbitSession:
    """Runs on the I/O thread.

    Attributes:
        call_in: ``call_in(seconds, call)``: call later.
    """

    def __init__(self, generation: StompGeneration, loop: Loop) -> None:
        self.call_in = loop.call_in
        self._generation = generation
        self._acks: _Acks | None = None

    def lost(self) -> None:
        """Nobody waits for anything."""

    def prepare(self, subscription: Subscription, ready: Callable[[Any], None]) -> None:  # noqa: ARG002 (the interface)
        """The queue is made by its consumer; that for dead letters by the first send to it."""
        ready(None)

    def forget(self, subscription: Subscription) -> None:
        """There is nothing that is known of queues."""

    def subscribe(self, queue: Queue, prefetch: int, handler: SubscriptionHandler) -> str:
        """Subscribe with so many messages on their way at most; returns the id."""
        acks = self._acks = self._acks or _Acks(self._generation)
        headers = {
            "destination": queue.source,
            "ack": "client-individual",
            "prefetch-count": str(prefetch),
            # Passed over where the destination is the queue.
            "x-queue-name": queue.name,
            **dict(queue.settings),
        }
        subscription = self._generation.subscribe(handler, headers)
        acks.need((subscription, handler))
        return subscription

    def unsubscribe(self, subscription: str) -> None:
        """End a subscription. What it had out stays out.

        Nothing should be on its way: what RabbitMQ 3.10 has written still comes, before the receipt; for what it hasn't
        there is an ERROR frame, which is taken for the connection's end, so that everything goes back.
        """
        subscriptions = self._generation.subscriptions

        def ended(_: str | None) -> None:
            subscriptions.pop(subscription, None)

        self._generation.request("UNSUBSCRIBE", {"id": subscription}, ended)

    def when_done(self, call: Callable[[], None]) -> None:
        """Call when the broker has carried out everything so far."""
        name = f"done-{next_number()}"
        self._generation.put(frame("BEGIN", {"transaction": name}))
        self._generation.request("ABORT", {"transaction": name}, lambda _: call())

    def accept(self, incoming: Incoming, *, live: bool) -> None:
        """Acknowledge a message; ``live``: its subscription lasts."""
        self._generation.put(b"ACK\nid:%b\n\n\0" % self._settling_id(incoming, live=live))

    def give_back(self, incoming: Incoming, *, live: bool) -> None:
        """Have a message delivered again, from its old place in the queue."""
        self._generation.put(b"NACK\nid:%b\nrequeue:true\n\n\0" % self._settling_id(incoming, live=live))

    def _settling_id(self, incoming: Incoming, *, live: bool) -> bytes:
        """What a message is settled by.

        It is ``T_<subscription>@@<session>@@<number>``, and the number alone says which message it is. RabbitMQ refuses
        it once the subscription has ended, so it is given that of one which never ends.
        """
        head = incoming.head
        start = head.index(b"\nack:") + 5
        raw = head[start : head.index(b"\n", start)]
        if live or self._acks is None:
            return raw
        return b"T_%b%b" % (self._acks.subscription.encode(), raw[raw.index(b"@@") :])


class _Acks:
    """The subscription that never ends: to a queue of the connection's own, which nothing comes to.

    Attributes:
        subscription: its id.
    """

    gives_back = False

    def __init__(self, generation: StompGeneration) -> None:
        name = f"eventing.acks.{uuid4().hex}"
        self.names = frozenset((name,))
        #: Subscriptions that can't be served without, while the broker hasn't answered.
        self._needed_by: list[tuple[str, SubscriptionHandler]] | None = []
        headers = {
            "destination": f"/queue/{name}",
            "durable": "false",
            "exclusive": "true",
            "auto-delete": "true",
            "ack": "client-individual",
        }
        self.subscription = generation.subscribe(self, headers)

    def need(self, needing: tuple[str, SubscriptionHandler]) -> None:
        """Have that subscription told where there is none to settle by."""
        if self._needed_by is not None:
            self._needed_by.append(needing)

    def answered(self, subscription: str, error: str | None) -> None:  # noqa: ARG002 (a handler's signature)
        """Where the user may not have it, no listener can be served."""
        needed_by, self._needed_by = self._needed_by, None
        if error is not None:
            for needing, handler in needed_by or ():
                handler.answered(needing, error)

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """Nobody sends to it."""
