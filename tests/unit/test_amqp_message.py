"""Messages from and to bytes, checked against Proton's own codec."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import Any

import proton
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing_amqp import _codec
from eventing_amqp._codec import BrokenEncodingError, Decoder, Described
from eventing_amqp._message import AmqpDelivery, _decode_any, _decode_usual, body_of, decode, delivery_count, encode
from eventing_core.provider import Destination, Message
from eventing_core.provider.sockets import of_encoding

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
ASCII = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)
#: Artemis adds these to what came over STOMP; `Envelope.set` refuses them.
STOMP = {"content-length": "3", "destination": "E", "destination-type": "MULTICAST", "receipt": "7", "transaction": "1"}
KEY = TEXT.filter(lambda text: text and text not in STOMP and not text.startswith(("_AMQ", "JMS")))

MESSAGES = st.builds(
    Message,
    body=st.binary(max_size=600),
    headers=st.dictionaries(KEY, TEXT, max_size=5),
    message_id=TEXT,
    dedup_id=TEXT,
    content_type=ASCII,
    durable=st.booleans(),
)


@given(MESSAGES, st.sampled_from([0.0, 1.5]))
def test_what_is_encoded_is_decoded(message: Message, delay: float):
    assert decode(encode(message, delay)) == message
    assert body_of(encode(message, delay)) == message.body


@given(MESSAGES)
def test_proton_reads_what_is_encoded(message: Message):
    read = proton.Message()
    read.decode(encode(message, 2.5))
    body: Any = read.body
    assert bytes(body) == message.body
    assert read.durable == message.durable
    assert (read.id or "") == message.message_id
    # Proton tells "None" where there is none.
    assert str(read.content_type) == (message.content_type or "None")
    expected = {"_AMQ_DUPL_ID": message.dedup_id} if message.dedup_id else {}
    assert (read.properties or {}) == {**expected, **message.headers}
    assert read.annotations == {"x-opt-delivery-delay": 2500}


def from_proton(body: Any, **fields: Any) -> Message:
    raw = bytes(proton.Message(body=body, **fields).encode())
    message = decode(raw)
    assert body_of(raw) == message.body
    return message


@given(
    TEXT | st.binary(max_size=300) | st.none(),
    st.dictionaries(KEY, st.one_of(TEXT, st.booleans(), st.integers(-(2**31), 2**31 - 1), st.none()), max_size=5),
    TEXT | st.uuids() | st.integers(0, 2**63),
)
def test_what_proton_writes_is_decoded(body: Any, properties: dict[str, Any], message_id: Any):
    got = from_proton(body, properties=properties, id=message_id, durable=True)
    assert got.body == (body.encode() if isinstance(body, str) else body or b"")
    assert got.message_id == str(message_id)
    assert got.content_type == ""
    assert got.durable
    forms = {True: "true", False: "false"}
    assert got.headers == {
        key: forms[value] if isinstance(value, bool) else str(value)
        for key, value in properties.items()
        if value is not None
    }


FIELDS = st.fixed_dictionaries(
    {"id": TEXT.filter(bool)},
    optional={
        "subject": TEXT,
        "reply_to": TEXT,
        "address": TEXT,
        "correlation_id": TEXT | st.uuids() | st.integers(0, 2**63) | st.binary(max_size=300),
        "user_id": st.binary(max_size=300),
        "content_type": ASCII.map(proton.symbol),
        "content_encoding": ASCII.map(proton.symbol),
        "creation_time": st.floats(0, 2**32),
        "expiry_time": st.floats(0, 2**32),
        "group_id": TEXT,
        "group_sequence": st.integers(0, 2**31 - 1),
        "reply_to_group_id": TEXT,
        "priority": st.integers(0, 9),
        "ttl": st.floats(0, 2**20),
        "delivery_count": st.integers(0, 300),
        "durable": st.booleans(),
        "annotations": st.just({proton.symbol("x-opt-x"): "y" * 300}),
        "instructions": st.just({proton.symbol("x-opt-z"): 1}),
        "properties": st.dictionaries(KEY, st.text("xyz", max_size=2) | st.just("ä" * 3000), max_size=150),
    },
)


@given(FIELDS, st.binary(max_size=600))
def test_whatever_metadata_there_is_the_fast_way_is_taken_and_reads_the_same(fields: dict[str, Any], body: bytes):
    raw = bytes(proton.Message(body=body, inferred=True, **fields).encode())
    read = _decode_usual(raw)
    assert read == _decode_any(raw)
    assert read is not None
    assert read.message_id == fields["id"]
    assert read.headers == fields.get("properties", {})
    assert body_of(raw) == body


@given(MESSAGES, st.data())
def test_what_the_fast_way_takes_reads_the_same_where_it_can_be_read_in_full(message: Message, data: st.DataObject):
    raw = bytearray(encode(message))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    fast = full = None
    with contextlib.suppress(ValueError, IndexError):
        fast = _decode_usual(bytes(raw))
    with contextlib.suppress(ValueError, IndexError):
        full = _decode_any(bytes(raw))
    if fast is not None and full is not None:
        assert fast == full


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        TEXT,
        st.binary(max_size=300),
        st.uuids(),
        st.characters(exclude_categories=["Cs"]).map(proton.char),
        ASCII.map(proton.symbol),
        st.integers(0, 255).map(proton.ubyte),
        st.integers(-128, 127).map(proton.byte),
        st.integers(0, 2**16 - 1).map(proton.ushort),
        st.integers(-(2**15), 2**15 - 1).map(proton.short),
        st.integers(0, 2**32 - 1).map(proton.uint),
        st.integers(-(2**31), 2**31 - 1).map(proton.int32),
        st.integers(0, 2**64 - 1).map(proton.ulong),
        st.integers(0, 2**40).map(proton.timestamp),
        st.floats(width=32, allow_nan=False).map(proton.float32),
    ),
    lambda children: st.lists(children, max_size=5) | st.dictionaries(TEXT, children, max_size=5),
    max_leaves=20,
)


@given(VALUES)
def test_every_type_is_read(value: Any):
    data = proton.Data()
    data.put_object(value)
    decoder = Decoder(bytes(data.encode()))
    assert decoder.value() == value
    assert decoder.at == len(data.encode())


def test_arrays_and_described_values_are_read():
    data = proton.Data()
    array_type: Any = proton.Array
    array = array_type(proton.UNDESCRIBED, proton.Data.INT, 1, -2, 3)
    data.put_py_array(array)
    assert Decoder(bytes(data.encode())).value() == [1, -2, 3]
    # A described array of booleans that take no bytes of their own.
    described = b"\xe0\x08\x03\x00\xa3\x01x\x41" + b""
    raw = b"\xe0" + bytes((len(described) - 2,)) + described[2:]
    values = Decoder(raw).value()
    assert [(value.descriptor, value.value) for value in values] == [("x", True)] * 3


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (True, "true"),
        (12, "12"),
        ({"a": [1, {"b": "ä"}]}, '{"a": [1, {"b": "ä"}]}'),
        ([1, "x", None], '[1, "x", null]'),
        ({"id": uuid.UUID(int=1), "raw": b"x"}, '{"id": "00000000-0000-0000-0000-000000000001", "raw": "x"}'),
    ],
)
def test_structured_bodies_become_json(body: Any, expected: str):
    got = from_proton(body).body.decode()
    assert json.loads(got) == json.loads(expected)


def section(code: int, value: bytes) -> bytes:
    return bytes((0, 0x53, code)) + value


def test_several_data_sections_are_one_body():
    raw = section(0x75, b"\xa0\x02ab") + section(0x75, b"\xb0\x00\x00\x00\x01c")
    assert decode(raw).body == b"abc"


def test_sequences_become_one_json_list():
    raw = section(0x76, b"\xc0\x03\x01\x54\x01") + section(0x76, b"\xc0\x04\x01\xa1\x01x")
    assert json.loads(decode(raw).body) == [1, "x"]


def test_sections_with_descriptors_of_other_forms_are_read():
    body = b"\x00\xa3\x10amqp:data:binary\xa0\x02ab"
    assert decode(body).body == b"ab"
    assert decode(b"\x00\x80" + bytes(7) + b"\x75\xa0\x02ab").body == b"ab"


def test_a_message_without_body_or_anything_is_empty():
    assert decode(b"") == Message(body=b"", content_type="")


def test_the_brokers_own_properties_are_no_headers():
    got = from_proton(
        b"x",
        properties={"_AMQ_DUPL_ID": "d", "_AMQ_ORIG_QUEUE": "q", "JMSXGroupID": "g", "own": "o", "_AMQ": 1},
        inferred=True,
    )
    assert got.headers == {"own": "o"}
    assert got.dedup_id == "d"


@pytest.mark.parametrize("own", [{"own": "o"}, {"own": "o", "number": 1}])
def test_what_a_stomp_frame_had_is_no_header(own: dict[str, Any]):
    got = from_proton(b"x", properties={**STOMP, **own, "_AMQ_CONTENT_TYPE": "application/json"}, inferred=True)
    assert got.headers == {key: str(value) for key, value in own.items()}
    assert got.content_type == "application/json"


def deep(levels: int) -> bytes:
    raw = b"\x40"
    for _ in range(levels):
        raw = b"\xd0" + (len(raw) + 4).to_bytes(4) + (1).to_bytes(4) + raw
    return raw


BROKEN = {
    "no section": b"hello",
    "half a section": b"\x00\x53",
    "no such section": section(0x79, b"\x40"),
    "cut short": encode(Message(body=b"x" * 50))[:-1],
    "no utf-8": section(0x77, b"\xa1\x01\xff"),
    "no ascii": section(0x77, b"\xa3\x01\xff"),
    "too deep": section(0x77, deep(5000)),
    "descriptors without end": section(0x77, b"\x00" * 100_000),
    "more items than bytes": section(0x77, b"\xd0\x00\x00\x00\x05\xff\xff\xff\xff\x40"),
    "endless array of nothing": section(0x77, b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40"),
    "a size below its count": section(0x77, b"\xd0\x00\x00\x00\x01\x00\x00\x00\x00"),
    "a list that ends within its item": section(0x77, b"\xc0\x03\x01\xa1\x09"),
    "a map with half a pair": section(0x77, b"\xc1\x02\x01\x40"),
    "no map": section(0x74, b"\xc0\x02\x01\x40"),
    "no list": section(0x73, b"\xa1\x01x"),
    "no such type": section(0x77, b"\x3f"),
    "no such character": section(0x77, b"\x73\xff\xff\xff\xff"),
    "no boolean": section(0x77, b"\x56\x02"),
    "data that is text": section(0x75, b"\xa1\x01x") + section(0x75, b"\xa1\x01x"),
    "value and data": section(0x77, b"\x40") + section(0x75, b"\xa0\x00"),
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_encoding_comes_as_it_is(raw: bytes):
    assert decode(raw) == Message(body=raw, content_type="application/octet-stream")
    assert body_of(raw) == raw


@given(st.binary(max_size=200))
def test_any_bytes_are_taken(raw: bytes):
    assert isinstance(decode(raw), Message)
    assert isinstance(body_of(raw), bytes)
    delivery_count(raw)


@given(MESSAGES, st.integers(0, 200))
def test_a_message_that_ends_early_is_taken(message: Message, end: int):
    raw = encode(message, 1.0)[:end]
    assert body_of(raw) == decode(raw).body


@given(MESSAGES, st.data())
def test_any_change_of_bytes_is_taken(message: Message, data: st.DataObject):
    raw = bytearray(encode(message, 1.0))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    got = decode(bytes(raw))
    assert isinstance(got.body, bytes)
    assert isinstance(body_of(bytes(raw)), bytes)
    assert all(isinstance(text, str) for item in got.headers.items() for text in item)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_delivery_count_is_read_and_lasts(count: int, durable: bool):
    raw = proton.Message(body=b"x", delivery_count=count, durable=durable, inferred=True).encode()
    raw = bytes(raw)
    delivery = AmqpDelivery(raw, 1, 1)
    assert delivery.delivery_count == count
    assert delivery.message() == delivery.message()
    assert delivery.message().body == delivery.body() == b"x"


def test_skipping_passes_over_every_type():
    items = [b"\x40", b"\x50\x01", b"\x60\x00\x01", b"\x71\x00\x00\x00\x01", b"\xa1\x01x", b"\xc0\x02\x01\x40"]
    items += [b"\xb0\x00\x00\x00\x01x", b"\x98" + bytes(16), b"\x00\xa1\x01x\x40", b"\x45"]
    for raw in items:
        decoder = Decoder(raw + b"\x41")
        decoder.skip()
        assert decoder.value() is True, raw
    with pytest.raises(BrokenEncodingError):
        Decoder(b"\xa1\x05x").skip()


def test_numbers_and_texts_beyond_one_byte_of_size():
    long = "ä" * 200
    assert Decoder(_codec.string(long)).value() == long
    assert Decoder(_codec.symbol("x" * 300)).value() == "x" * 300
    assert Decoder(_codec.symbol("ä")).value() == "?"
    assert Decoder(_codec.binary(b"x" * 300)).value() == b"x" * 300
    many = {f"key{number}": "x" for number in range(200)}
    assert Decoder(_codec.string_map(many)).value() == many
    assert Decoder(_codec.compound_list(b"\x40" * 300, 300)).value() == [None] * 300


def test_a_described_body_is_its_value():
    assert decode(section(0x77, b"\x00\xa3\x01x\x54\x07")).body == b"7"
    assert isinstance(Decoder(b"\x00\xa3\x01x\x54\x07").value(), Described)


def test_with_large_headers_there_is_no_id_to_be_taken_for_a_duplicate_by():
    small, large = ({"x": "y" * size} for size in (60_000, 66_000))
    assert decode(encode(Message(b"b", small, "id", "dedup"))).dedup_id == "dedup"
    got = decode(encode(Message(b"b", large, "id", "dedup")))
    assert (got.message_id, got.dedup_id, got.headers) == ("id", "", large)


@pytest.mark.parametrize(
    "message",
    [
        Message(b"b", {"x\ud800": "y"}, "id", "dedup"),
        Message(b"b", {"x": "y\udfff"}, "id", "dedup"),
        Message(b"b", {}, "id\ud800", "dedup"),
        Message(b"b", {}, "id", "dedup\ud800"),
    ],
)
def test_lone_surrogates_are_refused(message: Message):
    with pytest.raises(UnicodeEncodeError):
        encode(message)
    error = of_encoding(Destination("Event"), message, UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"))
    assert ("header" in str(error)) == bool(message.headers)
    str(error).encode()


def test_a_character_that_is_a_lone_surrogate_reaches_the_core_and_no_further():
    # A char of AMQP may be any number of 32 bits.
    pairs = b"\xa1\x01k\x73\x00\x00\xd8\x00"
    raw = b"\x00\x53\x74\xc1" + bytes((len(pairs) + 1, 2)) + pairs + b"\x00\x53\x75\xa0\x01b"
    message = decode(raw)
    assert message.body == b"b"
    for value in message.headers.values():
        assert isinstance(value, str)
