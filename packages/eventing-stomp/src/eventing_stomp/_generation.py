"""One connection from its handshake to its end: stomp.py's protocol, and the socket under it.

Everything here runs on the I/O thread. A generation that failed is thrown away as a whole.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

from eventing_core.errors import BrokerConnectionError, SendRejectedError
from eventing_core.provider.sockets import (
    CHUNK,
    Send,
    WireGeneration,
    is_hangup,
    next_number,
    of_socket,
)
from eventing_stomp import _driver, _errors
from eventing_stomp._blame import Asked, StompSendOwner, SubscriptionHandler, named
from eventing_stomp._config import StompConfig
from eventing_stomp._frames import BrokenFrameError, Incoming, LargeFrameError, Splitter, frame, receipt_of
from eventing_stomp._message import INNER
from eventing_stomp._size import is_too_large

_log = logging.getLogger("eventing.stomp")

#: Producers wait while so many bytes wait for the socket.
_OUTPUT_LIMIT = 1 << 20

#: Where a few frames came at once, so many, the socket is let alone for so long (seconds), and more read at once then,
#: which costs both sides less: Artemis writes each message by itself (decision 27). Many came at once anyway.
_FEW = range(4, 256)
_REST = 0.001

#: Enough to tell another protocol.
_HEARD_LIMIT = 16

#: How long the broker may take to close the connection after an ERROR frame, in seconds.
_LAST_WORD = 1.0


class StompGeneration(WireGeneration):
    """A connection by stomp.py. It is told of frames by being a stomp.py listener.

    Attributes:
        subscriptions: by their ids.
        arrivals: who has something to hand over once all that was read is taken in.
        blamed: the queue whose message has ended the connection, as the broker says; else empty.
        ended: the broker's consumer that has ended with it, in the same way; else empty.
        too_large: a frame that has ended it.
    """

    def __init__(self, sock: socket.socket, number: int, *, config: StompConfig, opened: Callable[[], None]) -> None:
        super().__init__(sock, number, opened, config)
        self.sends: dict[bytes, Send] = {}
        self.subscriptions: dict[str, SubscriptionHandler] = {}
        #: By their receipts.
        self._asked: dict[str, Asked] = {}
        self._requests: dict[str, Callable[[str | None], None]] = {}
        self.arrivals: set[Any] = set()
        self.blamed = self.ended = ""
        self.too_large: LargeFrameError | None = None
        self._config = config
        self._closing = False
        self._error = ""
        #: What to fail with once the broker has closed the connection, as it does after an ERROR frame.
        self._loss: BrokerConnectionError | None = None
        self._splitter = Splitter(config.max_message_bytes)
        self._frames: list[Incoming] = []
        #: Of what came last, somebody had room for more.
        self._takes_more = False
        #: Waits for the socket.
        self._outgoing = bytearray()
        self.stomp: Any = _driver.protocol(config.host, config.host_header, self.put, self)
        wish = round(config.heartbeat * 1000)
        headers = {"heart-beat": f"{wish},{wish}"}
        # In this one frame nothing is escaped (specification, "Value Encoding"): settings with line breaks are refused.
        if config.user:
            headers |= {"login": config.user, "passcode": config.password.get_secret_value()}
        self.stomp.connect(headers=headers)

    # -- input and output ---------------------------------------------------------------------------------------------

    def read(self) -> bool:
        """Take in what the socket has; rest a moment where messages come by the few."""
        has_more = super().read()
        few = len(self._frames) in _FEW and self._frames[-1].command == b"MESSAGE"
        self.pump()
        if few and self.emptied and self._takes_more:
            self.rests_until = self._pulse.heard_at + _REST
        return self.failure is None and has_more

    def take(self, count: int) -> bool:
        """Split what came into frames."""
        data = bytes(self._input.view[:count])
        if not self.is_open and len(self.heard) < _HEARD_LIMIT:
            self.heard += data[:_HEARD_LIMIT]
            if not _errors.is_spoken(self.heard):
                self.fail(_errors.of_handshake(self._config, self.heard, ""))
                return True
        try:
            self._frames += self._splitter.feed(data)
        except BrokenFrameError:
            self.fail(BrokerConnectionError(f"{self._place}: the peer sent something that is not a STOMP frame"))
        except LargeFrameError as error:
            self.too_large = error
            self.fail(_errors.of_large(self._place, self._config.max_message_bytes))
        return True

    def hung_up(self, problem: OSError | None) -> None:
        """What the peer said before it went is more telling than "connection reset"."""
        self.pump()
        if self._closing:
            self.closed = True
        elif self._loss is not None:
            self.fail(self._loss)
        elif self.is_open:
            self.fail(of_socket(problem, self._place) if problem else _errors.of_loss(self._place, ""))
        elif problem is None or self.heard or is_hangup(problem):
            self.fail(_errors.of_handshake(self._config, self.heard, self._error))
        else:
            self.fail(of_socket(problem, self._place))

    def put(self, data: bytes) -> None:
        """Have bytes written; after an ERROR frame nobody would read them."""
        if self._loss is None:
            self._outgoing += data

    def subscribe(self, handler: SubscriptionHandler, headers: Mapping[str, str]) -> str:
        """Subscribe; returns the id."""
        subscription = str(next_number())
        receipt = f"subscribed-{subscription}"
        self.subscriptions[subscription] = handler
        self._asked[receipt] = Asked(subscription, handler, frozenset(self.sends))
        self.put(frame("SUBSCRIBE", {"id": subscription, **headers, "receipt": receipt}))
        return subscription

    def unsubscribe(self, subscription: str) -> None:
        """End a subscription; what still comes by it is passed over."""
        self.subscriptions.pop(subscription, None)
        self.put(frame("UNSUBSCRIBE", {"id": subscription}))

    def request(
        self, command: str, headers: Mapping[str, str], then: Callable[[str | None], None], body: bytes = b""
    ) -> None:
        """Write a frame; ``then`` is told when the broker has carried it out, or the error's text."""
        receipt = f"{command.lower()}-{next_number()}"
        self._requests[receipt] = then
        self.put(frame(command, {**headers, "receipt": receipt}, body))

    def write_sends(self, waiting: deque[Send], *, unrouted: bool) -> bool:
        """Write sends, the first ones first, while there is room. False: some wait for the socket to take these."""
        sends, put = self.sends, self.put
        while waiting:
            if not self.has_room:
                return False
            send = waiting.popleft()
            send.sent = True
            send.unrouted = unrouted
            sends[receipt_of(send.data)] = send
            put(send.data)
        return True

    @property
    def has_room(self) -> bool:
        """Whether producers may go on."""
        return len(self._outgoing) < _OUTPUT_LIMIT

    def write(self) -> None:
        """Write what there is for the peer, as far as the socket takes it."""
        self.blocked = False
        outgoing, view = self._outgoing, self._output.view
        while count := min(CHUNK, len(outgoing)):
            view[:count] = outgoing[:count]
            count = self.write_out(count)
            if not count:
                return
            del outgoing[:count]

    # -- heartbeats (specification, "Heart-beating") ------------------------------------------------------------------

    def beat(self) -> None:
        """A line break between frames."""
        self.put(b"\n")

    def tick(self) -> None:
        """After an ERROR frame the broker had its time to close the connection."""
        if self._loss is not None and time.monotonic() >= self.next_tick:
            self.fail(self._loss)
        else:
            super().tick()

    def _agree_on_heartbeats(self, theirs: str) -> None:
        can, wants = _intervals(theirs)
        wish = self._config.heartbeat
        # Artemis ends a connection by its own measure, which it tells; the specification has the slower one hold.
        self._pulse.agree(beats=min(wish, wants), hears=max(wish, can) if can > 0 else 0.0)
        self.next_tick = 0.0

    # -- frames -------------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Handle the frames that came."""
        frames, self._frames = self._frames, []
        sends, subscriptions = self.sends, self.subscriptions
        # Of the message before; the next one is mostly of the same subscription, and begins alike.
        begin, subscription = b"\n", ""
        for incoming in frames:
            if (self.failure or self._loss) is not None and incoming.command != b"ERROR":
                # After one only more of them can be relied on: RabbitMQ gives a receipt for what it has just refused.
                continue
            if incoming.command == b"MESSAGE":
                if not incoming.head.startswith(begin):
                    number = incoming.raw(b"\nsubscription:")
                    begin = b"MESSAGE\nsubscription:%b\n" % number
                    # A number, where it is one of ours.
                    subscription = number.decode("latin-1")
                handler = subscriptions.get(subscription)
                if handler is not None:
                    handler.arrived(subscription, incoming)
            elif incoming.command == b"RECEIPT":
                send = sends.pop(incoming.raw(b"\nreceipt-id:"), None)
                if send is not None:
                    cast("StompSendOwner", send.producer).confirmed(send)
                else:
                    self._answer(incoming.header(b"receipt-id"), None)
            else:
                self.stomp.transport.process(incoming.head + b"\n" + incoming.body)
        self._takes_more = False
        while self.arrivals:
            self._takes_more |= self.arrivals.pop().hand_over_arrived()

    def _answer(self, receipt: str, error: str | None) -> bool:
        """Tell who asked for that receipt; False: nobody that is known."""
        asked, request = self._asked.pop(receipt, None), self._requests.pop(receipt, None)
        if asked is not None:
            asked.handler.answered(asked.subscription, error)
        elif request is not None:
            request(error)
        return asked is not None or request is not None

    def on_connected(self, connected: Any) -> None:
        """The broker agrees."""
        headers = connected.headers
        # STOMP 1.0 knows no such header.
        mismatch = _errors.of_version(self._place, headers.get("version", "1.0"))
        if mismatch is not None:
            self.fail(mismatch)
            return
        self.product = headers.get("server", "")
        self.is_open = True
        self._agree_on_heartbeats(headers.get("heart-beat", ""))
        self._opened()

    def on_error(self, error: Any) -> None:
        """An ERROR frame, which ends the connection, came. It fails what it is about, where it says that."""
        told = error.headers.get("message", "")
        detail = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else str(error.body or "")
        self._error = text = _errors.text_of(told, detail)
        self.blamed = self.blamed or _errors.consumer_of(text)
        self.ended = self.ended or _errors.acknowledging_of(text)
        if not self.is_open and self._loss is None:
            # Where a broker names versions here, it names all that it speaks.
            mismatch = _errors.of_version(self._place, error.headers.get("version", _errors.VERSION))
            self.fail(mismatch or _errors.of_handshake(self._config, self.heard, text))
            return
        if not _errors.is_loss(text):
            self._blame(error.headers.get("receipt-id", ""), text)
        if self._loss is not None:
            return
        self.is_open = False
        self._outgoing.clear()
        self._loss = _errors.of_loss(self._place, text)
        # The broker has the first word: Artemis 2.44 can lock itself up where both close at once.
        self.next_tick = time.monotonic() + _LAST_WORD

    def _blame(self, receipt: str, text: str) -> None:
        """Fail what an ERROR frame is about: what its receipt or its text names."""
        if self._answer(receipt, text):
            return
        subscription, own = _errors.subscription_of(text), receipt.encode().removeprefix(INNER)
        sends = [own] if own in self.sends else []
        asked = [key for key, asked in self._asked.items() if asked.subscription == subscription]
        if not asked:
            more, asked = named(
                text, sends=self.sends, asked=self._asked, sending=True if sends else _errors.is_of_sending(text)
            )
            sends += more
        self.refused = self.refused or bool(sends or asked)
        refused = [self.sends.pop(key) for key in dict.fromkeys(sends)]
        reasons = {
            producer: cast("StompSendOwner", producer).why_refused(text) for producer in {s.producer for s in refused}
        }
        for send in refused:
            producer = send.producer
            reason, permanent = f"{producer.destination}: {reasons[producer]}", is_too_large(send.data, text)
            send.tell(SendRejectedError(reason, in_doubt=send.in_doubt, permanent=permanent))
        for producer, reason in reasons.items():
            cast("StompSendOwner", producer).hold_back(reason)
        for waiting in asked:
            self._answer(waiting, text)

    # -- the end ------------------------------------------------------------------------------------------------------

    def silent(self) -> None:
        """The handshake took too long."""
        self.fail(_errors.of_unanswered(self._place, self.heard, tls=self._tls))

    def close(self) -> None:
        """Unsubscribe, so that what is unsettled goes back uncounted; then disconnect."""
        self._closing = True
        for subscription, handler in self.subscriptions.items():
            if handler.gives_back:
                self.put(frame("UNSUBSCRIBE", {"id": subscription}))
        self.subscriptions.clear()
        self.request("DISCONNECT", {}, self._closed)

    def _closed(self, _: str | None) -> None:
        self.closed = True

    def free(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self.sock.close()
        self.subscriptions.clear()
        self._asked.clear()
        self._requests.clear()
        self.arrivals.clear()


def _intervals(text: str) -> tuple[float, float]:
    """How often a peer can send a heartbeat, and wants one, in seconds; 0: not at all. Of what can't be read, too."""
    try:
        can, wants = (int(part) / 1000 for part in text.split(","))
    except ValueError:
        return 0.0, 0.0
    return can, wants
