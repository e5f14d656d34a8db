"""A peer that says too much: it is refused, and what it said is not kept."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

import pytest

from eventing_amqp import AMQProvider
from eventing_core.errors import BrokerConnectionError
from eventing_stomp import StompProvider
from tests.support.handshakes import PRODUCTS, Gate, frame, open_frame
from tests.support.lines import Peer
from tests.support.waiting import until

MIB = 1 << 20
PROVIDERS: dict[str, Any] = {"amqp": AMQProvider, "stomp": StompProvider}


def empty_amqp_frame(size: int) -> bytes:
    return size.to_bytes(4) + b"\x02\x00\x00\x00"


#: By protocol: what begins it, what follows for ever, and the error.
FLOODS = {
    "a frame of 4 GiB": ("amqp", empty_amqp_frame(0xFFFF_FFFF), b"x" * 65536, "malformed frame"),
    "a frame of 100 MiB": ("amqp", empty_amqp_frame(100 * MIB), b"x" * 65536, "malformed frame"),
    "a body of 50 GB": ("stomp", b"MESSAGE\ncontent-length:50000000000\n\n", b"x" * 65536, "max_message_bytes"),
    "a length of 40 digits": ("stomp", b"MESSAGE\ncontent-length:%b\n\n" % (b"9" * 40), b"x", "not a STOMP frame"),
    "a body without an end": ("stomp", b"MESSAGE\n\n", b"x" * 65536, "max_message_bytes"),
    "a header without an end": ("stomp", b"MESSAGE\nkey:", b"x" * 65536, "not a STOMP frame"),
    "headers without an end": ("stomp", b"MESSAGE\n", b"key:value\n" * 6000, "not a STOMP frame"),
}


@pytest.mark.parametrize(("kind", "begin", "more", "text"), FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_is_cut_off(kind: str, begin: bytes, more: bytes, text: str):
    gate = Gate(kind)
    try:
        provider = PROVIDERS[kind](
            "server", "127.0.0.1", gate.port, "u", "p", max_message_bytes=MIB, backoff_initial=10, backoff_max=10
        )
        lost: list[Exception | None] = []
        provider.open(lambda _, error: lost.append(error))
        [peer] = gate.taken
        peer.settimeout(10)
        # More than all buffers on the way hold: it is cut off, and not read to its end.
        with contextlib.suppress(ConnectionError):
            peer.sendall(begin)
            for _ in range(64 * MIB // len(more)):
                peer.sendall(more)
            peer.shutdown(socket.SHUT_WR)
        until(lambda: len(lost) == 2, "the connection is ended", 10)
        assert isinstance(lost[1], BrokerConnectionError)
        assert text in str(lost[1])
        provider.close(1)
    finally:
        gate.close()


def test_before_it_is_open_no_more_is_taken_either():
    # A STOMP server that says yes, and then headers without an end; an AMQP one whose first frame has no end.
    for kind, said in (
        ("stomp", b"CONNECTED\n" + b"key:value\n" * 400_000),
        ("amqp", b"AMQP\x03\x01\x00\x00" + empty_amqp_frame(0xFFFF_FFFF) + b"x" * 4_000_000),
    ):
        peer = Peer()
        provider = PROVIDERS[kind]("server", "127.0.0.1", peer.port, connect_timeout=30)

        def flood(peer: Peer = peer, said: bytes = said) -> None:
            until(lambda: bool(peer.taken), "a client", 10)
            with contextlib.suppress(OSError):
                peer.taken[0].sendall(said)

        thread = threading.Thread(target=flood)
        thread.start()
        with pytest.raises(BrokerConnectionError) as refusal:
            provider.open(lambda *_: None)
        assert "time limit" not in str(refusal.value)
        peer.close()
        thread.join()


@pytest.mark.parametrize("depth", [10, 1000, 3000])
def test_properties_that_are_nested_deeply_do_no_harm(depth: int):
    value = b"\x40"
    for _ in range(depth):
        value = b"\xd0" + (len(value) + 4).to_bytes(4) + (1).to_bytes(4) + value
    product = b"\xa3\x07product\xa1" + bytes((len(PRODUCTS["amqp"]),)) + PRODUCTS["amqp"] + b"\xa3\x01n" + value
    properties = b"\xd1" + (len(product) + 4).to_bytes(4) + (4).to_bytes(4) + product
    fields = b"\xa1\x01x" + b"\x40" * 8 + properties
    nested = frame(0, b"\x00\x53\x10\xd0" + (len(fields) + 4).to_bytes(4) + (10).to_bytes(4) + fields)
    gate = Gate("amqp", instead={open_frame(PRODUCTS["amqp"]): nested})
    try:
        provider = AMQProvider("server", "127.0.0.1", gate.port, "u", "p")
        if depth < 30:
            provider.open(lambda *_: None)
            assert provider.health().connected
        else:
            # What can't be read tells no name.
            with pytest.raises(BrokerConnectionError, match="doesn't report its name"):
                provider.open(lambda *_: None)
        provider.close(1)
    finally:
        gate.close()
