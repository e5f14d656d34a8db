"""The engine's objects of one connection. No other module has their pointers, since a wrong one ends the process.

Everything here runs on the I/O thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import logging
from collections.abc import Callable, Iterable
from typing import Any, cast

from eventing_amqp._codec import BrokenEncodingError, Decoder, as_dict
from eventing_amqp._config import AmqpConfig
from eventing_amqp._engine import Engine, Event, State
from eventing_amqp._handlers import AmqpSendOwner, Condition, ConnectionHandler, LinkHandler, Outgoing
from eventing_core.provider.sockets import Buffer, Send, next_number

_log = logging.getLogger("eventing.amqp")


class Link:
    """A sender or receiver, as its owner has it. Once the connection is freed, nothing of it may be called.

    Attributes:
        credit: ``credit()``: how many messages may come or go.
        flow: ``flow(count)``: give so much more credit, or take it back.
        out: what was delivered and isn't settled, by our numbers.
    """

    __slots__ = ("_connection", "_pointer", "credit", "flow", "out")

    def __init__(self, connection: ProtonConnection, pointer: int) -> None:
        lib = connection.lib
        self._connection = connection
        self._pointer = pointer
        self.out: dict[int, int] = {}
        self.credit: Callable[[], int] = functools.partial(lib.pn_link_credit, pointer)
        self.flow: Callable[[int], None] = functools.partial(lib.pn_link_flow, pointer)

    @property
    def limit(self) -> int:
        """Bytes that the peer takes in one message; 0: any number."""
        size: int = self._connection.lib.pn_link_remote_max_message_size(self._pointer)
        return size

    def close(self) -> None:
        """Close our end; the handler is told when the peer has closed its own."""
        self._connection.lib.pn_link_close(self._pointer)

    def send(self, message: Send | Outgoing) -> None:
        """Write one message; there has to be credit."""
        connection, link = self._connection, self._pointer
        lib = connection.lib
        delivery = lib.pn_delivery(link, connection.tag(next(connection.tags)))
        lib.pn_link_send(link, message.data, len(message.data))
        lib.pn_link_advance(link)
        connection.sends[delivery] = message

    def receive(self) -> list[tuple[int, bytes]]:
        """Take the complete messages that are there, in their order: a number to settle each by, and its bytes."""
        connection, link = self._connection, self._pointer
        # While a message is taken over, the input may hold what the engine hasn't seen; the output holds nothing.
        lib, address, chunk = connection.lib, connection.output.address, connection.output.size
        current, receive, advance = lib.pn_link_current, lib.pn_link_recv, lib.pn_link_advance
        is_partial = lib.pn_delivery_partial
        string_at, take_over, pieces, out = ctypes.string_at, connection.received.add, connection.pieces, self.out
        taken: list[tuple[int, bytes]] = []
        while delivery := current(link):
            count = receive(link, address, chunk)
            if count == chunk or link in pieces or is_partial(delivery):
                piece = pieces.setdefault(link, bytearray())
                while count > 0:
                    piece += string_at(address, count)
                    count = receive(link, address, chunk)
                if len(piece) > connection.limit:
                    connection.on_oversized()
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
            number = next_number()
            out[number] = delivery
            taken.append((number, raw))
        return taken

    def settle(self, batch: Iterable[object], outcome: int) -> None:
        """Settle deliveries that came by this link. Others have a ``number`` that it doesn't know, or none."""
        connection = self._connection
        out, lib, forget = self.out, connection.lib, connection.received.discard
        update, settle = lib.pn_delivery_update, lib.pn_delivery_settle
        for delivery in batch:
            pointer = out.pop(getattr(delivery, "number", 0), None)
            if pointer is not None:
                forget(pointer)
                update(pointer, outcome)
                settle(pointer)
        if outcome == State.RELEASED:
            # Credit that the broker sees first would be used for what is behind the ones given back.
            connection.frame()

    def accept(self, number: int) -> None:
        """Settle what came by that number."""
        pointer = self.out.pop(number)
        lib = self._connection.lib
        self._connection.received.discard(pointer)
        lib.pn_delivery_update(pointer, State.ACCEPTED)
        lib.pn_delivery_settle(pointer)

    def drop(self, numbers: Iterable[int]) -> None:
        """These are not settled any more: they go back with the link."""
        self._connection.received.difference_update([self.out.pop(number) for number in numbers])

    def forget(self) -> None:
        """The link is gone, and with it all that came."""
        self._connection.received.difference_update(self.out.values())
        self.out.clear()


class ProtonConnection(ConnectionHandler):
    """Connection, session, transport and links, and what happens to them.

    Args:
        engine: the functions.
        config: the settings.
        container: what we call ourselves.
        output: memory to write from, which deliveries are taken over by as well.

    Attributes:
        lib: the engine's functions.
        sends: what was written and not answered, in the order of writing; the keys are pointers.
        received: what was taken over from the engine and isn't settled.
        pieces: what came of messages that aren't complete, by their links.
        limit: bytes of the largest message that may come.
        tag: ``tag(number)``: the tag of a delivery.
        tags: their numbers.
    """

    def __init__(self, engine: Engine, config: AmqpConfig, container: str, output: Buffer) -> None:
        self.lib: Any = engine.lib
        self.output = output
        self.limit = config.max_message_bytes
        self.sends: dict[int, Send | Outgoing] = {}
        self.received: set[int] = set()
        self.pieces: dict[int, bytearray] = {}
        self._engine = engine
        self._is_freed = False
        #: The time as the engine knows it, in milliseconds.
        self._time = 1
        self._links: dict[int, LinkHandler] = {}
        self._senders: set[int] = set()
        self._garbage: list[int] = []
        self._names = itertools.count(1)
        self.tags = itertools.count(1)
        self.tag = engine.tagger()
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
        #: Give the engine so many bytes from the peer, at an address; how many it took.
        self.push: Callable[[int, int], int] = functools.partial(lib.pn_transport_push, self._transport)
        #: How many bytes there are for the peer; and: so many of them were written, forget them.
        self.pending: Callable[[], int] = functools.partial(lib.pn_transport_pending, self._transport)
        self.written: Callable[[int], None] = functools.partial(lib.pn_transport_pop, self._transport)
        #: Have so many of them in `output`; how many it were.
        self.peek: Callable[[int], int] = functools.partial(lib.pn_transport_peek, self._transport, self.output.address)

    # -- input and output ---------------------------------------------------------------------------------------------

    def end_of_input(self) -> None:
        """The peer sends nothing more."""
        self.lib.pn_transport_close_tail(self._transport)

    def frame(self) -> None:
        """Frame what was done so far: by itself the engine puts credit before settlements."""
        if not self._is_freed:
            self.pending()

    def transport_condition(self) -> Condition:
        """Why the engine gave up."""
        return self._engine.condition(self.lib.pn_transport_condition(self._transport))

    def heartbeat_wanted(self) -> float:
        """How often the peer wants to hear something, in seconds; 0: it doesn't say. The engine's own measure ends.

        That would let up to four heartbeats pass: it begins anew at each tick.
        """
        self.lib.pn_transport_set_idle_timeout(self._transport, 0)
        milliseconds: int = self.lib.pn_transport_get_remote_idle_timeout(self._transport)
        return milliseconds / 1000

    def beat(self) -> None:
        """Have the engine write an empty frame.

        It does so where two ticks see no output between them, and are half of what the peer wants apart. With the
        real time it would look for output when that half is over, and beat after the whole at the worst.
        """
        lib, transport = self.lib, self._transport
        for _ in range(2):
            self._time += lib.pn_transport_get_remote_idle_timeout(transport)
            lib.pn_transport_tick(transport, self._time)

    # -- events -------------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Handle what happened in the engine."""
        lib = self.lib
        peek, pop = lib.pn_collector_peek, lib.pn_collector_pop
        kind_of, context_of = lib.pn_event_type, lib.pn_event_context
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
                                _log.exception("the confirmation of a send could not be delivered to its sender")
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
        condition = self._engine.condition(lib.pn_disposition_condition(lib.pn_delivery_remote(delivery)))
        if self.locked_out(condition):
            # It stays among the sends: the next connection has it.
            return
        del self.sends[delivery]
        lib.pn_delivery_settle(delivery)
        if isinstance(send, Send):
            cast("AmqpSendOwner", send.producer).refused(send, outcome, condition)
        else:
            send.refused()

    def _on_delivery(self, delivery: int) -> None:
        handler = self._links.get(self.lib.pn_delivery_link(delivery))
        if handler is not None:
            handler.arrived()
        if delivery not in self.received and self.lib.pn_delivery_remote_state(delivery) > State.RECEIVED:
            # The late answer to a send that nobody waits for any more.
            self.lib.pn_delivery_settle(delivery)

    def _on_connection_open(self, _: int) -> None:
        raw = self._engine.read_data(self.lib.pn_connection_remote_properties(self._connection))
        try:
            product = as_dict(Decoder(raw).value()).get("product")
        except BrokenEncodingError:
            product = None
        self.on_introduced(product if isinstance(product, str) else "")

    def _on_connection_close(self, connection: int) -> None:
        self.on_connection_closed(self._engine.condition(self.lib.pn_connection_remote_condition(connection)))

    def _on_session_open(self, _: int) -> None:
        self.on_session_opened()

    def _on_session_close(self, session: int) -> None:
        self.on_session_closed(self._engine.condition(self.lib.pn_session_remote_condition(session)))

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
            condition = self._engine.condition(self.lib.pn_link_remote_condition(link))
            if self.locked_out(condition):
                return
            del self._links[link]
            self._senders.discard(link)
            self.pieces.pop(link, None)
            self.lib.pn_link_close(link)
            self._garbage.append(link)
            handler.closed(condition)

    def _on_transport_error(self, _: int) -> None:
        self.on_failed(self.transport_condition())

    def _on_transport_closed(self, _: int) -> None:
        self.on_ended()

    # -- links --------------------------------------------------------------------------------------------------------

    def sender(self, address: str, capability: str, handler: LinkHandler) -> Link:
        """Attach a sender."""
        lib = self.lib
        link: int = lib.pn_sender(self._session, f"send-{next(self._names)}-{address}".encode())
        self._senders.add(link)
        return self._attach(link, lib.pn_link_target(link), address, capability, handler)

    def receiver(self, address: str, capability: str, handler: LinkHandler, selector: str = "") -> Link:
        """Attach a receiver; with a selector it gets only the messages that match."""
        lib = self.lib
        link: int = lib.pn_receiver(self._session, f"receive-{next(self._names)}-{address}".encode())
        source = lib.pn_link_source(link)
        if selector:
            self._engine.set_selector(source, selector)
        return self._attach(link, source, address, capability, handler)

    def _attach(self, link: int, terminus: int, address: str, capability: str, handler: LinkHandler) -> Link:
        lib = self.lib
        lib.pn_terminus_set_address(terminus, address.encode())
        if capability:
            self._engine.set_capability(terminus, capability)
        self._links[link] = handler
        lib.pn_link_open(link)
        return Link(self, link)

    # -- the end ------------------------------------------------------------------------------------------------------

    def begin_to_close(self) -> None:
        """Close in order: what is unsettled goes back, and isn't counted."""
        self.lib.pn_connection_close(self._connection)

    def free_objects(self) -> None:
        """Give the engine's memory back."""
        lib = self.lib
        self._is_freed = True
        # Else only the garbage collector would find it, and its buffer.
        self._links.clear()
        self._events.clear()
        lib.pn_transport_unbind(self._transport)
        lib.pn_decref(self._transport)
        lib.pn_connection_release(self._connection)
        lib.pn_decref(self._connection)
        lib.pn_collector_free(self._collector)
