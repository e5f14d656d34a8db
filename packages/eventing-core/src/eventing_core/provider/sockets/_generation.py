"""One connection from its handshake to its end."""

from __future__ import annotations

import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from eventing_core.errors import BrokerConnectionError, SendTimeoutError
from eventing_core.provider.sockets._send import Send


class Generation(ABC):
    """A connection: its protocol's state, and the socket under it. Runs on the I/O thread alone.

    One that failed is thrown away as a whole; a connection is never revived.

    Attributes:
        sock: connected, and it doesn't block.
        number: how many there were, this one included.
        sends: what was written and not answered, in the order of writing, by whatever the answer will name.
        blocked: the socket takes no more for now.
        is_open: the peer has agreed; set before ``opened`` is called.
        product: what the peer calls itself.
        heard: the first bytes that came, before it was open.
        failure: why it is over; None while it isn't.
        refused: it is over because the broker refused something, which was reported; the next one may start
            immediately.
        closed: it ended as we wanted.
        has_more: it was not read to the end, though a selector may see nothing.
        next_tick: when `tick` has something to do, of `time.monotonic`.
        rests_until: until then, of `time.monotonic`, the socket need not be looked at; what has come is then read
            together. Give or take half a millisecond.
    """

    def __init__(self, sock: socket.socket, number: int, opened: Callable[[], None]) -> None:
        self.sock = sock
        self.number = number
        self.sends: dict[Any, Any] = {}
        self.blocked = False
        self.is_open = False
        self.product = ""
        self.heard = b""
        self.failure: BrokerConnectionError | None = None
        self.refused = False
        self.closed = False
        self.has_more = False
        self.next_tick = 0.0
        self.rests_until = 0.0
        self._opened = opened

    @abstractmethod
    def read(self) -> bool:
        """Take in what the socket has. True: there is more, which a selector doesn't see."""

    @abstractmethod
    def pump(self) -> None:
        """Handle what was taken in."""

    @abstractmethod
    def write(self) -> None:
        """Write what there is for the peer, as far as the socket takes it."""

    @abstractmethod
    def tick(self) -> None:
        """Send a heartbeat if one is due, and detect a silent peer."""

    @abstractmethod
    def close(self) -> None:
        """Begin a proper close: unsettled deliveries are returned. `closed` is set when the peer has agreed."""

    @abstractmethod
    def free(self) -> None:
        """Free all resources, and close the socket."""

    @abstractmethod
    def silent(self) -> None:
        """The handshake took too long: `fail`, and say why."""

    def fail(self, error: BrokerConnectionError) -> None:
        """Note why it is over; the first reason holds."""
        if self.failure is None:
            self.failure = error

    def has_pending(self) -> bool:
        """Whether TLS holds bytes that a selector doesn't see."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    def expire(self, now: float) -> float:
        """Fail the sends that have no answer in time; return the earliest deadline of the rest."""
        earliest = float("inf")
        for key, send in [*self.sends.items()]:
            if not isinstance(send, Send):
                continue
            if send.deadline <= now:
                # Its late answer, if any, is passed over.
                del self.sends[key]
                what = f"{send.producer.destination}: the broker has not confirmed it in time"
                send.tell(SendTimeoutError(what, in_doubt=True))
            else:
                earliest = min(earliest, send.deadline)
        return earliest
