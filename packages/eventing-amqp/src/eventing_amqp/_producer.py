"""Sends to one destination."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eventing_amqp import _backoff
from eventing_amqp._address import Node
from eventing_amqp._engine import State
from eventing_amqp._generation import Generation
from eventing_amqp._message import encode
from eventing_core.errors import (
    ConnectionLostError,
    MessageTooLargeError,
    SendError,
    SendRejectedError,
    SendTimeoutError,
    SubscriptionError,
    UnroutedError,
)
from eventing_core.provider import Destination, Done, Message, Producer

if TYPE_CHECKING:
    from eventing_amqp._connection import Connection
    from eventing_amqp._provisioning import Broker

_log = logging.getLogger("eventing.amqp")

#: Bytes handed to the engine at once; the rest waits for the socket to take them.
_BURST = 1 << 20

_OUTCOMES = {State.REJECTED: "rejected", State.RELEASED: "released", State.MODIFIED: "modified"}


class Send:
    """One message, from the call of `AmqpProducer.send` to its answer.

    Attributes:
        data: encoded.
        done: whom to tell, once.
        index: what to tell it by.
        deadline: of `time.monotonic`.
        sent: it was written, in this generation or an earlier one, and may have arrived.
        unrouted: the address had no queue when it was written.
    """

    __slots__ = ("data", "deadline", "done", "index", "producer", "sent", "unrouted")

    def __init__(self, producer: AmqpProducer, data: bytes, done: Done, index: int, deadline: float) -> None:
        self.producer = producer
        self.data = data
        self.done = done
        self.index = index
        self.deadline = deadline
        self.sent = False
        self.unrouted = False

    def refused(self, outcome: int, condition: tuple[str, str] | None) -> None:
        """Tell of an answer that is no plain acceptance."""
        address = self.producer.destination
        if outcome == State.ACCEPTED:
            self.tell(UnroutedError(f"{address}: the broker has no queue for it; nobody will ever get the message"))
            return
        reason = ": ".join(part for part in condition or () if part) or "no reason given"
        self.tell(SendRejectedError(f"{address}: {_OUTCOMES.get(outcome, 'not accepted')} by the broker ({reason})"))

    def tell(self, error: SendError) -> None:
        """Tell of a failure."""
        try:
            self.done(self.index, error)
        except Exception:  # noqa: BLE001 (must not end the I/O thread)
            _log.exception("the failure of a send could not be handed over")


class AmqpProducer(Producer):
    """A sender link, made again in each generation that has something to send.

    Only `send` may be called on other threads than the I/O thread.

    Attributes:
        destination: where it sends to.
    """

    def __init__(self, connection: Connection, destination: Destination) -> None:
        self.destination = destination
        self._connection = connection
        self._waiting: deque[Send] = deque()
        self._generation: Generation | None = None
        self._broker: Broker | None = None
        self._node: Node | None = None
        self._link: int | None = None
        #: The link had credit: what comes over it now is no refusal of the link itself.
        self._usable = False
        self._preparing = False
        self._retry = _backoff.Backoff(0.2, 10.0)
        self._not_before = 0.0
        self._limit = 0

    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        """Encode, and hand over to the I/O thread."""
        sends = [Send(self, encode(message, delay), done, index, deadline) for index, message in enumerate(batch)]
        if sends:
            self._connection.hand_over(self._take, sends)

    # -- on the I/O thread --------------------------------------------------------------------------------------------

    def _take(self, sends: list[Send]) -> None:
        connection = self._connection
        if connection.refusing:
            for send in sends:
                send.tell(ConnectionLostError("the provider is closed"))
            return
        self._waiting.extend(sends)
        connection.expire_by(sends[0].deadline)
        connection.dirty.add(self)

    def attach(self, generation: Generation, broker: Broker, node: Node) -> None:
        """There is a connection."""
        self._generation = generation
        self._broker = broker
        self._node = node
        self._link = None
        self._usable = self._preparing = False
        self._not_before = 0.0
        if self._waiting:
            self._connection.dirty.add(self)

    def lost(self) -> None:
        """The connection is gone: what has no answer is sent again, first."""
        if self._generation is not None:
            self._take_back(self._generation)
        self._generation = self._broker = None
        self._link = None

    def _take_back(self, generation: Generation) -> None:
        mine = [(delivery, send) for delivery, send in generation.sends.items() if isinstance(send, Send)]
        for delivery, send in reversed(mine):
            if send.producer is self:
                del generation.sends[delivery]
                self._waiting.appendleft(send)

    def flush(self) -> None:
        """Write what the broker gives credit for."""
        waiting, generation, broker, node = self._waiting, self._generation, self._broker, self._node
        if not waiting or generation is None or broker is None or node is None:
            return
        link = self._link
        if link is None:
            self._prepare(generation, broker, node)
            return
        credit = generation.lib.pn_link_credit(link)
        if credit <= 0:
            return
        if not self._usable:
            self._usable = True
            self._retry.reset()
            self._limit = generation.lib.pn_link_remote_max_message_size(link)
        routed = True
        if node.topic:
            answer = broker.ask_routed(node.topic, self._asked)
            if answer is None:
                return
            routed = answer
        self._write(generation, link, credit, unrouted=not routed)

    def _write(self, generation: Generation, link: int, credit: int, *, unrouted: bool) -> None:
        waiting, write, limit = self._waiting, generation.send, self._limit
        left = _BURST
        while waiting and credit > 0:
            if left <= 0:
                # Go on when the socket has taken this.
                self._connection.dirty.add(self)
                return
            send = waiting.popleft()
            size = len(send.data)
            if limit and size > limit:
                send.tell(MessageTooLargeError(f"{self.destination}: {size} bytes; the broker takes {limit}"))
                continue
            send.sent = True
            send.unrouted = unrouted
            write(link, send)
            credit -= 1
            left -= size

    def _asked(self, _: bool) -> None:  # noqa: FBT001 (a callback of one argument)
        self._connection.dirty.add(self)

    def _prepare(self, generation: Generation, broker: Broker, node: Node) -> None:
        """Make the queue, where there is one, then attach."""
        if self._preparing:
            return
        now = time.monotonic()
        if now < self._not_before:
            self._connection.loop.call_at(self._not_before, lambda: self._connection.dirty.add(self))
            return
        self._preparing = True
        if node.queue is None:
            self._open(generation, node)
            return

        def ready(error: SubscriptionError | None) -> None:
            if generation is not self._generation:
                return
            if error is None:
                self._open(generation, node)
            else:
                self._give_up(str(error))

        broker.ensure(self._connection.queue_of(node.queue), ready)

    def _open(self, generation: Generation, node: Node) -> None:
        self._preparing = False
        self._usable = False
        self._link = generation.sender(node.address, node.capability, self)

    def _give_up(self, reason: str) -> None:
        """The link can't be had: fail what waits for it."""
        self._preparing = False
        self._not_before = time.monotonic() + self._retry.next()
        failed, self._waiting = self._waiting, deque()
        for send in failed:
            send.tell(SendRejectedError(f"{self.destination}: {reason}", in_doubt=send.sent))

    # -- the link's handler -------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The link is there; credit comes next."""

    def flowed(self) -> None:
        """There may be credit."""
        if self._waiting:
            self._connection.dirty.add(self)

    def arrived(self) -> None:
        """Nothing arrives on a sender."""

    def closed(self, condition: tuple[str, str] | None) -> None:
        """The broker refused or closed the link."""
        was_usable, self._usable, self._link = self._usable, False, None
        generation = self._generation
        if generation is None:
            return
        self._take_back(generation)
        reason = ": ".join(part for part in condition or () if part) or "no reason given"
        if not was_usable:
            self._give_up(f"the broker refuses a sender ({reason})")
            return
        _log.warning("%s: the broker closed the sender (%s); attaching again", self.destination, reason)
        if self._broker is not None and self._node is not None and self._node.queue is not None:
            self._broker.forget(self._node.queue)
        self._not_before = time.monotonic() + self._retry.next()
        self._connection.dirty.add(self)

    # -- time and the end ---------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Something waits to be written."""
        return bool(self._waiting)

    def expire(self, now: float) -> float:
        """Fail what waits longer than it may; return the earliest deadline of the rest."""
        earliest = float("inf")
        if any(send.deadline <= now for send in self._waiting):
            rest: deque[Send] = deque()
            late: list[Send] = []
            for send in self._waiting:
                (late if send.deadline <= now else rest).append(send)
            self._waiting = rest
            why = self._why_waiting()
            for send in late:
                send.tell(SendTimeoutError(f"{self.destination}: {why}", in_doubt=send.sent))
        for send in self._waiting:
            earliest = min(earliest, send.deadline)
        return earliest

    def _why_waiting(self) -> str:
        if self._generation is None:
            return f"not sent in time: {self._connection.health().error or 'not connected'}"
        if self._link is None or self._usable:
            return "not sent in time"
        return "not sent in time: the broker gives no credit (is the address full?)"

    def fail(self, error_text: str) -> None:
        """Fail all that waits: the provider is closed."""
        failed, self._waiting = self._waiting, deque()
        for send in failed:
            send.tell(ConnectionLostError(f"{self.destination}: {error_text}", in_doubt=send.sent))
