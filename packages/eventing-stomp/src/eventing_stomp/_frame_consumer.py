"""One subscription, over STOMP, whatever the broker."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, TypeVar

from eventing_core.provider import Delivery, Outcome, Subscriber, Subscription
from eventing_core.provider.sockets import Carrier, Session, SocketConsumer, next_number
from eventing_stomp._delivery import FrameDelivery
from eventing_stomp._frames import Incoming
from eventing_stomp._generation import StompGeneration

S = TypeVar("S", bound=Session)

#: So much of a window has to be free, for it to be worth while to let more come together.
_MANY = 32

#: A message, and the id of the STOMP subscription by which it came.
Arrived = tuple[str, Incoming]


class FrameConsumer(SocketConsumer[StompGeneration, S]):
    """STOMP has no credit: what comes beyond the window waits here."""

    #: How its broker's frames are decoded.
    delivery: ClassVar[type[FrameDelivery]]

    def __init__(self, connection: Carrier, subscription: Subscription, subscriber: Subscriber) -> None:
        super().__init__(connection, subscription, subscriber)
        #: Delivered and not settled, by our numbers.
        self._out: dict[int, Arrived] = {}
        #: Came, and is not handed over yet.
        self._arrived: deque[Arrived] = deque()
        #: What stands for messages that can't be handed over, delivered and not settled, by our numbers.
        self._stand_ins: dict[int, Any] = {}

    # -- what a broker is ---------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def names(self) -> frozenset[str]:
        """What an ERROR frame may name that refuses it."""

    @property
    @abstractmethod
    def live(self) -> Collection[str]:
        """The ids of the STOMP subscriptions that last."""

    @abstractmethod
    def agreed(self) -> None:
        """The broker agrees to a subscription."""

    @abstractmethod
    def denied(self, error: str) -> None:
        """The broker refuses a subscription, and ends the connection for it."""

    @abstractmethod
    def acknowledge(self, settled: Sequence[Arrived]) -> None:
        """Tell the broker that they are done with."""

    def stood_in(self, settled: Sequence[Any], outcome: Outcome) -> None:
        """What stands for messages that can't be handed over is settled. Where nothing does, it isn't called."""

    # -- a subscription's handler -------------------------------------------------------------------------------------

    def answered(self, subscription: str, error: str | None) -> None:
        """The broker agrees, or refuses."""
        if subscription not in self.live:
            return
        if error is None:
            self.agreed()
            self._connection.dirty.add(self)
        else:
            self.denied(error)

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """Keep a message until all that was read is taken in."""
        if self._generation is not None:
            self._arrived.append((subscription, incoming))
            self._generation.arrivals.add(self)

    # -- messages -----------------------------------------------------------------------------------------------------

    def hand_over_arrived(self) -> bool:
        """Hand over what the window allows; whether it allows many more, without any of them settled."""
        if not self._active:
            return False
        out, arrived, make, attachment = self._out, self._arrived, self.delivery, self._attachment
        batch: list[FrameDelivery] = []
        for _ in range(min(self._size - len(out), len(arrived))):
            one = arrived.popleft()
            number = next_number()
            out[number] = one
            batch.append(make(one[1], number, attachment))
        if batch:
            self.hand_over(batch)
        return self._size - len(out) >= _MANY

    def settle_now(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle what is of this attachment. What is released waits here, and is handed over again first."""
        # To ask each for its class, which is abstract, would take as long as the rest.
        taken = [self._out.pop(getattr(delivery, "number", -1), None) for delivery in batch]
        mine = [arrived for arrived in taken if arrived is not None]
        if outcome is Outcome.ACCEPT:
            self.acknowledge(mine)
        else:
            self._arrived.extendleft(reversed(mine))
        if self._stand_ins:
            stood = [self._stand_ins.pop(getattr(delivery, "number", -1), None) for delivery in batch]
            self.stood_in([each for each in stood if each is not None], outcome)

    def void(self) -> None:
        """All that came is the broker's again."""
        self._out.clear()
        self._arrived.clear()
