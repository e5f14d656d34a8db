"""How large the headers of a STOMP frame are to Artemis."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eventing_core.provider import Message
from eventing_stomp._frames import lines
from eventing_stomp._message import encode, encode_alone
from eventing_stomp._size import Large, is_too_large, marked, record_size

WHERE = lines({"destination": "Event::Listener", "destination-type": "MULTICAST"})
REFUSED = "AMQ339011 Error sending message"

Encode = Callable[..., bytes]


def message(size: int = 0, *, text: str = "x", body: bytes = b"b", durable: bool = True) -> Message:
    return Message(body, {"large": text * size}, "id", "dedup", durable=durable)


@pytest.mark.parametrize("write", [encode, encode_alone])
def test_characters_take_two_bytes_and_more_where_utf_16_needs_more(write: Encode):
    base = record_size(write(message(), WHERE, 1))
    assert 200 < base < 700
    for text, width in (("x", 2), ("ü", 2), ("\N{GRINNING FACE}", 4), ("\n", 2), (":", 2)):
        assert record_size(write(message(1_000, text=text), WHERE, 1)) == base + 1_000 * width


def test_the_body_does_not_count():
    small, large = (record_size(encode(message(body=b"b" * size), WHERE, 1)) for size in (100, 199_999))
    assert 0 <= large - small < 10


def test_what_is_not_durable_is_in_no_record():
    data = encode(message(600_000, durable=False), WHERE, 1)
    assert record_size(data) == 0
    assert not is_too_large(data, REFUSED)


@pytest.mark.parametrize("write", [encode, encode_alone])
def test_only_a_large_head_is_marked(write: Encode):
    assert isinstance(marked(write(message(200_000), WHERE, 1)), Large)
    assert not isinstance(marked(write(message(10, body=b"\n\n" * 200_000), WHERE, 1)), Large)


@pytest.mark.parametrize("write", [encode, encode_alone])
def test_too_large_is_what_was_refused_and_does_not_fit(write: Encode):
    fits, does_not = (write(message(size), WHERE, 1) for size in (249_000, 251_000))
    assert is_too_large(does_not, REFUSED)
    assert not is_too_large(fits, REFUSED)
    assert not is_too_large(does_not, "AMQ229032: User: u does not have permission='SEND' on address Event")
    assert not is_too_large(does_not, "")
