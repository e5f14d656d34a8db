"""Messages of foreign AMQP senders that can't be written in STOMP, by what is special in them.

The bodies are valid events wherever there is a choice: over AMQP each of these can be handled, but for the lists.
"""

from __future__ import annotations

import uuid
from typing import Any

from proton import Message, timestamp

from examples.artemis import Artemis
from tests.support.plain import PlainClient
from tests.support.raw import RawAmqp

#: The number that they have, where they are events.
NUMBER = 1_000_000

_BODY = b'{"number": %d}' % NUMBER

_WHEN = timestamp(1_700_000_000_000)

#: An AMQP section's beginning: header with durable, and a sequence of one text.
_HEADER = b"\x00\x53\x70\xc0\x02\x01\x41"
_SEQUENCE = b"\x00\x53\x76\xc0\x04\x01\xa1\x01a"


def data(body: bytes) -> bytes:
    """A data section."""
    return b"\x00\x53\x75\xa0" + bytes([len(body)]) + body


def _with(properties: dict[str, Any]) -> Message:
    return Message(body=_BODY, inferred=True, durable=True, content_type="application/json", properties=properties)


def _value(body: Any, **options: Any) -> Message:
    return Message(body=body, inferred=False, durable=True, **options)


#: Artemis 2.44 ends the connection when it hands them over.
ENDING: dict[str, Message] = {
    "timestamp": _with({"when": _WHEN}),
    "UUID": _with({"key": uuid.UUID(int=1)}),
    "list property": _with({"tags": ["a", "b"]}),
    "map property": _with({"more": {"a": 1}}),
    "empty list property": _with({"tags": []}),
    "map with a list": _value({"number": NUMBER, "tags": ["a"]}),
    "map with a map": _value({"number": NUMBER, "more": {"a": 1}}),
    "map with a timestamp": _value({"number": NUMBER, "when": _WHEN}),
    "list with a list": _value(["a", ["b"]]),
    "list with a timestamp": _value([_WHEN]),
}

#: The client ends the connection: the headers are larger than it takes.
TOO_LARGE: dict[str, Message] = {
    "huge header": Message(body=_BODY, inferred=True, properties={"huge": "x" * 1_500_000}),
}

#: Artemis writes nothing, and counts them as delivered.
DROPPED: dict[str, Message | bytes] = {
    "list": _value(["a", "b"]),
    "sequence": _HEADER + _SEQUENCE,
    "two sequences": _HEADER + _SEQUENCE + _SEQUENCE,
}

#: Artemis writes them without their bodies.
EMPTIED: dict[str, Message] = {
    "map": _value({"number": NUMBER}),
    "map with null": _value({"number": None}),
}


def put(broker: Artemis, plain: PlainClient, event: str, offender: Message | bytes) -> None:
    """Send one to all queues of an event."""
    if isinstance(offender, bytes):
        client = RawAmqp(broker, event)
        client.put([offender])
        client.close()
    else:
        plain.send(event, offender)
