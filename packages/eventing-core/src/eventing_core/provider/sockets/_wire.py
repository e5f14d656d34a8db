"""A generation that reads and writes bytes: its socket, and its heartbeats."""

from __future__ import annotations

import socket
import ssl
import time
from abc import abstractmethod
from collections.abc import Callable

from eventing_core.errors import BrokerConnectionError
from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._generation import Generation
from eventing_core.provider.sockets._pulse import Pulse
from eventing_core.provider.sockets._transfer import Buffer, reader, writer

#: Bytes that are read, and written, at once.
CHUNK = 1 << 18

#: TLS records of one chunk's worth: a read gives one record of 16 KiB at most.
_READS = 16

#: The socket has nothing, or takes nothing, for now.
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError)


class WireGeneration(Generation):
    """Moves bytes between the socket and its buffers. A transport derives from it, and says what they mean.

    Attributes:
        emptied: when last read, the socket had nothing more.
    """

    def __init__(self, sock: socket.socket, number: int, opened: Callable[[], None], config: SocketConfig) -> None:
        super().__init__(sock, number, opened)
        self.next_tick = float("inf")
        self.emptied = False
        self._tls = config.tls
        self._place = config.place
        self._pulse = Pulse(time.monotonic())
        self._input, self._output = Buffer(CHUNK), Buffer(CHUNK)
        self._read, self._write = reader(sock, self._input), writer(sock, self._output)

    @abstractmethod
    def take(self, count: int) -> bool:
        """Take in a number of bytes of the input's buffer. False: there is no use in more."""

    @abstractmethod
    def hung_up(self, problem: OSError | None) -> None:
        """The peer is gone; None: it closed in order."""

    @abstractmethod
    def beat(self) -> None:
        """Have a heartbeat written."""

    def read(self) -> bool:
        """Take in what the socket has. True: there is more, which a selector doesn't see."""
        self.emptied = False
        for _ in range(_READS if self._tls else 1):
            try:
                count = self._read(CHUNK)
            except _NOT_NOW:
                self.emptied = True
                break
            except ssl.SSLWantWriteError:
                self.blocked = True
                break
            except OSError as error:
                self.hung_up(error)
                break
            if not count:
                self.hung_up(None)
                break
            self._pulse.heard_at = time.monotonic()
            self.emptied = not self._tls and count < CHUNK
            if not self.take(count):
                break
        return self.failure is None and self.has_pending()

    def write_out(self, count: int) -> int:
        """Write bytes of the output's buffer and return how many. 0: the socket takes none now, or any more."""
        try:
            count = self._write(count)
        except (*_NOT_NOW, ssl.SSLWantWriteError):
            self.blocked = True
            return 0
        except OSError as error:
            # What the peer said before it went is more telling than "broken pipe".
            self.read()
            self.hung_up(error)
            return 0
        self._pulse.wrote_at = time.monotonic()
        return count

    def tick(self) -> None:
        """Send a heartbeat where nothing else was sent, and notice the peer's silence."""
        now = time.monotonic()
        if now < self.next_tick:
            return
        pulse = self._pulse
        if pulse.must_beat(now):
            self.beat()
        if pulse.is_silent(now):
            # A process that was stopped has not looked at the socket for as long.
            while self.read():
                pass
            if pulse.is_silent(now):
                text = f"{self._place}: the broker was silent for {pulse.limit:g} s, two heartbeats"
                self.fail(BrokerConnectionError(text))
        self.next_tick = pulse.next
