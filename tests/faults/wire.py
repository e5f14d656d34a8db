"""What AMQP and STOMP frames are about, as a proxy sees them, and a record of who settles what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from eventing_amqp._codec import Decoder, Described
from eventing_core.testing._proxy import Direction
from eventing_stomp._message import INNER
from tests.support.processes import Numbers

#: Moments in the life of a connection.
Point = Literal["connect", "send", "settle", "close"]
POINTS: tuple[Point, ...] = ("connect", "send", "settle", "close")

_TRANSFER, _DISPOSITION, _ACCEPTED = 0x14, 0x15, 0x24
_AMQP: dict[int, Point] = {
    **dict.fromkeys((0x10, 0x11, 0x12), "connect"),  # open, begin, attach
    **dict.fromkeys((0x16, 0x17, 0x18), "close"),  # detach, end, close
}
_STOMP: dict[bytes, Point] = {
    **dict.fromkeys((b"CONNECT", b"STOMP", b"CONNECTED", b"SUBSCRIBE"), "connect"),
    **dict.fromkeys((b"SEND", b"RECEIPT"), "send"),
    **dict.fromkeys((b"MESSAGE", b"ACK"), "settle"),
    **dict.fromkeys((b"UNSUBSCRIBE", b"DISCONNECT"), "close"),
}
_NUMBER = re.compile(rb'"number":(\d+)')
_STOMP_ACK_OF_MESSAGE = re.compile(rb"\nack:([^\n]*)\n")
#: A copy for one queue goes in a transaction, whose COMMIT frame asks for the receipt that confirms it. Where nothing
#: fails, it replaces what came back flagged (decision 11).
_STOMP_COPY = re.compile(rb"\nreceipt:%b(\d+)\n" % INNER)
_STOMP_RECEIPT_ID = re.compile(rb"\nreceipt-id:([^\n]*)\n")
_STOMP_ID_OF_ACK = re.compile(rb"\nid:([^\n]*)\n")


def point_of(direction: Direction, frame: bytes) -> Point | None:
    """Which moment a frame belongs to; None for those that may come at any time."""
    if frame[:4] == b"AMQP" or frame[4:6] == b"\x02\x01":  # a protocol header; SASL
        return "connect"
    if frame[:1] != b"\0":
        return _STOMP.get(frame.partition(b"\n")[0])
    code = _code(frame)
    if code in {_TRANSFER, _DISPOSITION}:
        # What goes to the server as a transfer is answered by a disposition, and the other way round.
        return "send" if (code == _TRANSFER) == (direction == "to_server") else "settle"
    return _AMQP.get(code)


def _code(frame: bytes) -> int:
    body = frame[frame[4] * 4 :]
    if body[:2] == b"\x00\x53":
        return body[2]
    return body[9] if body[:2] == b"\x00\x80" else 0


def _fields(frame: bytes) -> list[Any]:
    performative = Decoder(frame, frame[4] * 4).value()
    assert isinstance(performative, Described)
    return list(performative.value)


@dataclass
class _Connection:
    """One connection.

    Attributes:
        out: by the id of each unsettled delivery: its event's number, and the calls of ``on`` for that until it came.
        settled: ids.
        replacing: the events' numbers of copies that replace them, by the receipts that confirm those.
        replaced: of those that were confirmed, how many there are of each event and no settlement yet.
    """

    out: dict[object, tuple[int, int]] = field(default_factory=dict)
    settled: set[object] = field(default_factory=set)
    replacing: dict[bytes, int] = field(default_factory=dict)
    replaced: Counter[int] = field(default_factory=Counter)


class Record:
    """Who settles what. Shown frames in their order, it notes each settlement that must not be.

    Each has to be of a delivery of the same connection, and the first one of it. Where there is one listener alone, an
    acceptance has to come after a run of ``on`` that ended after the delivery came, or after the confirmation of a copy
    that replaces the event. So none belongs to an older generation.

    Attributes:
        settlements: how many were seen; of those, ``accepted``.
        flaws: settlements that cross connections, in words.
        early: acceptances before ``on`` had returned, in words.
    """

    def __init__(self, handled: Numbers | None) -> None:
        self.settlements = self.accepted = 0
        self.flaws: list[str] = []
        self.early: list[str] = []
        self._handled = handled
        self._calls: Counter[int] = Counter()
        self._connections: dict[int, _Connection] = {}

    def see(self, number: int, direction: Direction, frame: bytes) -> None:
        """Look at a frame of the connection with this number."""
        connection = self._connections.setdefault(number, _Connection())
        if direction == "to_client":
            found = _NUMBER.search(frame)
            delivery = _delivery_in(frame)
            if delivery is not None:
                event = int(found[1]) if found else -1
                connection.out[delivery] = (event, self._calls_of(event))
            elif frame[:8] == b"RECEIPT\n":
                receipt = _STOMP_RECEIPT_ID.search(frame)
                if receipt and receipt[1] in connection.replacing:
                    connection.replaced[connection.replacing.pop(receipt[1])] += 1
            return
        if frame[:5] == b"SEND\n":
            copied, asked = _NUMBER.search(frame), _STOMP_COPY.search(frame.partition(b"\n\n")[0] + b"\n")
            if copied and asked:
                connection.replacing[asked[1]] = int(copied[1])
        accepted, deliveries = _settled_in(frame)
        for delivery in deliveries:
            self._settle(number, connection, delivery, accepted=accepted)

    def _settle(self, number: int, connection: _Connection, delivery: object, *, accepted: bool) -> None:
        self.settlements += 1
        self.accepted += accepted
        if delivery not in connection.out:
            when = "again" if delivery in connection.settled else "that it was never given"
            self.flaws.append(f"connection {number} settled {delivery!r} {when}")
            return
        connection.settled.add(delivery)
        event, before = connection.out.pop(delivery)
        if not accepted or event < 0 or self._handled is None or self._calls_of(event) > before:
            return
        if connection.replaced[event]:
            connection.replaced[event] -= 1
        else:
            self.early.append(f"connection {number} accepted {delivery!r} before `on` had returned for event {event}")

    def _calls_of(self, event: int) -> int:
        if self._handled is not None:
            self._calls.update(self._handled.more())
        return self._calls[event]


def _delivery_in(frame: bytes) -> object:
    """The id of what is delivered, in a frame for the client; None when nothing is, or when it needs no settling."""
    if frame[:8] == b"MESSAGE\n":
        found = _STOMP_ACK_OF_MESSAGE.search(frame.partition(b"\n\n")[0] + b"\n")
        return found[1] if found else None
    if frame[:1] == b"\0" and frame[5] == 0 and _code(frame) == _TRANSFER:
        _handle, delivery, *_rest = _fields(frame)
        return delivery
    return None


def _settled_in(frame: bytes) -> tuple[bool, Sequence[object]]:
    """Whether a frame for the server accepts, or gives back; and the ids of which deliveries."""
    if frame[:4] == b"ACK\n":
        found = _STOMP_ID_OF_ACK.search(frame.partition(b"\n\n")[0] + b"\n")
        return True, [found[1] if found else b"nothing"]
    if frame[:1] == b"\0" and frame[5] == 0 and _code(frame) == _DISPOSITION:
        of_receiver, first, last, _settled, state, *_rest = [*_fields(frame), None, None, None]
        if of_receiver:
            accepted = isinstance(state, Described) and state.descriptor == _ACCEPTED
            return accepted, range(first, (first if last is None else last) + 1)
    return False, []
