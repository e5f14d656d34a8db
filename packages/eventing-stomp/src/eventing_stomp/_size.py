"""How large a message's headers may be: Artemis stores those of a durable one in a single record of its journal.

Over STOMP it ends the connection for a larger one, without a reason ("AMQ339011 Error sending message"). What is
measured here is Artemis's own measure, which begins a little earlier: two bytes for each UTF-16 unit. Pure.
"""

from __future__ import annotations

from eventing_stomp._frames import read_headers

#: Bytes of a record by default (``journal-buffer-size``; checked with Artemis 2.44).
_DEFAULT_LIMIT = 501_760

#: What the broker adds that isn't in the frame, in bytes: at least, at most.
LEAST_ADDED, _MOST_ADDED = 100, 500

#: Heads of fewer bytes are not looked at: only hundreds of tiny headers could make a record of more.
LOOKED_AT = 100_000

#: What a header takes beside its key and its value: two lengths and a type.
_OVERHEAD = 9

_REFUSED = "AMQ339011"


class Large(bytes):
    """An encoded message whose head is to be looked at before it is written."""

    __slots__ = ()


def marked(data: bytes) -> bytes:
    """An encoded message, as `Large` where it is."""
    return Large(data) if len(data) > LOOKED_AT and len(_head(data)) > LOOKED_AT else data


def record_size(data: bytes) -> int:
    """The bytes of a record that the headers of an encoded message take, roughly; 0 where it isn't durable."""
    headers = read_headers(_head(data))
    if headers.get("persistent") != "true":
        return 0
    return sum(len((key + value).encode("utf-16-le")) + _OVERHEAD for key, value in headers.items())


def is_too_large(data: bytes, text: str) -> bool:
    """Whether an encoded message that was refused with this text is larger than a record."""
    return _REFUSED in text and len(data) > LOOKED_AT and record_size(data) > _DEFAULT_LIMIT - _MOST_ADDED


def _head(data: bytes) -> bytes:
    # Within a transaction, another frame comes first.
    start = data.find(b"\0SEND\n") + 1 if data.startswith(b"BEGIN\n") else 0
    return data[start : data.index(b"\n\n", start) + 1]
