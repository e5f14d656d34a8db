"""Both ways of calling Proton's engine."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventing_amqp import _engine
from eventing_amqp._codec import Decoder
from eventing_amqp._config import AmqpConfig
from eventing_amqp._engine import Engine
from eventing_amqp._generation import AmqpGeneration
from eventing_core.errors import AuthenticationError

ENGINES: dict[str, Callable[[], Engine]] = {"ctypes": _engine.load, "cffi": _engine.load_by_cffi}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[str(request.param)]()


class Nothing:
    """Handles a link, and counts nothing."""

    def opened(self) -> None:
        pass

    def flowed(self) -> None:
        pass

    def arrived(self) -> None:
        pass

    def closed(self, condition: tuple[str, str] | None) -> None:
        pass


class Question:
    """Something on its way."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.done: Any = None
        self.index = 0
        self.unrouted = False

    def refused(self) -> None:
        raise AssertionError


def generation(engine: Engine, sock: socket.socket) -> AmqpGeneration:
    config = AmqpConfig(user="user", password="secret")  # type: ignore[arg-type]
    return AmqpGeneration(
        engine, sock, 1, config=config, container="test", introduced=lambda _: None, opened=lambda: None
    )


def test_the_fast_way_is_in_use_here():
    assert _engine.load().mode == "ctypes"
    assert _engine.load_by_cffi().mode == "cffi"


def test_without_exported_symbols_it_falls_back_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def no_symbols(_: str) -> None:
        msg = "undefined symbol: pn_connection"
        raise AttributeError(msg)

    monkeypatch.setattr(_engine, "_by_ctypes", no_symbols)
    with caplog.at_level(logging.INFO, logger="eventing.amqp"):
        engine = _engine.load.__wrapped__()
    assert engine.mode == "cffi"
    assert len(caplog.records) == 1
    assert "slow" in caplog.text


def sasl_frame(performative: bytes) -> bytes:
    return (8 + len(performative)).to_bytes(4) + b"\x02\x01\x00\x00" + performative


def test_a_connection_says_what_it_has_to_say(engine: Engine):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        connection = generation(engine, ours)
        connection.write()
        said = theirs.recv(4096)
        assert said.startswith(b"AMQP\x03\x01\x00\x00")
        # Only PLAIN is offered, which is then used.
        theirs.sendall(b"AMQP\x03\x01\x00\x00" + sasl_frame(b"\x00\x53\x40\xc0\x08\x01\xa3\x05PLAIN"))
        connection.read()
        connection.write()
        assert b"PLAIN\xa0\x0c\x00user\x00secret" in theirs.recv(4096)
        theirs.sendall(sasl_frame(b"\x00\x53\x44\xc0\x03\x01\x50\x01"))
        connection.read()
        connection.write()
        connection.pump()
        assert isinstance(connection.failure, AuthenticationError)
        assert "secret" not in str(connection.failure)
        connection.free()


def test_what_is_given_to_the_engine_comes_back(engine: Engine):
    lib = engine.lib
    connection = lib.pn_connection()
    session = lib.pn_session(connection)
    link = lib.pn_sender(session, b"name")
    engine.set_capability(lib.pn_link_target(link), "topic")
    lib.pn_terminus_set_address(lib.pn_link_target(link), b"Event")
    assert engine.read_data(lib.pn_terminus_capabilities(lib.pn_link_target(link))) == b"\xa3\x05topic"
    assert engine.read_data(lib.pn_terminus_capabilities(lib.pn_link_source(link))) == b""
    engine.set_selector(lib.pn_link_source(link), "x = 'y'" * 50)
    filters = Decoder(engine.read_data(lib.pn_terminus_filter(lib.pn_link_source(link)))).value()
    name = "apache.org:selector-filter:string"
    assert (filters[name].descriptor, filters[name].value) == (name, "x = 'y'" * 50)
    assert engine.condition(lib.pn_connection_condition(connection)) is None
    assert engine.condition(None) is None
    tag = engine.tagger()
    first, second = lib.pn_delivery(link, tag(1)), None
    assert lib.pn_link_send(link, b"hello", 5) == 5
    lib.pn_link_advance(link)
    second = lib.pn_delivery(link, tag(2))
    assert isinstance(first, int)
    assert first != second
    lib.pn_connection_release(connection)
    lib.pn_decref(connection)


def resident() -> int:
    """Kilobytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4


def cycle(engine: Engine, sock: socket.socket) -> None:
    connection = generation(engine, sock)
    for number in range(3):
        link = connection.sender(f"Event{number}", "topic", Nothing())
        connection.receiver(f"Event{number}::Queue", "topic", Nothing())
        link.send(Question(b"x" * 1000))
    connection.tick()
    connection.pump()
    connection.write()
    connection.free()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts memory by /proc")
def test_connections_that_come_and_go_leave_no_memory(engine: Engine):
    def run(cycles: int) -> None:
        for _ in range(cycles):
            ours, theirs = socket.socketpair()
            ours.settimeout(0)
            cycle(engine, ours)
            theirs.close()

    run(200)
    before = resident()
    run(1000)
    # One connection that is never freed takes more than 10 KB: a leak would show as 10 MB.
    assert resident() - before < 2000
