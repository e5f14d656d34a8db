"""One connection from its handshake to its end: the engine, and the socket under it.

Everything here runs on the I/O thread. A generation that failed is thrown away as a whole.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from eventing_amqp import _errors
from eventing_amqp._config import AmqpConfig
from eventing_amqp._engine import Engine
from eventing_amqp._handlers import Condition
from eventing_amqp._proton import ProtonConnection
from eventing_core.errors import BrokerConnectionError
from eventing_core.provider.sockets import CHUNK, WireGeneration, is_hangup, of_size, of_socket


class AmqpGeneration(ProtonConnection, WireGeneration):
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
        WireGeneration.__init__(self, sock, number, opened, config)
        ProtonConnection.__init__(self, engine, config, container, self._output)
        self._introduced = introduced
        self._heartbeat = config.heartbeat
        self._closing = False

    # -- input and output ---------------------------------------------------------------------------------------------

    def take(self, count: int) -> bool:
        """Give the engine what came, and handle what it makes of that."""
        if len(self.heard) < 16:  # noqa: PLR2004 (enough to tell another protocol)
            self.heard += bytes(self._input.view[: min(count, 16)])
        address, stalled = self._input.address, False
        while count and self.failure is None:
            taken = self.push(address, count)
            self.pump()
            if taken < 0 or (taken == 0 and stalled):
                self.fail(self._judge(self.transport_condition()))
                return False
            stalled = taken == 0
            address += taken
            count -= taken
        return self.failure is None

    def write(self) -> None:
        """Write what the engine has for the peer, as far as the socket takes it."""
        self.blocked = False
        while (count := self.pending()) > 0:
            count = self.peek(min(count, CHUNK))
            count = self.write_out(count) if count > 0 else 0
            if count <= 0:
                return
            self.written(count)

    def hung_up(self, problem: OSError | None) -> None:
        """Before it is open, what was heard, or that nothing was, says more than a reset does."""
        if problem is None:
            self.end_of_input()
            self.pump()
            self.fail(self._judge(None))
        elif self.is_open or not (self.heard or is_hangup(problem)):
            self.fail(of_socket(problem, self._place))
        else:
            self.fail(self._judge(None))

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
