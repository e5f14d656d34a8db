from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.proxy import Proxy

HEADER = b"AMQP\x00\x01\x00\x00"


def frame(code: int, *, kind: int = 0, long_descriptor: bool = False, payload: bytes = b"") -> bytes:
    descriptor = b"\x00\x80" + code.to_bytes(8) if long_descriptor else bytes((0x00, 0x53, code))
    body = descriptor + b"\x45" + payload
    return (len(body) + 8).to_bytes(4) + bytes((2, kind, 0, 0)) + body


TRANSFER, FLOW, DISPOSITION = frame(0x14), frame(0x13), frame(0x15)


class Pair:
    """Both ends of one connection through the proxy."""

    def __init__(self, proxy: Proxy, listener: socket.socket) -> None:
        self.client = socket.create_connection((proxy.host, proxy.port), timeout=10)
        self.server, _ = listener.accept()
        self.server.settimeout(10)

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


@pytest.fixture
def proxy(listener: socket.socket) -> Iterator[Proxy]:
    with Proxy(listener.getsockname()[1]) as proxy:
        yield proxy


@pytest.fixture
def pair(proxy: Proxy, listener: socket.socket) -> Iterator[Pair]:
    pair = Pair(proxy, listener)
    yield pair
    pair.close()


def read(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = end.recv(size - len(data))
        assert more, f"closed after {data!r}"
        data += more
    return data


def test_forwards_both_ways(pair: Pair):
    pair.client.sendall(b"to the server")
    assert read(pair.server, 13) == b"to the server"
    pair.server.sendall(HEADER + TRANSFER)
    assert read(pair.client, len(HEADER + TRANSFER)) == HEADER + TRANSFER


def test_forwards_another_protocol(pair: Pair):
    pair.server.sendall(b"CONNECTED\nversion:1.2\n\n\0")
    assert read(pair.client, 24) == b"CONNECTED\nversion:1.2\n\n\0"


def test_the_end_of_a_connection_is_forwarded(pair: Pair):
    pair.server.close()
    assert pair.client.recv(1) == b""


def test_reset(pair: Pair, proxy: Proxy):
    pair.client.sendall(b"x")
    read(pair.server, 1)
    assert proxy.reset() == 1
    for end in (pair.client, pair.server):
        with pytest.raises(ConnectionResetError):
            end.recv(1)


def test_refuses_and_takes_connections_again(proxy: Proxy, listener: socket.socket):
    port = proxy.port
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        Pair(proxy, listener)
    proxy.accept()
    assert proxy.port == port
    Pair(proxy, listener).close()
    proxy.wait_until_accepted(1)


def test_silence_in_one_direction(pair: Pair, proxy: Proxy):
    proxy.silence("to_client")
    pair.server.sendall(b"kept!")
    pair.client.sendall(b"x")
    assert read(pair.server, 1) == b"x"
    pair.client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        pair.client.recv(1)
    assert proxy.forwarded["to_client"] == 0
    proxy.speak()
    pair.client.settimeout(10)
    assert read(pair.client, 5) == b"kept!"


def test_silence_in_both_directions_and_reset(pair: Pair, proxy: Proxy):
    proxy.silence()
    pair.client.sendall(b"x")
    pair.server.settimeout(0.2)
    with pytest.raises(TimeoutError):
        pair.server.recv(1)
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        pair.client.recv(1)


@pytest.mark.parametrize("disposition", [DISPOSITION, frame(0x15, long_descriptor=True, payload=b"\0" * 300)])
def test_holds_dispositions_of_the_server(pair: Pair, proxy: Proxy, disposition: bytes):
    proxy.hold_confirmations()
    pair.server.sendall(HEADER + disposition[:6])
    pair.server.sendall(disposition[6:] + FLOW)
    assert read(pair.client, len(HEADER + FLOW)) == HEADER + FLOW
    proxy.wait_until_held(1)
    assert proxy.release_confirmations() == 1
    assert read(pair.client, len(disposition)) == disposition
    pair.server.sendall(DISPOSITION)
    assert read(pair.client, len(DISPOSITION)) == DISPOSITION


def test_holds_nothing_else(pair: Pair, proxy: Proxy):
    proxy.hold_confirmations()
    pair.client.sendall(HEADER + DISPOSITION)
    assert read(pair.server, len(HEADER + DISPOSITION)) == HEADER + DISPOSITION
    sasl = frame(0x15, kind=1)
    pair.server.sendall(HEADER + sasl)
    assert read(pair.client, len(HEADER + sasl)) == HEADER + sasl


def test_waiting_in_vain_ends(proxy: Proxy):
    with pytest.raises(TimeoutError):
        proxy.wait_until_held(1, timeout=0.05)


def test_leaves_no_thread_behind(listener: socket.socket):
    before = threading.active_count()
    with Proxy(listener.getsockname()[1]) as proxy:
        Pair(proxy, listener).close()
    assert threading.active_count() == before
