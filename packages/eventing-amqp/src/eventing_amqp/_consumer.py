"""One subscription, over AMQP."""

from __future__ import annotations

from collections.abc import Sequence

from eventing_amqp._engine import State
from eventing_amqp._generation import AmqpGeneration
from eventing_amqp._message import AmqpDelivery
from eventing_amqp._proton import Link
from eventing_core.provider import Delivery, Outcome
from eventing_core.provider.artemis import ArtemisSession, Queue, is_consumer_limit, of_refusal
from eventing_core.provider.sockets import SocketConsumer

_OUTCOMES = {Outcome.ACCEPT: State.ACCEPTED, Outcome.RELEASE: State.RELEASED}


class AmqpConsumer(SocketConsumer[AmqpGeneration, ArtemisSession]):
    """A receiver link, attached again in each generation."""

    _link: Link | None = None
    _queue: Queue

    def attach_now(self, generation: AmqpGeneration, session: ArtemisSession) -> None:
        """Attach a receiver."""
        node, self._queue = session.source(self.subscription)
        self._link = generation.receiver(node.address, "queue" if node.anycast else "topic", self)

    def detach_now(self, generation: AmqpGeneration) -> bool:  # noqa: ARG002 (the base class's)
        """Close the link."""
        if self._link is None:
            return False
        self._link.close()
        return True

    def forget(self) -> None:
        """There is no link."""
        if self._link is not None:
            self._link.forget()
        self._link = None

    # -- settling and credit ------------------------------------------------------------------------------------------

    def settle_now(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle what is of this link."""
        if self._link is not None:
            self._link.settle(batch, _OUTCOMES[outcome])

    def flush(self) -> None:
        """Give the credit that the window allows, in few frames."""
        link, size = self._link, self._size
        if link is None or not self._active:
            return
        # Below zero where it was lowered while deliveries were on their way.
        credit = link.credit()
        free = size - len(link.out) - credit
        # Less than a quarter waits until there is more, or until nothing is left to come.
        if free > 0 and (free * 4 >= size or credit <= 0):
            link.flow(free)
        elif free < 0 < credit:
            # The specification (part 2, section 2.6.7) lets receivers lower the credit.
            link.flow(-min(-free, credit))

    @property
    def is_waiting(self) -> bool:
        """Whether it would take a message, and has none."""
        link = self._link
        return self._active and self._size > 0 and link is not None and not link.out

    # -- the link's handler -------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The subscription is attached to its queue."""
        if self._session is not None:
            self._session.attached(self._queue)
            self._session.stalls.watch(self._queue, self)
        self.attached()

    def flowed(self) -> None:
        """A receiver gives credit, and gets none."""

    def arrived(self) -> None:
        """Hand over what has come."""
        link = self._link
        if link is None:
            return
        taken = link.receive()
        if not self._active:
            link.drop([number for number, _ in taken])
        elif taken:
            attachment, batch = self._attachment, list[AmqpDelivery]()
            for number, raw in taken:
                batch.append(AmqpDelivery(raw, number, attachment))
            self.hand_over(batch)
        else:
            # One that the broker aborted has used credit up.
            self._connection.dirty.add(self)

    def closed(self, condition: tuple[str, str] | None) -> None:
        """The broker refused or closed the link, or agreed to our closing it."""
        name, description = condition or ("", "")
        if not self._active and self._closing is None and is_consumer_limit(description):
            self.in_use(self._queue.name)
        else:
            self.detached(of_refusal(self._queue, name, description))
