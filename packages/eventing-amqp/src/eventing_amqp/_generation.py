"""One connection from its handshake to its end: the engine, and the socket under it.

Everything here runs on the I/O thread. A generation that failed is thrown away as a whole.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable

from eventing_amqp import _errors
from eventing_amqp._config import AmqpConfig
from eventing_amqp._engine import Engine
from eventing_amqp._handlers import Condition
from eventing_amqp._proton import ProtonConnection
from eventing_core.errors import BrokerConnectionError
from eventing_core.provider.sockets import (
    Buffer,
    Generation,
    Pulse,
    is_hangup,
    of_size,
    of_socket,
    reader,
    writer,
)

#: Bytes that are read, and written, at once.
_CHUNK = 1 << 18

#: TLS records of one chunk's worth: a read gives one record of 16 KiB at most.
_READS = 16


class AmqpGeneration(ProtonConnection, Generation):
    """A connection by Proton's engine."""

    def __init__(  # noqa: PLR0913 (all that a connection is made of)
        self,
        engine: Engine,
        sock: socket.socket,
        number: int,
        *,
        config: AmqpConfig,
        container: str,
        introduced: Callable[[AmqpGeneration], None],
        opened: Callable[[], None],
    ) -> None:
        Generation.__init__(self, sock, number, opened)
        self._introduced = introduced
        self._tls = config.tls
        self._place = config.place
        self._heartbeat = config.heartbeat
        self._pulse = Pulse(time.monotonic())
        self.next_tick = float("inf")
        self._closing = False
        self._input, output = Buffer(_CHUNK), Buffer(_CHUNK)
        self._read, self._write = reader(sock, self._input), writer(sock, output)
        ProtonConnection.__init__(self, engine, config, container, output)

    # -- input and output -------------------------------------------------------------------------------------------

    def read(self) -> bool:
        """Take in what the socket has. True: there is more, which the selector doesn't see."""
        for _ in range(_READS if self._tls else 1):
            try:
                count = self._read(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            except ssl.SSLWantWriteError:
                self.blocked = True
                return False
            except OSError as error:
                self.fail(self._of_socket(error))
                return False
            if count:
                self._pulse.heard_at = time.monotonic()
            if len(self.heard) < 16:  # noqa: PLR2004 (enough to tell another protocol)
                self.heard += bytes(self._input.view[: min(count, 16)])
            if not count:
                self.end_of_input()
                self.pump()
                self.fail(self._judge(None))
                return False
            if not self._push(self._input.address, count):
                return False
        return self.has_pending()

    def _push(self, address: int, size: int) -> bool:
        stalled = False
        while size and self.failure is None:
            count = self.push(address, size)
            self.pump()
            if count < 0 or (count == 0 and stalled):
                self.fail(self._judge(self.transport_condition()))
                return False
            stalled = count == 0
            address += count
            size -= count
        return self.failure is None

    def write(self) -> None:
        """Write what the engine has for the peer, as far as the socket takes it."""
        self.blocked = False
        while (count := self.pending()) > 0:
            count = self.peek(min(count, _CHUNK))
            if count <= 0:
                break
            try:
                written = self._write(count)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self.blocked = True
                return
            except OSError as error:
                # What the peer said before it went is more telling than "broken pipe".
                self.read()
                self.fail(self._of_socket(error))
                return
            self.written(written)
            self._pulse.wrote_at = time.monotonic()

    def tick(self) -> None:
        """Have a heartbeat sent where nothing else was, and notice the peer's silence."""
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

    def _agree_on_heartbeats(self) -> None:
        now = time.monotonic()
        self._pulse.heard_at = self._pulse.wrote_at = now
        self._pulse.agree(beats=self.heartbeat_wanted(), hears=self._heartbeat)
        self.next_tick = self._pulse.next

    # -- what happens in the engine -----------------------------------------------------------------------------------

    def on_introduced(self, product: str) -> None:
        """The broker tells its name."""
        self.product = product
        self._introduced(self)

    def on_session_opened(self) -> None:
        """The connection alone is not enough: a broker may open it only to close it with its reason."""
        if not self.is_open and self.failure is None:
            self.is_open = True
            self._agree_on_heartbeats()
            self._opened()

    def on_session_closed(self, condition: Condition) -> None:
        """The broker closed the session."""
        if not self._closing:
            self.fail(self._judge(condition))

    def on_connection_closed(self, condition: Condition) -> None:
        """The broker closed the connection."""
        if self._closing:
            self.closed = True
        else:
            self.fail(self._judge(condition))

    def on_failed(self, condition: Condition) -> None:
        """The engine gave up."""
        self.fail(self._judge(condition))

    def on_ended(self) -> None:
        """Both sides have closed."""
        if self._closing:
            self.closed = True
        else:
            self.fail(self._judge(None))

    def locked_out(self, condition: Condition) -> bool:
        """Whether nothing works on this connection any more; it is over then."""
        error = _errors.of_login(self._place, condition)
        if error is not None:
            self.fail(error)
        return error is not None

    def on_oversized(self) -> None:
        """A message came that is larger than allowed."""
        self.fail(of_size(self._place, self.limit))

    def _judge(self, condition: tuple[str, str] | None) -> BrokerConnectionError:
        if self.is_open:
            return _errors.of_loss(self._place, condition)
        return _errors.of_handshake(self._place, self.heard, condition, tls=self._tls)

    def _of_socket(self, error: OSError) -> BrokerConnectionError:
        # Before it is open, what was heard, or that nothing was, says more than a reset does.
        telling = self.is_open or not (self.heard or is_hangup(error))
        return of_socket(error, self._place) if telling else self._judge(None)

    def silent(self) -> None:
        """The handshake took too long."""
        self.fail(_errors.of_unanswered(self._place, self.heard, tls=self._tls))

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close in order: what is unsettled goes back, and isn't counted."""
        self._closing = True
        self.begin_to_close()

    def free(self) -> None:
        """Give the engine's memory back, and close the socket."""
        with contextlib.suppress(OSError):
            self.sock.close()
        self.free_objects()
