"""One subscription, over STOMP.

STOMP has no credit: a broker sends as much as its own setting for the STOMP subscription says, in bytes on Artemis. So
there is one STOMP subscription, whose setting follows from the window, and what comes beyond the window waits here. For
a window of 1 it is exact: one message at a time.

The setting can't be changed, so the STOMP subscription is made anew, which gives back what waits here: at a moment at
which nothing is out. Where it is too small for the window, that moment is brought about. If it doesn't come soon, since
something stays unsettled (a dead letter that the broker refuses, a slow listener), a wider subscription is made beside
it; the old one lasts until nothing of it is out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from eventing_core.errors import SubscriptionError
from eventing_core.provider import Subscriber, Subscription
from eventing_core.provider.artemis import ArtemisSession, Node, of_refusal
from eventing_core.provider.sockets import Carrier, Standing
from eventing_stomp._careful_consumer import CarefulConsumer
from eventing_stomp._errors import subscription_of
from eventing_stomp._frame_consumer import Arrived
from eventing_stomp._frames import Incoming
from eventing_stomp._generation import StompGeneration
from eventing_stomp._message import StompDelivery, routing
from eventing_stomp._rights import Rights

#: How long a moment at which nothing is out is waited for, in seconds.
_PATIENCE = 0.5

#: At least so much is asked for, in bytes, for a window of more than one.
_LEAST = 4096

#: How large a message is taken to be before one has come, in bytes.
_GUESS = 8192

#: So many messages tell how large one is; earlier ones count for half.
_REMEMBERED = 64


class StompConsumer(CarefulConsumer):
    """A STOMP subscription to one queue, made again in each generation.

    Args:
        connection: what carries it.
        subscription: what to consume.
        subscriber: who gets it.
        limit: of bytes that the broker may send before they are settled.
        rights: the user's.
    """

    delivery = StompDelivery
    gives_back = True

    def __init__(
        self, connection: Carrier, subscription: Subscription, subscriber: Subscriber, *, limit: int, rights: Rights
    ) -> None:
        super().__init__(connection, subscription, subscriber)
        self._limit = limit
        self._rights = rights
        #: Of bytes, for a window of more than one.
        self._most = max(_LEAST, self._limit)
        #: Nobody else may have what waits here; given back, an exclusive queue's would go to another consumer.
        self._is_sole = self._alone = subscription.exclusive or bool(subscription.destination.member)
        self._node: Node | None = None
        self._keeping: dict[str, str] = {}
        #: Those before it, of which something is still out.
        self._earlier: set[str] = set()
        self._bytes = 0
        #: What came by this STOMP subscription: how many, and their bytes; the later ones count for more.
        self._came = self._came_bytes = 0
        #: A message's size by the STOMP subscription before: one large message is not to count forever.
        self._mean = _GUESS
        #: The broker agreed that nobody had the queue, and refused then.
        self._raced = False
        #: What comes waits, until nothing is out.
        self._draining = False

    @property
    def names(self) -> frozenset[str]:
        """Its queue's name and address."""
        queue = self._queue
        return frozenset((queue.name, queue.address) if queue is not None else ())

    @property
    def live(self) -> Collection[str]:
        """The STOMP subscription, and earlier ones of which something is out."""
        return (self._live, *self._earlier)

    # -- attaching ----------------------------------------------------------------------------------------------------

    def attach_now(self, generation: StompGeneration, session: ArtemisSession) -> None:
        """See whether the queue is to be had, then subscribe, which makes it where nothing else has."""
        self._node, self._queue = session.source(self.subscription)
        queue, attempt = self._queue, self._attempt
        # With the end of a multicast subscription Artemis deletes the queue, where that isn't durable, and all that is
        # in it. Where the queue exists, asking for the other type reaches it as well, and leaves it alone.
        managed = not session.management.denied
        self._keeping = {"subscription-type": "ANYCAST"} if managed and not queue.durable else {}
        self._alone = self._is_sole and not self.isolation.quarantine.is_isolated
        first = self._limit if self._alone else 0
        if not queue.single:
            self.subscribe_safely(generation, session, first)
            return

        def counted(consumers: int) -> None:
            # The broker would refuse a second consumer by ending the whole connection.
            if attempt == self._attempt:
                if consumers:
                    self._raced = False
                    self.in_use(queue.name)
                else:
                    self.subscribe_safely(generation, session, first)

        session.consumers(queue, counted)

    def agreed(self) -> None:
        """The queue is there, and ours to consume from."""
        self._raced = False
        if not self._active:
            if self._session is not None and self._queue is not None:
                self._session.attached(self._queue)
                self._session.stalls.watch(self._queue, self)
            self.attached()

    def denied(self, error: str) -> None:
        """It can't be had; or another process of this name has come in between."""
        queue = self._queue
        if queue is None:
            return
        if queue.single and not self._raced and subscription_of(error):
            self._raced = True
            self.in_use(queue.name)
        else:
            # It names the subscription alone, and no reason.
            why = self._rights.why("consume", queue.address, error) if subscription_of(error) else ""
            self.refused(of_refusal(queue, "", error, why=why))

    def subscribe(self, generation: StompGeneration, size: int) -> None:
        """Subscribe, with that many bytes on their way; 0: one message at a time."""
        if self._node is None:
            return
        self._bytes = size
        self._mean = self._message_size()
        self._came = self._came_bytes = 0
        headers = {
            **routing(self._node, "subscription-type"),
            **self._keeping,
            "ack": "client-individual",
            # Artemis user manual, "STOMP", flow control.
            "consumer-window-size": str(size),
            **self.selection(),
        }
        self._live = generation.subscribe(self, headers)

    def _unsubscribe(self, generation: StompGeneration) -> None:
        """What is unsettled goes back to the broker, uncounted."""
        live, self._live = self._live, ""
        generation.unsubscribe(live)
        self._end_earlier(generation)
        # To acknowledge one of them now would end the connection.
        self.void()

    def _end_earlier(self, generation: StompGeneration, *, but: Collection[str] = ()) -> None:
        """End earlier STOMP subscriptions, and with them what came by them and waits here."""
        for subscription in self._earlier.difference(but):
            self._earlier.remove(subscription)
            generation.unsubscribe(subscription)
            self._arrived = deque(each for each in self._arrived if each[0] != subscription)

    def detach_now(self, generation: StompGeneration) -> bool:
        """Unsubscribe."""
        if not self._live:
            return False
        attempt = self._attempt
        live, self._live = self._live, ""
        generation.subscriptions.pop(live, None)
        self._end_earlier(generation)
        self.void()
        generation.request(
            "UNSUBSCRIBE",
            {"id": live},
            lambda _: self.detached(SubscriptionError("closed")) if attempt == self._attempt else None,
        )
        return True

    def forget(self) -> None:
        """There is no STOMP subscription any more; that of a living connection is ended."""
        generation = self._generation
        if self._live and generation is not None and generation.failure is None:
            self._unsubscribe(generation)
        self._live = ""
        self._earlier.clear()
        self._draining = False
        self.void()
        super().forget()

    # -- messages -----------------------------------------------------------------------------------------------------

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """Keep a message until all that was read is taken in."""
        if subscription == self._live or subscription in self._earlier:
            if self._came >= _REMEMBERED:
                self._came //= 2
                self._came_bytes //= 2
            self._came += 1
            self._came_bytes += _size_of(incoming)
            if not incoming.body and self.keeps_back(incoming):
                return
            super().arrived(subscription, incoming)
            if self._careful and not self._picks:
                self.hold()

    def acknowledge(self, settled: Sequence[Arrived]) -> None:
        """ACK frames."""
        if self._generation is not None:
            self._generation.put(b"".join([b"ACK\nid:" + _raw_ack(incoming) + b"\n\n\0" for _, incoming in settled]))
            if settled:
                self._last = settled[-1][1]
            if self.isolation.quarantine.standing is not Standing.NORMAL:
                self.remember(settled)

    def flush(self) -> None:
        """Subscribe as the window wants it, and hand over what it allows."""
        generation = self._generation
        if generation is None or not self._active:
            return
        if self._earlier:
            self._end_earlier(generation, but={subscription for subscription, _ in self._out.values()})
        if self._wants_anew and not self._out:
            self.attach_anew()
            return
        if not (self._alone or self._out):
            self._fit(generation)
        self.hand_over_arrived()

    def hand_over_arrived(self) -> bool:
        """Hand over what the window allows, and see whether that is all it could have."""
        if self.isolation.asides and self._size:
            self.hand_over_asides()
        if self._draining or self._held or self._wants_anew:
            return False
        has_room = super().hand_over_arrived()
        if not self._alone and self._starves():
            self._draining = True
            live = self._live
            self._connection.loop.call_in(_PATIENCE, lambda: self._widen(live))
        return has_room and not self._draining

    def _widen(self, live: str) -> None:
        """What is out stays out: let more come by a further STOMP subscription."""
        generation, needed = self._generation, self._needed()
        if generation is None or live != self._live or not (self._active and self._draining):
            return
        self._draining = False
        if needed is not None:
            self._earlier.add(live)
            self.subscribe(generation, min(max(needed, self._bytes) * 2, self._most))
        self._connection.dirty.add(self)

    def _fit(self, generation: StompGeneration) -> None:
        """Nothing is out: subscribe anew, where the window asks for something else.

        It gets twice what it takes, and keeps that while it is enough, and not far too much.
        """
        self._draining = False
        needed = self._needed()
        if needed is None:
            if self._live:
                self._unsubscribe(generation)
        elif not self._live:
            self.subscribe(generation, min(needed * 2, self._most))
        elif not needed <= self._bytes <= needed * 4:
            self._unsubscribe(generation)
            self.subscribe(generation, min(needed * 2, self._most))

    def _starves(self) -> bool:
        """Whether the window could take more, and only the bytes keep the broker from sending it.

        The broker counts the bytes of frames, and stops once it has sent as many as it may.
        """
        needed = self._needed()
        if needed is None or needed <= self._bytes or len(self._out) >= self._size:
            return False
        mine = [_size_of(incoming) for subscription, incoming in self._out.values() if subscription == self._live]
        return bool(mine) and sum(mine) >= self._bytes

    def _needed(self) -> int | None:
        """How many bytes the window takes; 0: one message at a time; None: nothing at all."""
        if self._size == 0:
            return None
        if self._size == 1:
            return 0
        return min(max(_LEAST, self._size * self._message_size()), self._most)

    def _message_size(self) -> int:
        """Of a message, on average, in bytes."""
        return self._came_bytes // self._came if self._came else self._mean


def _size_of(incoming: Incoming) -> int:
    """Of the whole frame, in bytes."""
    return len(incoming.head) + len(incoming.body) + 2


def _raw_ack(incoming: Incoming) -> bytes:
    """The id to acknowledge by, escaped as it came: the last one, since a property of the sender's may be named so."""
    head = incoming.head
    start = head.rindex(b"\nack:") + 5
    return head[start : head.index(b"\n", start)]
