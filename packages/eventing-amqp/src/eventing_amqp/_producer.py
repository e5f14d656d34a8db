"""Sends to one destination, over AMQP."""

from __future__ import annotations

import contextlib
import logging

from eventing_amqp._engine import State
from eventing_amqp._generation import AmqpGeneration
from eventing_amqp._message import encode, filter_of
from eventing_amqp._proton import Link
from eventing_core.errors import MessageTooLargeError, SendRejectedError
from eventing_core.provider import Message
from eventing_core.provider.artemis import ArtemisProducer, is_permanent, missing_right
from eventing_core.provider.sockets import Send, of_encoding

_log = logging.getLogger("eventing.amqp")

#: Bytes handed to the engine at once; the rest waits for the socket to take them.
_BURST = 1 << 20

_OUTCOMES = {State.REJECTED: "rejected", State.RELEASED: "released", State.MODIFIED: "modified"}


class AmqpProducer(ArtemisProducer[AmqpGeneration]):
    """A sender link, made again in each generation that has something to send."""

    _link: Link | None = None
    #: The link had credit: what comes over it now is no refusal of the link itself.
    _usable = False
    _limit = 0

    def encode(self, message: Message, delay: float) -> bytes:
        """The message as AMQP's sections."""
        try:
            return encode(message, delay)
        except UnicodeEncodeError as error:
            raise of_encoding(self.destination, message, error) from None

    def filter_of(self, data: bytes) -> str:
        """What finds a message in its queue."""
        return filter_of(data)

    def reset(self) -> None:
        """There is no link."""
        super().reset()
        self._link = None
        self._usable = False

    def why_waiting(self) -> str:
        """The broker's credit is what it waits for."""
        if self._link is None or self._usable:
            return "not sent in time"
        return "not sent in time: the broker gives no credit (is the address full?)"

    def can_write(self, generation: AmqpGeneration) -> bool:
        """Whether the link is there, and has credit."""
        if self._link is None:
            capability = "queue" if self._node.anycast else "topic"
            self._link = generation.sender(self._node.address, capability, self)
            return False
        if self._link.credit() <= 0:
            return False
        if not self._usable:
            self._usable = True
            self._limit = self._link.limit
        return True

    def write(self, generation: AmqpGeneration, *, unrouted: bool) -> None:  # noqa: ARG002 (the base class's)
        """Write what there is credit for."""
        link = self._link
        if link is None:
            return
        waiting, write, limit = self._waiting, link.send, self._limit
        credit = link.credit()
        left = _BURST
        while waiting and credit > 0:
            if left <= 0:
                # Go on when the socket has taken this.
                self._connection.dirty.add(self)
                return
            send = waiting.popleft()
            size = len(send.data)
            if limit and size > limit:
                send.tell(MessageTooLargeError(f"{self.destination}: {size} bytes; the broker accepts at most {limit}"))
                continue
            send.sent = True
            send.unrouted = unrouted
            write(send)
            credit -= 1
            left -= size

    def refused(self, send: Send, outcome: int, condition: tuple[str, str] | None) -> None:
        """The broker answered with something else than a plain acceptance."""
        if outcome == State.ACCEPTED:
            self.confirmed(send)
            return
        reason = ": ".join(part for part in condition or () if part) or "no reason given"
        what = missing_right(reason) or f"{_OUTCOMES.get(outcome, 'not accepted')} by the broker ({reason})"
        text = f"{self.destination}: {what}"
        if self._node.queue is not None:
            # It may have been deleted meanwhile.
            self.prepare_again()
        send.tell(SendRejectedError(text, in_doubt=send.in_doubt, permanent=is_permanent(reason)))

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
        if self._generation is None:
            return
        self.take_back()
        reason = ": ".join(part for part in condition or () if part) or "no reason given"
        if not was_usable:
            right = missing_right(reason)
            self.give_up(right or f"the broker refuses a sender ({reason}): see the broker's log")
            return
        self.begin_again()
        with contextlib.suppress(Exception):
            _log.warning("%s: the broker closed the sender (%s); attaching again", self.destination, reason)
