"""A connection on a socket, whatever is spoken on it."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from eventing_amqp import AMQProvider
from eventing_amqp._connection import AmqpConnection
from eventing_core.errors import BrokerConnectionError, ConnectTimeoutError
from eventing_stomp import StompProvider
from eventing_stomp._connection import StompConnection

PROVIDERS: list[tuple[Any, Any]] = [(AMQProvider, AmqpConnection), (StompProvider, StompConnection)]


@pytest.mark.parametrize(("provider", "connection"), PROVIDERS)
def test_what_cannot_be_set_up_fails_the_opening_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, provider: Any, connection: Any
):
    def fail(*_: object) -> None:
        msg = "broken"
        raise RuntimeError(msg)

    monkeypatch.setattr(connection, "make_generation", fail)
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        opened = provider("server", "127.0.0.1", listening.getsockname()[1])
        with pytest.raises(BrokerConnectionError, match="RuntimeError"):
            opened.open(lambda *_: None)
    assert set(threading.enumerate()) == before
    assert not opened.health().connected


def _silent(listening: socket.socket) -> list[socket.socket]:
    """Fill a backlog: the system drops what comes to it, as a firewall would."""
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    fillers = [socket.socket() for _ in range(2)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listening.getsockname())
    return fillers


def _addresses(*ports: int) -> Any:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    return lambda *_args, **_settings: found


def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as dead, socket.create_server(("127.0.0.1", 0)) as alive:
        fillers = _silent(dead)
        monkeypatch.setattr(socket, "getaddrinfo", _addresses(dead.getsockname()[1], alive.getsockname()[1]))
        provider = AMQProvider("server", "two", connect_timeout=1.0)
        taken: list[socket.socket] = []
        server = threading.Thread(target=lambda: taken.append(alive.accept()[0]))
        server.start()
        with pytest.raises(BrokerConnectionError, match="received nothing"):
            provider.open(lambda *_: None)
        server.join(10)
        assert taken, "the second address is tried"
        for one in [*fillers, *taken]:
            one.close()


def test_only_addresses_that_do_not_answer_end_at_the_limit(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as dead:
        fillers = _silent(dead)
        port = dead.getsockname()[1]
        monkeypatch.setattr(socket, "getaddrinfo", _addresses(port, port))
        began = time.monotonic()
        with pytest.raises(ConnectTimeoutError):
            AMQProvider("server", "two", connect_timeout=0.6).open(lambda *_: None)
        assert time.monotonic() - began < 3
        for one in fillers:
            one.close()


@pytest.mark.parametrize(("provider", "connection"), PROVIDERS)
def test_a_close_ends_an_opening_that_is_under_way(provider: Any, connection: Any):
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts, and says nothing
        opened = provider("server", "127.0.0.1", listening.getsockname()[1], connect_timeout=60.0)
        taken: list[socket.socket] = []

        def close() -> None:
            taken.append(listening.accept()[0])
            opened.close(0.0)

        closing = threading.Thread(target=close)
        closing.start()
        with pytest.raises(BrokerConnectionError, match="closed while it was connecting"):
            opened.open(lambda *_: None)
        closing.join(10)
        taken[0].close()
    assert set(threading.enumerate()) == before
