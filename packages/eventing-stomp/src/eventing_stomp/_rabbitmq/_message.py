"""Messages as STOMP frames, as RabbitMQ understands them. Pure."""

from __future__ import annotations

from eventing_core.provider import Message
from eventing_stomp._delivery import PROTOCOLS_OWN, FrameDelivery
from eventing_stomp._frames import Incoming, lines, read_headers

_MESSAGE_ID = "amqp-message-id"

#: RabbitMQ makes AMQP 0-9-1's properties of some of these, and queues' settings of the others: an envelope's header of
#: such a name, or one that begins with ``x-``, travels under another.
_MEANINGFUL = frozenset(
    {
        "app-id",
        "auto-delete",
        "cluster-id",
        "content-encoding",
        "durable",
        "exclusive",
        "expiration",
        "user-id",
        _MESSAGE_ID,
    }
)
_ESCAPE = "eventing-as-is-"

#: What a MESSAGE frame has beside the headers that were sent.
_INTERNAL = PROTOCOLS_OWN | _MEANINGFUL | {"id"}


def encode(message: Message, where: bytes, receipt: int) -> bytes:
    """A SEND frame; ``where``: the lines of its destination, and of how that is made."""
    own = {"persistent": "true" if message.durable else "false"}
    if message.content_type:
        own["content-type"] = message.content_type
    if message.message_id:
        own[_MESSAGE_ID] = message.message_id
    headers = {
        f"{_ESCAPE}{key}" if key in _MEANINGFUL or key.startswith("x-") else key: value
        for key, value in message.headers.items()
    }
    return b"SEND\nreceipt:%d\n%b%b%bcontent-length:%d\n\n%b\0" % (
        receipt,
        where,
        lines(own),
        lines(headers),
        len(message.body),
        message.body,
    )


def decode(frame: Incoming) -> Message:
    """The message of a MESSAGE frame. Never raises."""
    everything = read_headers(frame.head)
    return Message(
        body=frame.body,
        headers={
            key.removeprefix(_ESCAPE): value
            for key, value in everything.items()
            if key not in _INTERNAL and not key.startswith("x-")
        },
        message_id=everything.get(_MESSAGE_ID, ""),
        content_type=everything.get("content-type", ""),
        durable=everything.get("persistent") == "true",
    )


class RabbitDelivery(FrameDelivery):
    """A MESSAGE frame of RabbitMQ's."""

    __slots__ = ()

    def message(self) -> Message:
        """Decode the message."""
        return decode(self.frame)
