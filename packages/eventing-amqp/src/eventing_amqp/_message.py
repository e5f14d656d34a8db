"""Messages from and to AMQP 1.0 sections (specification part 3, section 3.2). Pure.

Going out: header, annotations where there is a delay, properties, application properties, one data section. Coming in:
whatever a client of any make sends.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from eventing_amqp._codec import (
    BrokenEncodingError,
    Decoder,
    Described,
    as_dict,
    as_list,
    binary,
    compound_list,
    compound_map,
    string,
    string_map,
    strings,
    symbol,
    ulong,
)
from eventing_amqp._usual import body_at, id_and_content_type, places_in, strings_of
from eventing_core.provider import Delivery, Message
from eventing_core.provider.artemis import equals

HEADER, DELIVERY_ANNOTATIONS, MESSAGE_ANNOTATIONS, PROPERTIES, APPLICATION_PROPERTIES = range(0x70, 0x75)
DATA, SEQUENCE, VALUE, FOOTER = range(0x75, 0x79)

#: Artemis drops a second message of one id to one address (user manual, "Duplicate Message Detection").
DEDUP_ID = "_AMQ_DUPL_ID"

#: Bytes of headers from which a message travels without such an id. Where headers are larger than a record of its
#: journal (490 KiB by default), Artemis notes the id first, refuses the message then, and confirms whatever comes with
#: that id afterwards. The answer may be lost with the connection, so an id is only safe far below that.
_DEDUP_LIMIT = 1 << 16

#: Application properties that are the broker's or JMS's own.
_INTERNAL = ("_AMQ", "JMS")

#: Headers of a STOMP frame that Artemis hands on as application properties; no event has headers of these names.
_STOMP = frozenset({"content-length", "destination", "destination-type", "receipt", "transaction"})

#: The content type of a message that came to Artemis over STOMP.
_STOMP_CONTENT_TYPE = "_AMQ_CONTENT_TYPE"

_MESSAGE_ID, _CONTENT_TYPE = 0, 6
_TRUE = 0x41
_UNKNOWN = "application/octet-stream"

#: A header section is shorter than this: five fields of at most five bytes.
_HEADER_LIMIT = 64


def _section(code: int, value: bytes) -> bytes:
    return bytes((0x00, 0x53, code)) + value


_DURABLE = _section(HEADER, compound_list(b"\x41", 1))
_PROPERTIES = _section(PROPERTIES, b"")
_APPLICATION_PROPERTIES = _section(APPLICATION_PROPERTIES, b"")
_DATA = _section(DATA, b"")
_DEDUP_KEY = string(DEDUP_ID)


@functools.lru_cache(maxsize=64)
def _after_id(content_type: str) -> bytes:
    """The properties between the message id and the content type, and that."""
    return b"\x40\x40\x40\x40\x40" + (symbol(content_type) if content_type else b"\x40")


def encode(message: Message, delay: float = 0.0) -> bytes:
    """The message as bytes; ``delay`` in seconds.

    Raises:
        UnicodeEncodeError: a lone surrogate, which UTF-8 can't carry.
    """
    message_id, dedup_id, headers = message.message_id, message.dedup_id, message.headers
    encoded_id = string(message_id) if message_id else b"\x40"
    parts = [_DURABLE if message.durable else b""]
    if delay > 0:
        wait = symbol("x-opt-delivery-delay") + ulong(round(delay * 1000))
        parts.append(_section(MESSAGE_ANNOTATIONS, compound_map(wait, 2)))
    parts += (_PROPERTIES, compound_list(encoded_id + _after_id(message.content_type), 7))
    count, application = 2 * len(headers), strings(headers) if headers else b""
    if dedup_id and len(application) < _DEDUP_LIMIT:
        count += 2
        application = _DEDUP_KEY + (encoded_id if dedup_id == message_id else string(dedup_id)) + application
    if count:
        parts += (_APPLICATION_PROPERTIES, compound_map(application, count))
    parts += (_DATA, binary(message.body))
    return b"".join(parts)


def encode_request(message_id: str, reply_to: str, properties: Mapping[str, str], body: str) -> bytes:
    """A request to the broker's management."""
    fields = string(message_id) + b"\x40\x40\x40" + string(reply_to) + string(message_id)
    return b"".join(
        (
            _section(PROPERTIES, compound_list(fields, 6)),
            _section(APPLICATION_PROPERTIES, string_map(properties)),
            _section(VALUE, string(body)),
        )
    )


class Sections:
    """A message's sections, decoded. Raises `BrokenEncodingError` when there are none.

    Attributes:
        properties: the fields that are there.
        application: the application properties.
        bodies: kind and value of each body section.
    """

    __slots__ = ("application", "bodies", "properties")

    def __init__(self, raw: bytes) -> None:
        self.properties: list[Any] = []
        self.application: dict[Any, Any] = {}
        self.bodies: list[tuple[int, Any]] = []
        decoder = Decoder(raw)
        size = len(raw)
        while (at := decoder.at) < size:
            if raw[at : at + 2] == b"\x00\x53" and at + 2 < size:
                code = raw[at + 2]
                decoder.at = at + 3
            else:
                code, decoder.at = _long_descriptor(raw, at)
            if code in {HEADER, DELIVERY_ANNOTATIONS, MESSAGE_ANNOTATIONS, FOOTER}:
                decoder.skip()
            elif code == PROPERTIES:
                self.properties = _checked(decoder.value(), list)
            elif code == APPLICATION_PROPERTIES:
                self.application = _checked(decoder.value(), dict)
            elif code in {DATA, SEQUENCE, VALUE}:
                self.bodies.append((code, decoder.value()))
            else:
                raise BrokenEncodingError

    def field(self, index: int) -> str:
        """A field of the properties as text; empty when it is not there."""
        return _text(self.properties[index]) if index < len(self.properties) else ""


def _checked(value: Any, type_: type[Any]) -> Any:
    if not isinstance(value, type_):
        raise BrokenEncodingError
    return value


def filter_of(data: bytes) -> str:
    """An Artemis filter that selects an encoded message in its queue."""
    message = decode(data)
    return equals(DEDUP_ID, message.dedup_id) if message.dedup_id else equals("AMQUserID", f"ID:{message.message_id}")


_NAMES = {
    f"amqp:{name}": code
    for code, name in enumerate(
        (
            "header:list",
            "delivery-annotations:map",
            "message-annotations:map",
            "properties:list",
            "application-properties:map",
            "data:binary",
            "amqp-sequence:list",
            "amqp-value:*",
            "footer:map",
        ),
        HEADER,
    )
}


def _long_descriptor(raw: bytes, at: int) -> tuple[int, int]:
    """A section's code, written otherwise than by one byte, and where its value begins."""
    if raw[at] != 0:
        raise BrokenEncodingError
    decoder = Decoder(raw, at + 1)
    descriptor = decoder.value()
    code = _NAMES.get(descriptor) if isinstance(descriptor, str) else descriptor
    if not isinstance(code, int):
        raise BrokenEncodingError
    return code, decoder.at


def decode(raw: bytes) -> Message:
    """The message; bytes that are none come as they are, as ``application/octet-stream``. Never raises."""
    try:
        return _decode_usual(raw) or _decode_any(raw)
    except (BrokenEncodingError, ValueError, IndexError):
        return Message(body=raw, content_type=_UNKNOWN, durable=_is_durable(raw))


def _decode_usual(raw: bytes) -> Message | None:
    """What most clients write: texts where they are expected, and one data section. None for everything else."""
    places = places_in(raw)
    if places is None:
        return None
    properties, application, body = places
    texts = id_and_content_type(raw, properties) if properties > 0 else ("", "")
    headers = strings_of(raw, application) if application > 0 else {}
    if texts is None or headers is None:
        return None
    message_id, content_type = texts
    dedup_id = headers.pop(DEDUP_ID, "")
    own = [key for key in headers if key in _STOMP or key.startswith(_INTERNAL)] if headers else ()
    if own:
        content_type = content_type or headers.get(_STOMP_CONTENT_TYPE, "")
        for key in own:
            del headers[key]
    return Message(raw[body:], headers, message_id, dedup_id, content_type, _is_durable(raw))


def body_of(raw: bytes) -> bytes:
    """The body of `decode`; where it is one data section, without a look into the others."""
    at = body_at(raw)
    return raw[at:] if at > 0 else decode(raw).body


def _decode_any(raw: bytes) -> Message:
    sections = Sections(raw)
    headers: dict[str, str] = {}
    dedup_id = ""
    for key, value in sections.application.items():
        if not isinstance(key, str) or value is None or key in _STOMP:
            continue
        if key.startswith(_INTERNAL):
            if key == DEDUP_ID:
                dedup_id = _text(value)
            continue
        headers[str(key)] = _text(value)
    return Message(
        body=_body(sections.bodies),
        headers=headers,
        message_id=sections.field(_MESSAGE_ID),
        dedup_id=dedup_id,
        content_type=sections.field(_CONTENT_TYPE) or _text(sections.application.get(_STOMP_CONTENT_TYPE)),
        durable=_is_durable(raw),
    )


def _is_durable(raw: bytes) -> bool:
    if raw[:4] == b"\x00\x53\x70\xc0" and len(raw) > _HEADER_LIMIT:  # as clients write it, before a body
        return raw[5] > 0 and raw[6] == _TRUE
    fields = _header(raw)
    return bool(fields) and fields[0] is True


def _header(raw: bytes) -> list[Any]:
    """The fields of the header section; none where it is missing or broken."""
    if raw[:3] != b"\x00\x53\x70":
        return []
    try:
        return as_list(Decoder(raw, 3).value())
    except BrokenEncodingError:
        return []


def _body(bodies: list[tuple[int, Any]]) -> bytes:
    if len(bodies) == 1 and bodies[0][0] == DATA and isinstance(bodies[0][1], bytes):
        return bodies[0][1]
    kinds = {kind for kind, _ in bodies}
    values = [value for _, value in bodies]
    if not values:
        return b""
    if kinds == {DATA}:
        return b"".join([_checked(value, bytes) for value in values])
    if kinds == {VALUE} and len(values) == 1:
        return _value_body(values[0])
    if kinds == {SEQUENCE}:
        return _json([item for value in values for item in _checked(value, list)])
    raise BrokenEncodingError


def _value_body(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return b"" if value is None else _json(value)


def _json(value: Any) -> bytes:
    return json.dumps(_plain(value), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    """The nearest that JSON has. Nested no deeper than the decoder allowed."""
    if isinstance(value, dict):
        return {_text(key): _plain(item) for key, item in as_dict(value).items()}
    if isinstance(value, list):
        return [_plain(item) for item in as_list(value)]
    if isinstance(value, Described):
        return _plain(value.value)
    return value if isinstance(value, str | int | float | None) else _text(value)


def _text(value: Any) -> str:
    """A value's string form; empty for none."""
    if isinstance(value, str):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, list | dict | Described):
        return _json(value).decode("utf-8", "replace")
    return str(value)


@functools.lru_cache(maxsize=256)
def _count(header: bytes) -> int:
    fields = _header(header)
    count = fields[4] if len(fields) > 4 else 0  # noqa: PLR2004 (specification part 3, section 3.2.1)
    return count if isinstance(count, int) else 0


def delivery_count(raw: bytes) -> int:
    """How often the broker counts that the message was delivered in vain."""
    # Up to four fields, which is how a first delivery comes mostly.
    if raw[:4] == b"\x00\x53\x70\xc0" and raw[5:6] < b"\x05":
        return 0
    if raw[:3] != b"\x00\x53\x70":
        return 0
    return _count(raw[: 5 + raw[4] if raw[3:4] == b"\xc0" else _HEADER_LIMIT])


class AmqpDelivery(Delivery):
    """Bytes and a number; holds nothing of the connection.

    Attributes:
        number: unique in the process's life, so that a stale settlement finds nothing.
        raw: the message as it came.
    """

    __slots__ = ("number", "raw")

    def __init__(self, raw: bytes, number: int, generation: int) -> None:
        self.raw = raw
        self.number = number
        self.generation = generation
        self.delivery_count = delivery_count(raw)

    def message(self) -> Message:
        """Decode the message."""
        return decode(self.raw)

    def body(self) -> bytes:
        """The body alone."""
        return body_of(self.raw)
