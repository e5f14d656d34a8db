"""Messages from and to STOMP frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing_core import Envelope
from eventing_core.errors import HeaderError
from eventing_core.provider import Message
from eventing_core.provider.artemis import Node
from eventing_stomp._frames import Incoming, Splitter, lines, read_headers, receipt_of
from eventing_stomp._message import StompDelivery, decode, encode, encode_alone, routing

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
NASTY = st.text(st.sampled_from("\\\n\r:ncr ä🎉"), max_size=12)

#: What Artemis, JMS and STOMP have headers of their own for.
PROTOCOLS = {
    *("ack", "content-length", "content-type", "correlation-id", "destination", "destination-type", "expires"),
    *("message-id", "persistent", "priority", "receipt", "redelivered", "reply-to", "subscription", "timestamp"),
    *("transaction", "type"),
}
KEY = (TEXT | NASTY).filter(
    lambda key: key not in PROTOCOLS and not key.startswith(("_AMQ", "AMQ_", "JMS", "NATIVE_MESSAGE_ID"))
)
MESSAGES = st.builds(
    Message,
    body=st.binary(max_size=200),
    headers=st.dictionaries(KEY, TEXT | NASTY, max_size=5),
    message_id=TEXT | NASTY,
    dedup_id=TEXT | NASTY,
    content_type=TEXT | NASTY,
    durable=st.booleans(),
)

TOPIC = lines(routing(Node(address="Event"), "destination-type"))
QUEUE = lines(routing(Node(address="Eve:nt::Listener"), "destination-type"))


def frames_of(data: bytes) -> list[Incoming]:
    """What it is made of, nothing left over."""
    splitter = Splitter()
    frames = splitter.feed(data)
    assert splitter._size == 0
    return frames


@given(MESSAGES, st.sampled_from([0.0, 1.5]))
def test_what_is_encoded_is_one_frame_and_decoded(message: Message, delay: float):
    (incoming,) = frames_of(encode(message, TOPIC, 1, delay))
    assert incoming.command == b"SEND"
    assert decode(incoming) == message


@given(MESSAGES, st.integers(1, 10**12))
def test_a_message_says_where_it_goes_and_asks_for_its_receipt(message: Message, number: int):
    data = encode(message, TOPIC, number)
    assert receipt_of(data) == str(number).encode()
    (incoming,) = frames_of(data)
    headers = read_headers(incoming.head)
    assert headers["receipt"] == str(number)
    assert (headers["destination"], headers["destination-type"]) == ("Event", "MULTICAST")
    assert headers["persistent"] == ("true" if message.durable else "false")
    assert int(headers["content-length"]) == len(message.body)


@given(MESSAGES, st.integers(1, 10**12), st.sampled_from([0.0, 2.5]))
def test_alone_it_is_a_transaction_with_a_receipt_at_its_end(message: Message, number: int, delay: float):
    data = encode_alone(message, QUEUE, number, delay)
    assert receipt_of(data) == str(number).encode()
    begin, send, commit = frames_of(data)
    assert [incoming.command for incoming in (begin, send, commit)] == [b"BEGIN", b"SEND", b"COMMIT"]
    assert {read_headers(incoming.head)["transaction"] for incoming in (begin, send, commit)} == {"Eve:nt::Listener"}
    # Only what stands at its end confirms it.
    receipts = [read_headers(incoming.head).get("receipt") for incoming in (begin, send, commit)]
    assert receipts == [None, f"in-{number}", str(number)]
    # Artemis refuses a transaction with an id that it knows: see the function.
    assert decode(send) == replace(message, dedup_id="")
    assert send.header(b"AMQ_SCHEDULED_DELAY") == ("2500" if delay else "")


def test_destinations_are_routed_as_they_are():
    assert routing(Node(address="E::L.dead", anycast=True), "subscription-type") == {
        "destination": "E::L.dead",
        "subscription-type": "ANYCAST",
    }
    assert routing(Node(address="E"), "destination-type") == {"destination": "E", "destination-type": "MULTICAST"}


@pytest.mark.parametrize("delay", [0.0, -1.0])
def test_without_a_delay_there_is_no_header_for_it(delay: float):
    assert b"AMQ_SCHEDULED_DELAY" not in encode(Message(body=b"x"), TOPIC, 1, delay)


def test_what_a_message_has_not_is_no_header():
    (incoming,) = frames_of(encode(Message(body=b"", content_type=""), TOPIC, 1))
    assert set(read_headers(incoming.head)) == {
        *("receipt", "destination", "destination-type", "persistent", "content-length"),
    }


def test_ids_and_content_type_are_those_of_amqp():
    message = Message(body=b"x", message_id="m:1", dedup_id="d", content_type="text/plain; charset=utf-8")
    headers = read_headers(frames_of(encode(message, TOPIC, 1))[0].head)
    assert headers["NATIVE_MESSAGE_ID"] == "m:1"
    assert headers["JMS_AMQP_ContentType"] == headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["_AMQ_DUPL_ID"] == "d"


def test_an_id_that_looks_like_one_of_jms_is_told_to_be_a_plain_string():
    message = Message(body=b"x", message_id="ID:AMQP_UUID:mine")
    headers = read_headers(frames_of(encode(message, TOPIC, 1))[0].head)
    assert headers["NATIVE_MESSAGE_ID"] == "ID:AMQP_NO_PREFIX:ID:AMQP_UUID:mine"


def arrived(**headers: str) -> Incoming:
    """A MESSAGE frame as Artemis would send it."""
    own = {"subscription": "1", "message-id": "1-2", "ack": "1-3", "destination": "Event", "content-length": "1"}
    return Incoming(b"MESSAGE", b"MESSAGE\n" + lines({**own, **headers}), b"x")


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ("ID:AMQP_NO_PREFIX:abc", "abc"),
        ("ID:AMQP_UUID:c0ffee", "c0ffee"),
        ("ID:AMQP_ULONG:7", "7"),
        ("ID:AMQP_BINARY:00ff", "00ff"),
        ("ID:AMQP_NO_PREFIX:ID:AMQP_UUID:mine", "ID:AMQP_UUID:mine"),
        ("ID:of-jms", "ID:of-jms"),
        ("see ID:AMQP_UUID:1", "see ID:AMQP_UUID:1"),
        ("", ""),
    ],
)
def test_the_message_id_is_the_senders(native: str, expected: str):
    assert decode(arrived(NATIVE_MESSAGE_ID=native)).message_id == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"content-type": "a/b"}, "a/b"),
        ({"JMS_AMQP_ContentType": "c/d"}, "c/d"),
        ({"content-type": "a/b", "JMS_AMQP_ContentType": "c/d"}, "a/b"),
        ({}, ""),
    ],
)
def test_the_content_type_is_the_senders(headers: dict[str, str], expected: str):
    assert decode(arrived(**headers)).content_type == expected


def test_headers_of_protocols_and_broker_are_none_of_the_event():
    internal = dict.fromkeys([*PROTOCOLS, "_AMQ_ORIG_QUEUE", "AMQ_SCHEDULED_DELAY", "JMSXGroupID", "JMS_AMQP_x"], "1")
    message = decode(arrived(**internal, **{"eventing-attempts": "2", "own": "o"}))
    assert message.headers == {"eventing-attempts": "2", "own": "o"}


def test_a_plain_frame_is_a_message():
    assert decode(Incoming(b"MESSAGE", b"MESSAGE\n", b"{}")) == Message(body=b"{}", content_type="")


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_any_frame_is_taken(head: bytes, body: bytes):
    message = decode(Incoming(b"MESSAGE", b"MESSAGE\n" + head + b"\n", body))
    assert message.body == body
    assert all(isinstance(text, str) for item in message.headers.items() for text in item)


def test_a_delivery_knows_whether_it_came_before():
    assert StompDelivery(arrived(), 1, 1).delivery_count == 0
    assert StompDelivery(arrived(redelivered="false"), 1, 1).delivery_count == 0
    assert StompDelivery(arrived(redelivered="true"), 1, 1).delivery_count == 1
    # Said in headers of the event's own.
    assert StompDelivery(arrived(xredelivered="true"), 1, 1).delivery_count == 0
    assert StompDelivery(arrived(note="x\nredelivered:true\n"), 1, 1).delivery_count == 0
    twice = Incoming(b"MESSAGE", b"MESSAGE\nredelivered:false\nredelivered:true\n", b"")
    assert StompDelivery(twice, 1, 1).delivery_count == 0
    assert StompDelivery(arrived(own="o"), 5, 3).message().headers == {"own": "o"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("k", "a\nreceipt:1"),
        ("k", "a\r\n\r\nbody"),
        ("k", "a\\nb\\cc\\"),
        ("k:v", "x"),
        ("k\\n", "x"),
        ("ключ 🎉", "世界"),
        ("k", " outer spaces\t"),
        ("k", "\u2028\x1f\ufeff"),
        ("k", ""),
        ("k", "a\0b"),
        ("k\n", "x"),
        ("k\r", "x"),
        ("k\0", "x"),
        ("", "x"),
        ("k", "\ud800"),
        ("k\ud800", "x"),
        ("destination", "x"),
        ("content-length", "0"),
        ("_AMQ_DUPL_ID", "x"),
    ],
)
def test_a_header_arrives_as_it_was_set_or_is_refused(key: str, value: str):
    envelope = Envelope(b"{}")
    try:
        envelope.set(key, value)
    except HeaderError:
        assert not envelope.headers
        return
    message = Message(body=b"{}", headers=dict(envelope.headers))
    (incoming,) = frames_of(encode(message, TOPIC, 1))
    assert decode(incoming).headers == {key: value}


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_header_arrives_as_it_was_set_or_is_refused(key: str, value: str):
    test_a_header_arrives_as_it_was_set_or_is_refused(key, value)


def test_what_cannot_be_encoded_is_refused_where_it_is_sent():
    broken: Any = Message(body=b"x", headers={"k": "\ud800"})
    with pytest.raises(UnicodeEncodeError):
        encode(broken, TOPIC, 1)
