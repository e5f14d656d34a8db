"""One subscription, over RabbitMQ.

Here a STOMP subscription has a bound in messages, fixed when it is made. So the window is made of several: where it
grows there is one more; where it shrinks they end, and one new one begins. What ended ones had out stays out, and
counts.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from eventing_core.errors import SubscriptionError
from eventing_core.provider import Delivery, Outcome, Subscriber, Subscription
from eventing_core.provider.sockets import SocketConsumer, Timer, next_number
from eventing_stomp._frames import Incoming, frame
from eventing_stomp._generation import StompGeneration
from eventing_stomp._rabbitmq._address import quoted
from eventing_stomp._rabbitmq._message import RabbitDelivery
from eventing_stomp._rabbitmq._session import RabbitSession

if TYPE_CHECKING:
    from eventing_stomp._rabbitmq._connection import RabbitConnection


#: How long to wait for what may be on its way to a subscription that is to end, in seconds.
_QUIET = 0.05


class RabbitConsumer(SocketConsumer[StompGeneration, RabbitSession]):
    """STOMP subscriptions to one queue, made again in each generation.

    Attributes:
        address: the queue, as errors name it.
    """

    #: With the end of the connection everything goes back.
    gives_back = False

    def __init__(self, connection: RabbitConnection, subscription: Subscription, subscriber: Subscriber) -> None:
        super().__init__(connection, subscription, subscriber)
        self._queue = connection.model.queue(subscription.destination)
        self.address = self._queue.name
        #: Subscriptions that last, and how many messages each may have out.
        self._live: dict[str, int] = {}
        #: Delivered and not settled, by our numbers: by which subscription it came.
        self._out: dict[int, tuple[str, Incoming]] = {}
        #: Came, and is not handed over yet.
        self._arrived: deque[tuple[str, Incoming]] = deque()
        self._lock: _Lock | None = None
        self._ending: _Ending | None = None
        #: There was a window, in this attachment: before, the first subscription is no more than it should be.
        self._given = False

    # -- attaching ----------------------------------------------------------------------------------------------------

    def attach_now(self, generation: StompGeneration, session: RabbitSession) -> None:
        """Be the only one, where only one may; then subscribe, which makes the queue."""
        if self._queue.lock:
            self._lock = _Lock(generation, self, self._queue.lock, lambda: self._subscribe_first(generation, session))
        else:
            self._subscribe_first(generation, session)

    def _subscribe_first(self, generation: StompGeneration, session: RabbitSession) -> None:
        """Subscribe, and be attached when the broker has agreed."""
        attempt = self._attempt

        def agreed(error: str | None) -> None:
            if attempt != self._attempt:
                return
            if error is None:
                self.attached()
                self._connection.dirty.add(self)
            else:
                self.blamed(SubscriptionError(error))

        # Without any there would be no answer; one message may come, and waits for the window.
        generation.receipts[self._subscribe(session, 1)] = agreed

    def _subscribe(self, session: RabbitSession, prefetch: int) -> str:
        subscription = str(next_number())
        self._live[subscription] = prefetch
        return session.subscribe(self._queue, subscription, prefetch, self)

    def blamed(self, error: SubscriptionError) -> None:
        """The broker refuses, and ends the connection for it."""
        self.refused(SubscriptionError(f"queue {self._queue.name!r}: refused ({error})"))

    def detach_now(self, generation: StompGeneration) -> bool:  # noqa: ARG002 (the interface)
        """End the subscriptions, and give everything back."""
        session, attempt = self._session, self._attempt
        if session is None or not (self._live or self._out or self._arrived):
            return False

        def ended() -> None:
            for _, incoming in [*self._out.values(), *self._arrived]:
                session.give_back(incoming, live=False)
            self._out.clear()
            self._arrived.clear()
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
        counts = Counter(subscription for subscription, _ in self._unsettled())
        if all(counts[subscription] >= prefetch for subscription, prefetch in self._live.items()):
            self._end_now(session)

    def _unsettled(self) -> list[tuple[str, Incoming]]:
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
        self._out.clear()
        self._arrived.clear()
        self._lock = None
        self._given = False

    # -- messages -----------------------------------------------------------------------------------------------------

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """Keep a message until all that was read is taken in."""
        generation, session = self._generation, self._session
        if generation is None or session is None:
            return
        if self._closing is not None and self._ending is None:
            session.give_back(incoming, live=False)
            return
        self._arrived.append((subscription, incoming))
        generation.arrivals.add(self)
        if subscription not in self._live:
            # It was on its way when its subscription ended.
            self._connection.dirty.add(self)

    def hand_over_arrived(self) -> None:
        """Hand over what the window allows."""
        if self._ending is not None and self._session is not None:
            self._end_if_full(self._session)
        if not self._active or self._closing is not None:
            return
        room = self._size - len(self._out)
        batch: list[RabbitDelivery] = []
        while self._arrived and len(batch) < room:
            arrived = self._arrived.popleft()
            delivery = RabbitDelivery(arrived[1], next_number(), self._attachment)
            self._out[delivery.number] = arrived
            batch.append(delivery)
        if batch:
            self.hand_over(batch)

    def settle_now(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle what is of this attachment. What is released waits here, and is handed over again first."""
        session = self._session
        if session is None:
            return
        taken = [self._out.pop(delivery.number, None) for delivery in batch if isinstance(delivery, RabbitDelivery)]
        mine = [arrived for arrived in taken if arrived is not None]
        if outcome is Outcome.ACCEPT and self._ending is not None:
            self._ending.accepted += mine
        elif outcome is Outcome.ACCEPT:
            for subscription, incoming in mine:
                session.accept(incoming, live=subscription in self._live)
        else:
            self._arrived.extendleft(reversed(mine))

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
            # Less than a quarter waits until there is more, or until nothing is left to come.
            if free > 0 and (free * 4 >= size or not allowed):
                self._subscribe(session, free)
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

    def __init__(self, then: Callable[[], None], timer: Timer) -> None:
        self.then = then
        self.timer = timer
        self.accepted: list[tuple[str, Incoming]] = []


class _Lock:
    """A queue that no other connection can have while this one does."""

    gives_back = False

    def __init__(
        self, generation: StompGeneration, consumer: RabbitConsumer, name: str, then: Callable[[], None]
    ) -> None:
        self.address = name
        self._generation = generation
        self._then = then
        self._consumer: RabbitConsumer | None = consumer
        self._subscription = f"owner-{next_number()}"
        generation.subscriptions[self._subscription] = self
        generation.receipts[self._subscription] = self._answered
        headers = {
            "id": self._subscription,
            "destination": f"/queue/{quoted(name)}",
            "durable": "false",
            "exclusive": "true",
            "auto-delete": "true",
            "receipt": self._subscription,
        }
        generation.put(frame("SUBSCRIBE", headers))

    def _answered(self, error: str | None) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        if error is None:
            self._then()
        elif "RESOURCE_LOCKED" in error:
            consumer.in_use(consumer.address)
        else:
            consumer.blamed(SubscriptionError(error))

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """Nobody sends to it."""

    def blamed(self, error: SubscriptionError) -> None:
        """Another process has it."""
        self._answered(str(error))

    def end(self) -> None:
        """Let others have it."""
        self._consumer = None
        if self._generation.subscriptions.pop(self._subscription, None) is not None:
            self._generation.put(frame("UNSUBSCRIBE", {"id": self._subscription}))
