"""One connection from its handshake to its end: the engine's objects, and the socket under them.

Everything here runs on the I/O thread. A generation that failed is thrown away as a whole.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import logging
import socket
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from eventing_amqp import _errors
from eventing_amqp._codec import BrokenEncodingError, Decoder, as_dict
from eventing_amqp._config import AmqpConfig
from eventing_amqp._engine import Engine, Event, State
from eventing_core.errors import BrokerConnectionError
from eventing_core.provider.sockets import (
    Buffer,
    Generation,
    Pulse,
    Send,
    is_hangup,
    of_size,
    of_socket,
    reader,
    writer,
)

_log = logging.getLogger("eventing.amqp")

if TYPE_CHECKING:
    from eventing_amqp._producer import AmqpProducer

#: Bytes that are read, and written, at once.
_CHUNK = 1 << 18

#: TLS records of one chunk's worth: a read gives one record of 16 KiB at most.
_READS = 16


class Outgoing(Protocol):
    """Something else than a `Send` on its way.

    Attributes:
        unrouted: as of a `Send`: False, so that an acceptance takes the short way.
    """

    data: bytes
    done: Any
    index: int
    unrouted: bool

    def refused(self) -> None:
        """It was answered by something else than an acceptance."""


class LinkHandler(Protocol):
    """What a link's owner is told."""

    def opened(self) -> None:
        """The peer agreed to the link."""

    def flowed(self) -> None:
        """The credit has changed."""

    def arrived(self) -> None:
        """There are deliveries."""

    def closed(self, condition: tuple[str, str] | None) -> None:
        """The peer refused or closed the link. It is freed already."""


class AmqpGeneration(Generation):
    """A connection by Proton's engine.

    Attributes:
        lib: the engine's functions.
        received: deliveries that were taken over from the engine and aren't settled.
    """

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
        super().__init__(sock, number, opened)
        self.lib: Any = engine.lib
        self.engine = engine
        self.sends: dict[int, Send | Outgoing] = {}
        self.received: set[int] = set()
        self._freed = False
        self._introduced = introduced
        self._tls = config.tls
        self._place = config.place
        self._limit = config.max_message_bytes
        self._heartbeat = config.heartbeat
        self._pulse = Pulse(time.monotonic())
        #: The time as the engine knows it, in milliseconds.
        self._engine_time = 1
        self.next_tick = float("inf")
        self._closing = False
        self._links: dict[int, LinkHandler] = {}
        self._senders: set[int] = set()
        self._garbage: list[int] = []
        self._pieces: dict[int, bytearray] = {}
        self._names = itertools.count(1)
        self._tags = itertools.count(1)
        self._tag = engine.tagger()
        self._input, self._output = Buffer(_CHUNK), Buffer(_CHUNK)
        self._read, self._write = reader(sock, self._input), writer(sock, self._output)
        self._events: dict[int, Callable[[int], None]] = {
            Event.CONNECTION_REMOTE_OPEN: self._on_connection_open,
            Event.CONNECTION_REMOTE_CLOSE: self._on_connection_close,
            Event.SESSION_REMOTE_OPEN: self._on_session_open,
            Event.SESSION_REMOTE_CLOSE: self._on_session_close,
            Event.LINK_REMOTE_OPEN: self._on_link_open,
            Event.LINK_REMOTE_CLOSE: self._on_link_close,
            Event.LINK_REMOTE_DETACH: self._on_link_close,
            Event.LINK_FLOW: self._on_link_flow,
            Event.TRANSPORT_ERROR: self._on_transport_error,
            Event.TRANSPORT_CLOSED: self._on_transport_closed,
        }
        self._begin(config, container)

    def _begin(self, config: AmqpConfig, container: str) -> None:
        lib = self.lib
        self._connection = lib.pn_connection()
        self._transport = lib.pn_transport()
        self._collector = lib.pn_collector()
        lib.pn_connection_collect(self._connection, self._collector)
        # Proton would print frames, the password's among them, where the environment says so.
        lib.pn_transport_trace(self._transport, 0)
        lib.pn_connection_set_container(self._connection, container.encode())
        lib.pn_connection_set_hostname(self._connection, config.host.encode())
        if config.user:
            lib.pn_connection_set_user(self._connection, config.user.encode())
            lib.pn_connection_set_password(self._connection, config.password.get_secret_value().encode())
        sasl = lib.pn_sasl(self._transport)
        lib.pn_sasl_allowed_mechs(sasl, config.mechanism.encode())
        # "Insecure" because the engine doesn't know that the socket is encrypted.
        lib.pn_sasl_set_allow_insecure_mechs(sasl, True)  # noqa: FBT003 (a C function)
        # The engine tells the peer half of it.
        lib.pn_transport_set_idle_timeout(self._transport, round(config.heartbeat * 2000))
        lib.pn_transport_bind(self._transport, self._connection)
        lib.pn_connection_open(self._connection)
        self._session = lib.pn_session(self._connection)
        lib.pn_session_open(self._session)

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
                self.lib.pn_transport_close_tail(self._transport)
                self.pump()
                self.fail(self._judge(None))
                return False
            if not self._push(self._input.address, count):
                return False
        return self.has_pending()

    def _push(self, address: int, size: int) -> bool:
        lib = self.lib
        stalled = False
        while size and self.failure is None:
            count = lib.pn_transport_push(self._transport, address, size)
            self.pump()
            if count < 0 or (count == 0 and stalled):
                self.fail(self._judge(self.engine.condition(lib.pn_transport_condition(self._transport))))
                return False
            stalled = count == 0
            address += count
            size -= count
        return self.failure is None

    def write(self) -> None:
        """Write what the engine has for the peer, as far as the socket takes it."""
        lib, transport = self.lib, self._transport
        self.blocked = False
        while (count := lib.pn_transport_pending(transport)) > 0:
            count = lib.pn_transport_peek(transport, self._output.address, min(count, _CHUNK))
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
            lib.pn_transport_pop(transport, written)
            self._pulse.wrote_at = time.monotonic()

    def frame(self) -> None:
        """Frame what was done so far: by itself the engine puts credit before settlements."""
        if not self._freed:
            self.lib.pn_transport_pending(self._transport)

    def tick(self) -> None:
        """Have a heartbeat sent where nothing else was, and notice the peer's silence."""
        now = time.monotonic()
        if now < self.next_tick:
            return
        pulse = self._pulse
        if pulse.must_beat(now):
            self._beat()
        if pulse.is_silent(now):
            # A process that was stopped has not looked at the socket for as long.
            while self.read():
                pass
            if pulse.is_silent(now):
                text = f"{self._place}: the broker was silent for {pulse.limit:g} s, two heartbeats"
                self.fail(BrokerConnectionError(text))
        self.next_tick = pulse.next

    def _agree_on_heartbeats(self) -> None:
        lib, transport = self.lib, self._transport
        # Its own measure of silence would let up to four heartbeats pass: it begins anew at each tick.
        lib.pn_transport_set_idle_timeout(transport, 0)
        wants = lib.pn_transport_get_remote_idle_timeout(transport) / 1000
        now = time.monotonic()
        self._pulse.heard_at = self._pulse.wrote_at = now
        self._pulse.agree(beats=wants, hears=self._heartbeat)
        self.next_tick = self._pulse.next

    def _beat(self) -> None:
        """Have the engine write an empty frame.

        It does so where two ticks see no output between them, and are half of what the peer wants apart. With the
        real time it would look for output when that half is over, and beat after the whole at the worst.
        """
        lib, transport = self.lib, self._transport
        for _ in range(2):
            self._engine_time += lib.pn_transport_get_remote_idle_timeout(transport)
            lib.pn_transport_tick(transport, self._engine_time)

    # -- events -------------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Handle what happened in the engine."""
        lib = self.lib
        peek, pop, kind_of, context_of = (
            lib.pn_collector_peek,
            lib.pn_collector_pop,
            lib.pn_event_type,
            lib.pn_event_context,
        )
        collector, sends, received, events = self._collector, self.sends, self.received, self._events
        state_of, settle = lib.pn_delivery_remote_state, lib.pn_delivery_settle
        while event := peek(collector):
            kind = kind_of(event)
            if kind == Event.DELIVERY:
                delivery = context_of(event)
                send = sends.get(delivery)
                if send is not None:
                    outcome = state_of(delivery)
                    if outcome == State.ACCEPTED and not send.unrouted:
                        del sends[delivery]
                        settle(delivery)
                        try:
                            send.done(send.index, None)
                        except Exception:  # noqa: BLE001 (must not end the I/O thread)
                            with contextlib.suppress(Exception):
                                _log.exception("the confirmation of a send could not be handed over")
                    elif outcome > State.RECEIVED or lib.pn_delivery_settled(delivery):
                        self._refuse(delivery, send, outcome)
                elif delivery not in received:
                    self._on_delivery(delivery)
            elif (handler := events.get(kind)) is not None:
                handler(context_of(event))
            pop(collector)
        # Not before: events that were still to be handled may have been about them.
        while self._garbage:
            lib.pn_link_free(self._garbage.pop())

    def _refuse(self, delivery: int, send: Send | Outgoing, outcome: int) -> None:
        lib = self.lib
        condition = self.engine.condition(lib.pn_disposition_condition(lib.pn_delivery_remote(delivery)))
        if self._is_locked_out(condition):
            # It stays among the sends: the next connection has it.
            return
        del self.sends[delivery]
        lib.pn_delivery_settle(delivery)
        if isinstance(send, Send):
            cast("AmqpProducer", send.producer).refused(send, outcome, condition)
        else:
            send.refused()

    def _is_locked_out(self, condition: tuple[str, str] | None) -> bool:
        """Whether nothing works on this connection any more; it is over then."""
        error = _errors.of_login(self._place, condition)
        if error is not None:
            self.fail(error)
        return error is not None

    def _on_delivery(self, delivery: int) -> None:
        handler = self._links.get(self.lib.pn_delivery_link(delivery))
        if handler is not None:
            handler.arrived()
        if delivery not in self.received and self.lib.pn_delivery_remote_state(delivery) > State.RECEIVED:
            # The late answer to a send that nobody waits for any more.
            self.lib.pn_delivery_settle(delivery)

    def _on_connection_close(self, connection: int) -> None:
        if self._closing:
            self.closed = True
        else:
            self.fail(self._judge(self.engine.condition(self.lib.pn_connection_remote_condition(connection))))

    def _on_connection_open(self, _: int) -> None:
        self.product = self._peer_properties().get("product", "")
        self._introduced(self)

    def _on_session_open(self, _: int) -> None:
        # The connection alone is not enough: a broker may open it only to close it with its reason.
        if not self.is_open and self.failure is None:
            self.is_open = True
            self._agree_on_heartbeats()
            self._opened()

    def _peer_properties(self) -> dict[str, str]:
        raw = self.engine.read_data(self.lib.pn_connection_remote_properties(self._connection))
        try:
            properties = as_dict(Decoder(raw).value())
        except BrokenEncodingError:
            properties = {}
        return {key: value for key, value in properties.items() if isinstance(key, str) and isinstance(value, str)}

    def _on_session_close(self, session: int) -> None:
        if not self._closing:
            self.fail(self._judge(self.engine.condition(self.lib.pn_session_remote_condition(session))))

    def _on_link_open(self, link: int) -> None:
        handler = self._links.get(link)
        lib = self.lib
        remote = lib.pn_link_remote_target if link in self._senders else lib.pn_link_remote_source
        # A refused link is opened without source or target, and closed right afterwards.
        if handler is not None and lib.pn_terminus_get_type(remote(link)):
            handler.opened()

    def _on_link_flow(self, link: int) -> None:
        handler = self._links.get(link)
        if handler is not None:
            handler.flowed()

    def _on_link_close(self, link: int) -> None:
        handler = self._links.get(link)
        if handler is not None:
            condition = self.engine.condition(self.lib.pn_link_remote_condition(link))
            if self._is_locked_out(condition):
                return
            del self._links[link]
            self._senders.discard(link)
            self._pieces.pop(link, None)
            self.lib.pn_link_close(link)
            self._garbage.append(link)
            handler.closed(condition)

    def _on_transport_error(self, transport: int) -> None:
        self.fail(self._judge(self.engine.condition(self.lib.pn_transport_condition(transport))))

    def _on_transport_closed(self, _: int) -> None:
        if self._closing:
            self.closed = True
        else:
            self.fail(self._judge(None))

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

    # -- links --------------------------------------------------------------------------------------------------------

    def sender(self, address: str, capability: str, handler: LinkHandler) -> int:
        """Attach a sender."""
        lib = self.lib
        link: int = lib.pn_sender(self._session, f"send-{next(self._names)}-{address}".encode())
        self._senders.add(link)
        return self._attach(link, lib.pn_link_target(link), address, capability, handler)

    def receiver(self, address: str, capability: str, handler: LinkHandler, selector: str = "") -> int:
        """Attach a receiver; with a selector it gets only the messages that match."""
        lib = self.lib
        link: int = lib.pn_receiver(self._session, f"receive-{next(self._names)}-{address}".encode())
        source = lib.pn_link_source(link)
        if selector:
            self.engine.set_selector(source, selector)
        return self._attach(link, source, address, capability, handler)

    def _attach(self, link: int, terminus: int, address: str, capability: str, handler: LinkHandler) -> int:
        lib = self.lib
        lib.pn_terminus_set_address(terminus, address.encode())
        if capability:
            self.engine.set_capability(terminus, capability)
        self._links[link] = handler
        lib.pn_link_open(link)
        return link

    def close_link(self, link: int) -> None:
        """Close our end; the handler is told when the peer has closed its own."""
        self.lib.pn_link_close(link)

    def send(self, link: int, message: Send | Outgoing) -> None:
        """Write one message; there has to be credit."""
        lib = self.lib
        delivery = lib.pn_delivery(link, self._tag(next(self._tags)))
        lib.pn_link_send(link, message.data, len(message.data))
        lib.pn_link_advance(link)
        self.sends[delivery] = message

    def receive(self, link: int) -> list[tuple[int, bytes]]:
        """Take the complete deliveries that are there, in their order, with their bytes."""
        # While a message is taken over, the input may hold what the engine hasn't seen; the output holds nothing.
        lib, address = self.lib, self._output.address
        current, receive, is_partial, advance = (
            lib.pn_link_current,
            lib.pn_link_recv,
            lib.pn_delivery_partial,
            lib.pn_link_advance,
        )
        string_at, take_over, pieces = ctypes.string_at, self.received.add, self._pieces
        taken: list[tuple[int, bytes]] = []
        while delivery := current(link):
            count = receive(link, address, _CHUNK)
            if count == _CHUNK or link in pieces or is_partial(delivery):
                piece = pieces.setdefault(link, bytearray())
                while count > 0:
                    piece += string_at(address, count)
                    count = receive(link, address, _CHUNK)
                if len(piece) > self._limit:
                    self.fail(of_size(self._place, self._limit))
                    break
                if is_partial(delivery):
                    break
                raw = bytes(pieces.pop(link))
            else:
                raw = string_at(address, count) if count > 0 else b""
            is_aborted = count < 0 and lib.pn_delivery_aborted(delivery)
            advance(link)
            if is_aborted:
                lib.pn_delivery_settle(delivery)
                continue
            take_over(delivery)
            taken.append((delivery, raw))
        return taken

    def settle(self, delivery: int, outcome: int) -> None:
        """Settle a delivery that was taken."""
        self.received.discard(delivery)
        self.lib.pn_delivery_update(delivery, outcome)
        self.lib.pn_delivery_settle(delivery)

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close in order: what is unsettled goes back, and isn't counted."""
        self._closing = True
        self.lib.pn_connection_close(self._connection)

    def free(self) -> None:
        """Give the engine's memory back, and close the socket."""
        lib = self.lib
        self._freed = True
        with contextlib.suppress(OSError):
            self.sock.close()
        # Else only the garbage collector would find it, and its buffer.
        self._links.clear()
        self._events.clear()
        lib.pn_transport_unbind(self._transport)
        lib.pn_decref(self._transport)
        lib.pn_connection_release(self._connection)
        lib.pn_decref(self._connection)
        lib.pn_collector_free(self._collector)
