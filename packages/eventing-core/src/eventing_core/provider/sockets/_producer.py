"""Sends to one destination, through the generations of a connection."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from eventing_core.errors import ConnectionLostError, SendRejectedError, SendTimeoutError
from eventing_core.provider._interface import Destination, Done, Message, Producer
from eventing_core.provider._timer import Alarm
from eventing_core.provider.sockets._backoff import Backoff
from eventing_core.provider.sockets._carrier import Carrier
from eventing_core.provider.sockets._generation import Generation
from eventing_core.provider.sockets._send import Send
from eventing_core.provider.sockets._session import Session

G = TypeVar("G", bound=Generation)
S = TypeVar("S", bound=Session)

#: Waits before a sender that was refused is tried again, in seconds; they begin anew after so many without refusal.
_RETRY = (0.2, 10.0)
_STABLE = 5.0

#: So many sends in a row that are refused are taken for all.
_REFUSALS = 2


class SocketProducer(Producer, Generic[G, S]):
    """Holds sends that wait to be written, and those that were not answered in an earlier generation.

    Only `send` may be called on other threads than the I/O thread. A transport derives from it and says how a message
    is encoded and written.

    Attributes:
        destination: where it sends to.
    """

    def __init__(self, connection: Carrier, destination: Destination) -> None:
        self.destination = destination
        self._connection = connection
        self._waiting: deque[Send] = deque()
        self._generation: G | None = None
        self._session: S | None = None
        self._retry = Backoff(*_RETRY)
        self._not_before = 0.0
        #: Sends that the broker refused by ending the connection, since it confirmed one.
        self._refusals = 0
        self._alarm: Alarm | None = None

    # -- what a transport is -------------------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, message: Message, delay: float) -> bytes:
        """The message as bytes; on the caller's thread."""

    @abstractmethod
    def flush(self) -> None:
        """Write what waits, as far as the broker lets it; again when the connection is `dirty` with this producer."""

    def reset(self) -> None:
        """A generation begins or has ended: what the transport keeps of it is void."""

    def why_waiting(self) -> str:
        """What a send that waits in an open generation waits for."""
        return "not sent in time"

    # -- any thread ---------------------------------------------------------------------------------------------------

    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        """Encode, and hand over to the I/O thread."""
        sends = [Send(self, self.encode(message, delay), done, index, deadline) for index, message in enumerate(batch)]
        if sends:
            self._connection.hand_over(self._take, sends)

    # -- on the I/O thread --------------------------------------------------------------------------------------------

    def _take(self, sends: list[Send]) -> None:
        connection = self._connection
        if connection.closing:
            for send in sends:
                send.tell(ConnectionLostError("the provider is closed"))
            return
        self._waiting.extend(sends)
        connection.expire_by(sends[0].deadline)
        connection.dirty.add(self)

    def attach(self, generation: G, session: S) -> None:
        """There is a connection."""
        self._generation = generation
        self._session = session
        if not self._refusals:
            self._not_before = 0.0
            self._retry.reset()
        self.reset()
        if self._waiting:
            self._connection.dirty.add(self)

    def lost(self) -> None:
        """The connection is lost: sends without an answer are sent again, first."""
        self.take_back()
        self._generation = self._session = None
        self.reset()

    def take_back(self) -> None:
        """Send everything without an answer in this generation again, before newer sends."""
        generation = self._generation
        if generation is None:
            return
        mine = [
            (key, send) for key, send in generation.sends.items() if isinstance(send, Send) and send.producer is self
        ]
        for key, send in reversed(mine):
            del generation.sends[key]
            send.in_doubt = True
            self._waiting.appendleft(send)

    def must_wait(self) -> bool:
        """Whether it is too early to try again; it is tried when it is time."""
        if time.monotonic() >= self._not_before:
            return False
        if self._alarm is None or self._alarm.is_cancelled:
            self._alarm = self._connection.loop.call_at(
                self._not_before, lambda: self._connection.dirty.add(self) if self._waiting else None
            )
        return True

    def wait_before_retry(self) -> None:
        """Wait before the next attempt."""
        now = time.monotonic()
        if now > self._not_before + _STABLE:
            self._retry.reset()
        self._not_before = now + self._retry.next()

    def give_up(self, reason: str) -> None:
        """The broker accepts nothing for this destination: fail all waiting sends."""
        self.wait_before_retry()
        failed, self._waiting = self._waiting, deque()
        for send in failed:
            send.tell(SendRejectedError(f"{self.destination}: {reason}", in_doubt=send.sent))

    def hold_back(self, reason: str) -> None:
        """The broker refused a send and closes the connection, which affects all other sends, so wait before a retry.

        The next send may succeed. If it is refused as well, all waiting sends would be, with one connection each.
        """
        self._refusals += 1
        if self._refusals < _REFUSALS:
            self.wait_before_retry()
        else:
            self.take_back()
            self.give_up(reason)

    def confirmed(self, send: Send) -> None:
        """The broker has confirmed a message."""
        self._refusals = 0
        send.tell(None)

    # -- time and the end ---------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Something waits to be written."""
        return bool(self._waiting)

    def expire(self, now: float) -> float:
        """Fail sends whose deadline has passed; return the earliest deadline of the others."""
        if any(send.deadline <= now for send in self._waiting):
            rest: deque[Send] = deque()
            late: list[Send] = []
            for send in self._waiting:
                (late if send.deadline <= now else rest).append(send)
            self._waiting = rest
            if self._generation is None:
                why = f"not sent in time: {self._connection.health().error or 'not connected'}"
            else:
                why = self.why_waiting()
            for send in late:
                send.tell(SendTimeoutError(f"{self.destination}: {why}", in_doubt=send.sent))
        return min((send.deadline for send in self._waiting), default=float("inf"))

    def fail(self, error_text: str) -> None:
        """Fail all waiting sends: the provider is closed."""
        failed, self._waiting = self._waiting, deque()
        for send in failed:
            send.tell(ConnectionLostError(f"{self.destination}: {error_text}", in_doubt=send.sent))
