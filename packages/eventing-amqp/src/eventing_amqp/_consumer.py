"""One subscription, over AMQP."""

from __future__ import annotations

from collections.abc import Sequence

from eventing_amqp._engine import State
from eventing_amqp._generation import AmqpGeneration
from eventing_amqp._message import AmqpDelivery
from eventing_core.provider import Delivery, Outcome
from eventing_core.provider.artemis import ArtemisSession, Queue, is_consumer_limit, of_refusal
from eventing_core.provider.sockets import SocketConsumer, next_number

_STATES = {Outcome.ACCEPT: State.ACCEPTED, Outcome.RELEASE: State.RELEASED}


class AmqpConsumer(SocketConsumer[AmqpGeneration, ArtemisSession]):
    """A receiver link, attached again in each generation."""

    _link: int | None = None
    _queue: Queue
    #: Delivered and not settled: the engine's deliveries by our numbers.
    _out: dict[int, int]

    def attach_now(self, generation: AmqpGeneration, session: ArtemisSession) -> None:
        """Attach a receiver."""
        node, self._queue = session.source(self.subscription)
        self._out = {}
        self._link = generation.receiver(node.address, "queue" if node.anycast else "topic", self)

    def detach_now(self, generation: AmqpGeneration) -> bool:
        """Close the link."""
        if self._link is None:
            return False
        generation.close_link(self._link)
        return True

    def forget(self) -> None:
        """There is no link."""
        if self._link is not None and self._generation is not None:
            self._generation.received.difference_update(self._out.values())
        self._link = None
        self._out = {}

    # -- settling and credit ------------------------------------------------------------------------------------------

    def settle_now(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle what is of this link."""
        generation = self._generation
        if generation is None or self._link is None:
            return
        state = _STATES[outcome]
        out, lib, forget = self._out, generation.lib, generation.received.discard
        update, settle = lib.pn_delivery_update, lib.pn_delivery_settle
        for delivery in batch:
            pointer = out.pop(delivery.number, None) if isinstance(delivery, AmqpDelivery) else None
            if pointer is not None:
                forget(pointer)
                update(pointer, state)
                settle(pointer)
        if state == State.RELEASED:
            # Credit that the broker sees first would be used for what is behind the ones given back.
            generation.frame()

    def flush(self) -> None:
        """Give the credit that the window allows, in few frames."""
        generation, link, size = self._generation, self._link, self._size
        if generation is None or link is None or not self._active:
            return
        # Below zero where it was lowered while deliveries were on their way.
        credit: int = generation.lib.pn_link_credit(link)
        free = size - len(self._out) - credit
        # Less than a quarter waits until there is more, or until nothing is left to come.
        if free > 0 and (free * 4 >= size or credit <= 0):
            generation.lib.pn_link_flow(link, free)
        elif free < 0 < credit:
            # The specification (part 2, section 2.6.7) lets receivers lower the credit.
            generation.lib.pn_link_flow(link, -min(-free, credit))

    # -- the link's handler -------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The queue is ours to consume from."""
        if self._session is not None:
            self._session.attached(self._queue)
        self.attached()

    def flowed(self) -> None:
        """A receiver gives credit, and gets none."""

    def arrived(self) -> None:
        """Hand over what has come."""
        generation, link = self._generation, self._link
        if generation is None or link is None:
            return
        taken = generation.receive(link)
        if not self._active:
            # They go back with the link.
            generation.received.difference_update([pointer for pointer, _ in taken])
            return
        if not taken:
            # One that the broker aborted has used credit up.
            self._connection.dirty.add(self)
            return
        out, attachment = self._out, self._attachment
        batch: list[AmqpDelivery] = []
        for pointer, raw in taken:
            delivery = AmqpDelivery(raw, next_number(), attachment)
            out[delivery.number] = pointer
            batch.append(delivery)
        self.hand_over(batch)

    def closed(self, condition: tuple[str, str] | None) -> None:
        """The broker refused or closed the link, or agreed to our closing it."""
        name, description = condition or ("", "")
        if not self._active and self._closing is None and is_consumer_limit(description):
            self.in_use(self._queue.name)
        else:
            self.detached(of_refusal(self._queue, name, description))
