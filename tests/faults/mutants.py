"""Messages that nobody should send: bodies and headers of all kinds, and bytes that are no message any more."""

from __future__ import annotations

import json
from random import Random
from typing import Any
from uuid import UUID

import proton

from eventing_stomp._frames import frame

#: JSON values that a field may not have, or only just.
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**63, 10**400, 1.5, 1e400, "", "7", " 7 ", "x" * 5_000, "\ud800", "\0", [], [7], {}),
    *({"number": 7}, [[]], "NaN", float("nan"), float("-inf")),
)
_BODIES = (b"", b"{}", b"[]", b"null", b"{", b'{"number":}', b"\xff\xfe{", b"[" * 50_000, b'{"a":' * 20_000, b"NaN")
_KEYS = (
    *(
        "eventing-attempts",
        "eventing-uncounted-attempts",
        "eventing-redeliveries",
        "eventing-first-failed-at",
        "eventing-error-type",
        "eventing-",
    ),
    *("", " ", ":", "größe", "a\nb", "JMSXDeliveryCount", "traceparent", "k" * 3_000, "\U0001f600"),
)
#: None that makes a suspect of a message: what is beside it would be replaced by copies, and counted twice.
_TEXTS = (
    *("", "0", "-1", "8", "99999999999999999999", "yesterday"),
    *("\r\n", "\\c", "\0", "ä" * 4_000, "a:b", "\U0001f600"),
)


def body(random: Random) -> bytes:
    """A body that may or may not be that of an event."""
    valid = b'{"number":%d}' % random.randrange(10**6)
    match random.randrange(5):
        case 0:
            return valid
        case 1:
            return random.choice(_BODIES)
        case 2:
            return json.dumps({random.choice(("number", "Number", "")): random.choice(_VALUES)}).encode()
        case 3:
            return random.randbytes(random.randrange(200))
        case _:
            return damaged(random, valid)


def headers(random: Random) -> dict[str, str]:
    """Some headers, of our own among them."""
    return {random.choice(_KEYS): random.choice(_TEXTS) for _ in range(random.randrange(4))}


def damaged(random: Random, raw: bytes) -> bytes:
    """Some bytes changed, left out, or put in."""
    data = bytearray(raw)
    for _ in range(random.randrange(1, 5)):
        at = random.randrange(len(data) + 1)
        match random.randrange(4):
            case 0:
                data[at : at + 1] = random.randbytes(1)
            case 1:
                del data[at : at + random.randrange(8)]
            case 2:
                data[at:at] = random.randbytes(random.randrange(8))
            case _:
                data[at:at] = data[:at][-random.randrange(1, 40) :]
    return bytes(data)


def amqp(random: Random) -> bytes:
    """A message of AMQP, or bytes that once were one."""
    payload: Any = body(random)
    match random.randrange(6):
        case 0:
            payload = random.choice([None, 7, 1.5, True, "text", '{"number":7}', UUID(int=7), proton.symbol("s"), b""])
        case 1:
            payload = random.choice([[1, "two", None], {"number": 7}, {"number": [1]}, [], {}, {1: {2: [3]}}])
    properties: dict[Any, Any] = dict(headers(random))
    if random.random() < 0.3:
        properties |= {"odd": random.choice([None, 7, 1.5, True, b"\xff", UUID(int=7)])}
    message = proton.Message(
        body=payload,
        properties=properties,
        durable=random.random() < 0.9,
        inferred=random.random() < 0.5,
        id=random.choice([None, "id", "", 7, UUID(int=7), b"\xff\0", "x" * 2_000]),
        content_type=random.choice([None, "application/json", "text/plain; charset=utf-16", "", "application/xml"]),
        subject=random.choice([None, "", "größe"]),
        correlation_id=random.choice([None, "id", 7]),
        group_id=random.choice([None, "group"]),
        priority=random.randrange(10),
    )
    raw = bytes(message.encode())
    return damaged(random, raw) if random.random() < 0.1 else raw


def stomp(random: Random, destination: str, receipt: int) -> bytes:
    """A frame of STOMP that sends to the destination and asks for a receipt, or bytes that once were one."""
    routing = {"destination": destination, "destination-type": "MULTICAST"}
    own = {"persistent": random.choice(("true", "false", "", "7")), "receipt": str(receipt)}
    payload = body(random)
    if random.random() < 0.3:
        own["content-type"] = random.choice(("application/json", "text/plain", "", "\n", "x" * 500))
    if random.random() < 0.7:
        own["content-length"] = str(len(payload))
    raw = frame("SEND", {**headers(random), **routing, **own}, payload)
    return damaged(random, raw) if random.random() < 0.1 else raw
