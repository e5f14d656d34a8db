"""Messages as STOMP frames, as Artemis understands them (user manual, "STOMP"). Pure.

Artemis keeps one message for all protocols: some of its header names say what an AMQP receiver will see as message id
and content type, and say what an AMQP sender gave.
"""

from __future__ import annotations

import functools
import re
from dataclasses import replace

from eventing_core.errors import DecodeError, UndeliverableError
from eventing_core.provider import Message
from eventing_core.provider.artemis import ARTEMIS_PREFIXES, Node, equals
from eventing_stomp._delivery import PROTOCOLS_OWN, FrameDelivery
from eventing_stomp._frames import Incoming, escape, lines, read_headers

#: Artemis drops a second message of one id to one address (user manual, "Duplicate Message Detection").
_DEDUP_ID = "_AMQ_DUPL_ID"

#: AMQP's message id and content type. Where the id begins by "ID:", the prefix says that it was a plain string.
_MESSAGE_ID = "NATIVE_MESSAGE_ID"
_ID_PREFIX = "ID:AMQP_NO_PREFIX:"
_ID_KIND = re.compile(r"\AID:AMQP_[A-Z_]+:")
_AMQP_CONTENT_TYPE = "JMS_AMQP_ContentType"

#: How Artemis tells what the body of a message is that was sent over AMQP.
_ENCODING = b"\nJMS_AMQP_ORIGINAL_ENCODING:"
_DATA, _MAP = b"2", b"7"

#: How a whole AMQP message begins, which Artemis writes where it knows nothing better of a value.
_SECTION = b"\x00S"

#: In milliseconds.
_DELAY = "AMQ_SCHEDULED_DELAY"

_BEGIN = b"SEND\nreceipt:"
_PERSISTENT, _NOT_PERSISTENT = "persistent:true\n", "persistent:false\n"

#: Begins the receipt of a SEND frame in a transaction, whose COMMIT frame has the number alone.
INNER = b"in-"


def routing(node: Node, header: str) -> dict[str, str]:
    """How the broker is to route: for ``destination-type`` in sending, ``subscription-type`` in subscribing."""
    return {"destination": node.address, header: "ANYCAST" if node.anycast else "MULTICAST"}


def encode_alone(message: Message, where: bytes, receipt: int, delay: float = 0.0) -> bytes:
    """A SEND frame in a transaction, for one queue of an address.

    Artemis 2.44 keeps how it routed to an address: in one session, what goes to one queue after what went to all
    reaches all of them. A transaction has a session of its own, which the broker keeps for the transaction's name as
    long as the connection lasts: so there is one name for each destination, used again and again. And it refuses a
    transaction with a message that it has already, where it takes a plain one for done: so there is no id to know it
    by, and what is sent again after a loss may come twice.
    """
    message = replace(message, dedup_id="")
    transaction = b"transaction:%b\n" % where.partition(b"\n")[0].partition(b":")[2]
    # Only what an error says is of use here: a receipt for it confirms nothing yet.
    own = b"receipt:%b%d\n" % (INNER, receipt)
    sending = encode(message, transaction + where, receipt, delay).replace(b"receipt:%d\n" % receipt, own, 1)
    # BEGIN's first header is for `receipt_of`; the broker passes it over.
    return b"BEGIN\nsend:%d\n%b\n\0%bCOMMIT\nreceipt:%d\n%b\n\0" % (
        *(receipt, transaction),
        *(sending, receipt, transaction),
    )


@functools.lru_cache(maxsize=64)
def _content_type(text: str) -> str:
    """The headers of a content type."""
    escaped = escape(text)
    return f"content-type:{escaped}\n{_AMQP_CONTENT_TYPE}:{escaped}\n" if text else ""


def encode(message: Message, where: bytes, receipt: int, delay: float = 0.0) -> bytes:
    """A SEND frame; ``where`` as from `lines` of `routing`, ``delay`` in seconds."""
    message_id, dedup_id = message.message_id, message.dedup_id
    escaped_id = escape(message_id)
    own = [_PERSISTENT if message.durable else _NOT_PERSISTENT, _content_type(message.content_type)]
    if message_id:
        prefix = escape(_ID_PREFIX) if message_id.startswith("ID:") else ""
        own.append(f"{_MESSAGE_ID}:{prefix}{escaped_id}\n")
    if dedup_id:
        own.append(f"{_DEDUP_ID}:{escaped_id if dedup_id == message_id else escape(dedup_id)}\n")
    if delay > 0:
        own.append(f"{_DELAY}:{round(delay * 1000)}\n")
    return b"%b%d\n%b%b%bcontent-length:%d\n\n%b\0" % (
        _BEGIN,
        receipt,
        where,
        "".join(own).encode(),
        lines(message.headers) if message.headers else b"",
        len(message.body),
        message.body,
    )


def filter_of(data: bytes) -> str:
    """An Artemis filter that selects an encoded message in its queue."""
    headers = read_headers(data[data.index(b"SEND\n") :].partition(b"\n\n")[0])
    key = _DEDUP_ID if _DEDUP_ID in headers else _MESSAGE_ID
    return equals(key, headers.get(key, ""))


def decode(frame: Incoming) -> Message:
    """The message of a MESSAGE frame. Never raises."""
    everything = read_headers(frame.head)
    headers = {
        key: value
        for key, value in everything.items()
        if key not in PROTOCOLS_OWN and not key.startswith(ARTEMIS_PREFIXES)
    }
    native = everything.get(_MESSAGE_ID, "")
    return Message(
        body=frame.body,
        headers=headers,
        message_id=_ID_KIND.sub("", native),
        dedup_id=everything.get(_DEDUP_ID, ""),
        content_type=everything.get("content-type") or everything.get(_AMQP_CONTENT_TYPE, ""),
        durable=everything.get("persistent") == "true",
    )


class StompDelivery(FrameDelivery):
    """A MESSAGE frame of Artemis's."""

    __slots__ = ()

    def message(self) -> Message:
        """Decode the message."""
        return decode(self.frame)

    def explain(self, error: DecodeError) -> DecodeError:
        """What Artemis makes of bodies that are sent over AMQP, and that STOMP has no place for."""
        body = self.frame.body
        if body.startswith(_SECTION) or is_map(self.frame):
            return UndeliverableError(
                "its body is an AMQP map, or a value that is neither text nor binary, which STOMP can't carry: have it "
                'sent as JSON in a data section, or let the listener consume with provider = "amqp"'
            )
        if body and self.frame.raw(_ENCODING) == _DATA:
            return DecodeError(f"{error}. Of several data sections of an AMQP message only the first comes over STOMP")
        return error


def is_map(frame: Incoming) -> bool:
    """Whether the body is a map, of which nothing comes over STOMP."""
    return frame.raw(_ENCODING) == _MAP
