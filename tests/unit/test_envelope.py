from __future__ import annotations

from typing import Any

import pytest

from eventing_core import DecodeError, Envelope, HeaderError, HeaderNotFoundError
from eventing_core.declare._envelope import check_header


def test_body_is_text():
    assert Envelope('{"a": "ü"}'.encode()).get_body() == '{"a": "ü"}'


def test_body_that_is_not_utf8():
    with pytest.raises(DecodeError, match="isn't UTF-8, at byte 1") as caught:
        Envelope(b"a\xff").get_body()
    assert caught.value.__context__ is None


def test_set_and_get():
    envelope = Envelope(b"", {"eventing-attempts": "1"})
    envelope.set("session", "1")
    envelope.set("session", "2")
    envelope.set("empty", "")
    assert envelope.get("session") == "2"
    assert not envelope.get("empty")
    assert envelope.get("eventing-attempts") == "1"
    assert envelope.headers == {"eventing-attempts": "1", "session": "2", "empty": ""}


def test_a_missing_header():
    envelope = Envelope(b"")
    assert envelope.get("session", None) is None
    assert envelope.get("session", "none") == "none"
    with pytest.raises(HeaderNotFoundError, match=r"^no header 'session': pass a default if it may be missing$"):
        envelope.get("session")
    with pytest.raises(KeyError):
        envelope.get("session")


def test_headers_are_copies():
    given = {"a": "1"}
    envelope = Envelope(b"", given)
    given["a"] = "2"
    seen: Any = envelope.headers
    seen["a"] = "3"
    assert envelope.get("a") == "1"


@pytest.mark.parametrize(
    "key", ["a", "x-session", "Größe", "traceparent", "a:b", "with space", "jms", "Eventing-x", "cloudEvents_id"]
)
@pytest.mark.parametrize("value", ["", "1", "ü", "line\nbreak", "\U0001f600"])
def test_takes_headers_that_every_transport_can_carry(key: str, value: str):
    check_header(key, value)


@pytest.mark.parametrize("key", ["", " a", "a ", "a\n", "a\0", "\ud800", 1, None, b"a"])
def test_refuses_keys(key: Any):
    envelope = Envelope(b"")
    with pytest.raises(HeaderError, match=r"is not a valid header key: choose a non-empty printable string"):
        envelope.set(key, "x")
    assert envelope.headers == {}


@pytest.mark.parametrize(
    "key",
    [
        "eventing-",
        "eventing-attempts",
        "_AMQ_DUPL_ID",
        "AMQ_SCHEDULED_DELAY",
        "JMSType",
        "NATIVE_MESSAGE_ID",
        "destination",
        "receipt",
        "content-length",
    ],
)
def test_refuses_reserved_keys(key: str):
    with pytest.raises(
        HeaderError, match=f"the header key '{key}' is reserved .* choose another, for example 'x-{key}'$"
    ):
        Envelope(b"").set(key, "x")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1, "the header 'a' has a value of type int; headers are strings: convert it with str()"),
        (None, "the header 'a' has a value of type NoneType; headers are strings: convert it with str()"),
        ("a\0b", "the value of header 'a' contains NUL, which STOMP can't carry"),
        ("\ud800", "the value of header 'a' contains a lone surrogate, which UTF-8 can't carry"),
    ],
)
def test_refuses_values_and_does_not_repeat_them(value: Any, message: str):
    with pytest.raises(HeaderError) as caught:
        Envelope(b"").set("a", value)
    assert str(caught.value) == message
