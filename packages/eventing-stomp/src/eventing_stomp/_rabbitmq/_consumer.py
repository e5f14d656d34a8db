"""One subscription, over RabbitMQ.

Here a STOMP subscription has a bound in messages, fixed when it is made. So the window is made of several: where it
grows there is one more; where it shrinks they end, and one new one begins. What ended ones had out stays out, and
counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

from eventing_core.errors import SubscriptionError
from eventing_core.provider import Subscriber, Subscription
from eventing_core.provider.sockets import Alarm, Carrier
from eventing_stomp._frame_consumer import Arrived, FrameConsumer
from eventing_stomp._frames import Incoming
from eventing_stomp._generation import StompGeneration
from eventing_stomp._rabbitmq._address import Queue, quoted
from eventing_stomp._rabbitmq._message import RabbitDelivery
from eventing_stomp._rabbitmq._session import RabbitSession

#: How long to wait for what may be on its way to a subscription that is to end, in seconds.
_QUIET = 0.05

#: So many STOMP subscriptions make up a window as exactly as can be.
_MANY = 8


class RabbitConsumer(FrameConsumer[RabbitSession]):
    """STOMP subscriptions to one queue, made again in each generation.

    Args:
        connection: what carries it.
        subscription: what to consume.
        subscriber: who gets it.
        queue: the same, as the broker calls it.

    Attributes:
        queue: what it consumes.
    """

    delivery = RabbitDelivery
    #: With the end of the connection everything goes back.
    gives_back = False

    def __init__(self, connection: Carrier, subscription: Subscription, subscriber: Subscriber, queue: Queue) -> None:
        super().__init__(connection, subscription, subscriber)
        self.queue = queue
        #: Subscriptions that last, and how many messages each may have out.
        self._live: dict[str, int] = {}
        self._lock: _Lock | None = None
        self._ending: _Ending | None = None
        #: There was a window, in this attachment: before, the first subscription is no more than it should be.
        self._given = False
        #: The window is wider than the subscriptions, by too little for one more of them.
        self._lacks = False

    @property
    def names(self) -> frozenset[str]:
        """Those of its queue."""
        return self.queue.names

    @property
    def live(self) -> Collection[str]:
        """The STOMP subscriptions that last."""
        return self._live

    # -- attaching ----------------------------------------------------------------------------------------------------

    def attach_now(self, generation: StompGeneration, session: RabbitSession) -> None:
        """Be the only one, where only one may; then subscribe, which makes the queue."""
        # Without any there would be no answer; one message may come, and waits for the window.
        if self.queue.lock:
            self._lock = _Lock(generation, self, lambda: self._subscribe(session, 1))
        else:
            self._subscribe(session, 1)

    def _subscribe(self, session: RabbitSession, prefetch: int) -> None:
        self._live[session.subscribe(self.queue, prefetch, self)] = prefetch

    def agreed(self) -> None:
        """The queue is there."""
        self.attached()

    def denied(self, error: str) -> None:
        """It can't be had."""
        fix = ""
        if "inequivalent arg 'x-expires'" in error:
            fix = (
                "; it was created with another member_expiry: set that value, or delete it, so that it is created again"
            )
        elif "inequivalent arg" in error:
            fix = "; it exists with other settings: delete it, so that it is created again"
        elif "ACCESS_REFUSED" in error:
            fix = ": give the user that permission (rabbitmqctl set_permissions)"
        self.refused(SubscriptionError(f"queue {self.queue.name!r}: refused ({error}){fix}"))

    def detach_now(self, generation: StompGeneration) -> bool:  # noqa: ARG002 (the interface)
        """End the subscriptions, and give everything back."""
        session, attempt = self._session, self._attempt
        if session is None or not (self._live or self._out or self._arrived):
            return False

        def ended() -> None:
            for _, incoming in [*self._out.values(), *self._arrived]:
                session.give_back(incoming, live=False)
            self.void()
            if self._lock is not None:
                self._lock.end()
            session.when_done(lambda: self.detached(SubscriptionError("closed")) if attempt == self._attempt else None)

        self._end_subscriptions(session, ended)
        return True

    def _end_subscriptions(self, session: RabbitSession, then: Callable[[], None]) -> None:
        """End all of them, at a moment at which nothing is on its way: when each has all out that it may have.

        Until then nothing is acknowledged. Where there is nothing more to come that moment never comes, and it isn't
        waited for.
        """
        if self._ending is None:
            attempt = self._attempt
            timer = session.call_in(_QUIET, lambda: self._end_now(session) if attempt == self._attempt else None)
            self._ending = _Ending(then, timer)
        else:
            self._ending.then = then
        self._end_if_full(session)

    def _end_if_full(self, session: RabbitSession) -> None:
        if self._is_full():
            self._end_now(session)

    def _is_full(self) -> bool:
        """Each subscription has all out that it may have."""
        counts = Counter(subscription for subscription, _ in self._unsettled())
        return all(counts[subscription] >= prefetch for subscription, prefetch in self._live.items())

    def _unsettled(self) -> list[Arrived]:
        withheld = self._ending.accepted if self._ending is not None else []
        return [*self._out.values(), *self._arrived, *withheld]

    def _end_now(self, session: RabbitSession) -> None:
        ending, self._ending = self._ending, None
        if ending is None:
            return
        ending.timer.cancel()
        for subscription in self._live:
            session.unsubscribe(subscription)
        self._live.clear()
        for _, incoming in ending.accepted:
            session.accept(incoming, live=False)
        ending.then()

    def forget(self) -> None:
        """There is no subscription any more; those of a living connection are ended."""
        generation, session = self._generation, self._session
        if generation is not None and generation.failure is None and session is not None:
            for subscription in self._live:
                session.unsubscribe(subscription)
            if self._lock is not None:
                self._lock.end()
        if self._ending is not None:
            self._ending.timer.cancel()
        self._ending = None
        self._live.clear()
        self.void()
        self._lock = None
        self._given = False

    # -- messages -----------------------------------------------------------------------------------------------------

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """Keep a message until all that was read is taken in."""
        session = self._session
        if session is not None and self._closing is not None and self._ending is None:
            session.give_back(incoming, live=False)
            return
        super().arrived(subscription, incoming)
        if subscription not in self._live:
            # It was on its way when its subscription ended.
            self._connection.dirty.add(self)

    def hand_over_arrived(self) -> bool:
        """Hand over what the window allows; whether it and the broker allow many more."""
        if self._ending is not None and self._session is not None:
            self._end_if_full(self._session)
        elif self._lacks and self._is_full():
            self._connection.dirty.add(self)
        if self._closing is not None:
            return False
        has_room = super().hand_over_arrived()
        return has_room and self._ending is None and not self._lacks

    def acknowledge(self, settled: Sequence[Arrived]) -> None:
        """ACK frames, unless a subscription that may have messages on their way is to end."""
        session = self._session
        if self._ending is not None:
            self._ending.accepted += settled
        elif session is not None:
            for subscription, incoming in settled:
                session.accept(incoming, live=subscription in self._live)

    def flush(self) -> None:
        """Subscribe as the window wants it, give back what is beyond it, and hand over what it allows."""
        generation, session, size = self._generation, self._session, self._size
        if generation is None or session is None or not self._active or self._closing is not None:
            return
        self._given = self._given or size > 0
        allowed = sum(self._live.values()) if self._given else 0
        if allowed > size:
            self._end_subscriptions(session, lambda: self._connection.dirty.add(self))
        elif self._ending is None:
            ended = self._give_back_beyond(session, size - allowed)
            free = size - allowed - ended
            if free > 0 and (free * 4 >= size or len(self._live) < _MANY):
                self._subscribe(session, free)
                free = 0
            elif free > 0 and self._is_full():
                # There are many already: one takes their place.
                self._end_subscriptions(session, lambda: self._connection.dirty.add(self))
            self._lacks = free > 0
        self.hand_over_arrived()

    def _give_back_beyond(self, session: RabbitSession, room: int) -> int:
        """Give back what waits of ended subscriptions, but for so many; return how many of theirs are unsettled."""
        ended = sum(subscription not in self._live for subscription, _ in self._unsettled())
        for arrived in reversed([*self._arrived]):
            if ended > room and arrived[0] not in self._live:
                ended -= 1
                self._arrived.remove(arrived)
                session.give_back(arrived[1], live=False)
        return ended


class _Ending:
    """Subscriptions that are to end.

    Attributes:
        then: what follows.
        timer: ends them, however it is.
        accepted: what is acknowledged afterwards.
    """

    def __init__(self, then: Callable[[], None], timer: Alarm) -> None:
        self.then = then
        self.timer = timer
        self.accepted: list[Arrived] = []


class _Lock:
    """A queue that no other connection can have while this one does."""

    gives_back = False

    def __init__(self, generation: StompGeneration, consumer: RabbitConsumer, then: Callable[[], None]) -> None:
        name = consumer.queue.lock
        self.names = frozenset((name,))
        self._generation = generation
        self._then = then
        self._consumer: RabbitConsumer | None = consumer
        headers = {
            "destination": f"/queue/{quoted(name)}",
            "durable": "false",
            "exclusive": "true",
            "auto-delete": "true",
        }
        self._subscription = generation.subscribe(self, headers)

    def answered(self, subscription: str, error: str | None) -> None:  # noqa: ARG002 (a handler's signature)
        """It is ours; or another process has it."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        if error is None:
            self._then()
        elif "RESOURCE_LOCKED" in error:
            consumer.in_use(consumer.queue.name)
        elif "NOT_FOUND" not in error:
            consumer.denied(error)
        # Else this connection had it before, and RabbitMQ makes a queue once in a connection. This one has ended now.

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """Nobody sends to it."""

    def end(self) -> None:
        """Let others have it."""
        self._consumer = None
        if self._subscription in self._generation.subscriptions:
            self._generation.unsubscribe(self._subscription)
