"""Several brokers: in which order they are tried, when there is a wait, and what is said where none can be had."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventing_amqp import AMQProvider
from eventing_core.errors import (
    AuthenticationError,
    BrokerConnectionError,
    ConfigError,
    ConnectionRefusedByHostError,
    ConnectTimeoutError,
)
from eventing_core.provider.sockets import SocketConfig, _connection
from eventing_core.provider.sockets._errors import of_all
from eventing_core.provider.sockets._places import place_of, read_place
from eventing_core.provider.sockets._states import AttemptState
from eventing_stomp import StompConfig, StompProvider
from tests.support.handshakes import Gate
from tests.support.lines import Line, Peer
from tests.support.waiting import until

PROVIDERS: dict[str, Any] = {"amqp": AMQProvider, "stomp": StompProvider}


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "host", "port", "place"),
    [
        ("b", "b", 61616, "b:61616"),
        ("b.example.com:5672", "b.example.com", 5672, "b.example.com:5672"),
        ("10.0.0.2:1", "10.0.0.2", 1, "10.0.0.2:1"),
        ("[::1]", "::1", 61616, "[::1]:61616"),
        ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535, "[fe80::1%eth0]:65535"),
    ],
)
def test_how_a_broker_is_written(entry: str, host: str, port: int, place: str):
    assert read_place(entry, 61616) == (host, port)
    assert place_of(host, port) == place


@pytest.mark.parametrize("provider", PROVIDERS.values())
@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("", "an entry is empty: write host or host:port"),
        ("b:", "'b:...' is not a host"),
        (":5672", "is not a host"),
        ("b c", "is not a host"),
        ("b:amqp", "'b:...' is not a host: write host or host:port"),
        ("user:tr0ub4dor", "'user:...' is not a host"),
        ("b:0", "'b:0' has a port that isn't between 1 and 65535"),
        ("b:65536", "has a port"),
        ("::1", "'::1' is an IPv6 address without brackets: write [::1] or [::1]:65535"),
        ("[::1", "is not a host"),
        ("b,c", "an entry contains more than one host: write each as an entry of its own"),
        ("amqp://b:5672", 'an entry is a URL: write "b:5672"; user, password and tls are settings of their own'),
        ("amqp://user:tr0ub4dor@b:5672", 'write "b:5672"'),
        ("amqp://user:tr0?ub4dor@b:5672", "write host or host:port"),
    ],
)
def test_an_entry_that_is_no_broker(provider: Any, entry: str, text: str):
    with pytest.raises(ConfigError) as refusal:
        provider("server", failover=("fine", entry))
    assert text in str(refusal.value)
    assert "failover" in str(refusal.value)
    assert "ub4dor" not in str(refusal.value)


def test_each_broker_has_the_same_settings_but_its_place():
    config = StompConfig(host="a", port=1, failover=("b", "[::1]:2", "a:1"), user="u", queue_name="{event}.{listener}")
    each = config.of_each_broker()
    assert [one.place for one in each] == ["a:1", "b:1", "[::1]:2"]
    assert {(one.user, one.queue_name) for one in each} == {("u", "{event}.{listener}")}
    # What CONNECT asks for, where nothing else is set, is the host that it goes to.
    assert [one.host_header for one in each] == ["a", "b", "::1"]
    assert {one.host_header for one in StompConfig(failover=("b",), virtual_host="v").of_each_broker()} == {"v"}


def test_the_error_of_several():
    refused, denied = ConnectionRefusedByHostError("a:1: refused"), AuthenticationError("b:1: no")
    assert of_all([refused]) is refused
    both = of_all([denied, AuthenticationError("c:1: no")])
    assert type(both) is AuthenticationError
    assert str(both) == "b:1: no; c:1: no"
    mixed = of_all([refused, denied])
    assert type(mixed) is BrokerConnectionError
    assert str(mixed) == "a:1: refused; b:1: no"
    assert isinstance(mixed.__cause__, ExceptionGroup)
    assert mixed.__cause__.exceptions == (refused, denied)


# -- connecting -------------------------------------------------------------------------------------------------------


class Logged(Line):
    """Notes what it does: which place it tries, and when it waits between rounds."""

    def __init__(self, config: SocketConfig) -> None:
        super().__init__(config, "line")
        self.did: list[str] = []
        self._backoff = self  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]

    def next(self) -> float:
        self.did.append("wait")
        return 0.01

    def reset(self) -> None:
        self.did.append("reset")

    def _connect(self) -> None:
        super()._connect()
        if self._attempt is not None and self._attempt.state is AttemptState.DIALING:
            self.did.append(self.place)


class Three:
    """Three places, at which peers can be."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as probes:
            found = [probes.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
            self.ports = [probe.getsockname()[1] for probe in found]
        self.places = [f"127.0.0.1:{port}" for port in self.ports]
        self.peers: dict[int, Peer] = {}
        self.lines: list[Logged] = []

    def up(self, index: int) -> Peer:
        self.peers[index] = Peer(self.ports[index])
        return self.peers[index]

    def down(self, index: int) -> None:
        self.peers.pop(index).close()

    def line(self, **settings: Any) -> Logged:
        first, *others = self.places
        host, port = first.split(":")
        line = Logged(SocketConfig.of({"host": host, "port": port, "failover": others, **settings}))
        self.lines.append(line)
        return line

    def close(self) -> None:
        for line in self.lines:
            line.close(1)
        for index in [*self.peers]:
            self.down(index)


@pytest.fixture
def three() -> Iterator[Three]:
    made = Three()
    yield made
    made.close()


@pytest.fixture
def stable(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether each connection counts as one that held."""
    return lambda held: monkeypatch.setattr(_connection, "_STABLE", -1.0 if held else 1000.0)


def test_the_first_connect_tries_them_in_their_order_without_a_wait(three: Three):
    three.up(2)
    line = three.line()
    line.open(lambda *_: None)
    assert line.did == three.places
    assert line.health().place == three.places[2]


def test_the_first_connect_tries_each_once_and_tells_of_all(three: Three):
    line = three.line()
    with pytest.raises(ConnectionRefusedByHostError) as refusal:
        line.open(lambda *_: None)
    assert line.did == three.places
    for place in three.places:
        assert f"{place}: Connection refused" in str(refusal.value)
    assert line.health().error == str(refusal.value)
    assert not line.health().place


@pytest.mark.parametrize("kind", PROVIDERS)
def test_the_first_frames_name_the_host_that_is_connected_to(three: Three, kind: str):
    gate = Gate(kind)
    try:
        provider = PROVIDERS[kind](
            "server", "localhost", three.ports[0], "u", "p", failover=(f"127.0.0.1:{gate.port}",), heartbeat=10
        )
        provider.open(lambda *_: None)
        [heard] = gate.heard
        assert (b"\nhost:127.0.0.1\n" if kind == "stomp" else b"\xa1\t127.0.0.1") in heard
        assert b"localhost" not in heard
        provider.close(1)
    finally:
        gate.close()


@pytest.mark.parametrize("provider", PROVIDERS.values())
def test_what_providers_say_when_there_is_no_broker(three: Three, provider: Any):
    opened = provider("server", "127.0.0.1", three.ports[0], failover=(f"127.0.0.1:{three.ports[1]}",))
    with pytest.raises(ConnectionRefusedByHostError) as refusal:
        opened.open(lambda *_: None)
    assert all(place in str(refusal.value) for place in three.places[:2])


def test_each_attempt_has_the_whole_time_limit(three: Three):
    # A full backlog: the system drops what comes to it, as a firewall would.
    with socket.socket() as silent, contextlib.ExitStack() as fillers:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(2):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        three.up(0)
        line = three.line(port=silent.getsockname()[1], failover=(place, three.places[0]), connect_timeout=0.3)
        line.open(lambda *_: None)
        assert line.did == [place, three.places[0]]
        with pytest.raises(ConnectTimeoutError, match=place):
            three.line(port=silent.getsockname()[1], failover=(), connect_timeout=0.3).open(lambda *_: None)


def lose(line: Logged, three: Three, index: int, *, after: Callable[[], bool], then: int) -> list[str]:
    """Take a peer away, wait until ``after``, and put one up; what was done until that was connected to."""
    line.did.clear()
    three.down(index)
    until(after, "the condition", 10)
    three.up(then)
    until(lambda: line.health().place == three.places[then], lambda: str(line.did), 10)
    return line.did


def test_after_a_loss_rounds_begin_with_the_one_that_was_connected(
    three: Three, stable: Callable[[bool], None], caplog: pytest.LogCaptureFixture
):
    stable(True)
    three.up(1)
    line = three.line()
    line.open(lambda *_: None)
    a, b, c = three.places
    did = lose(line, three, 1, after=lambda: line.did.count("wait") == 3, then=2)
    # No wait between those of one round.
    assert did[:9] == ["reset", "wait", b, c, a, "wait", b, c, a]
    # From now on that is the one.
    until(lambda: f"{c}: connected, in place of {b}" in caplog.text, "the log line", 10)
    did = lose(line, three, 2, after=lambda: line.did.count("wait") == 2, then=2)
    assert did[:5] == ["reset", "wait", c, a, b]
    assert caplog.text.count("in place of") == 1


def test_health_names_them_all_while_there_is_none(three: Three, stable: Callable[[bool], None]):
    stable(True)
    three.up(0)
    line = three.line()
    line.open(lambda *_: None)
    three.down(0)
    until(lambda: all(f"{place}: Connection refused" in line.health().error for place in three.places), "health", 10)
    assert not line.health().place


def test_one_that_ends_connections_soon_is_not_the_first_to_be_tried_again(
    three: Three, stable: Callable[[bool], None]
):
    stable(False)
    three.up(0)
    three.up(1)
    line = three.line()
    line.open(lambda *_: None)
    a, b, _ = three.places
    assert line.did == [a]
    until(lambda: len(three.peers[0].taken) > 0, "the peer has the connection")
    three.peers[0].taken[0].shutdown(socket.SHUT_RDWR)
    until(lambda: line.health().place == b, "the second one", 10)
    assert line.did == [a, "wait", b]


def test_a_close_ends_a_round(three: Three, stable: Callable[[bool], None], caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    stable(True)
    three.up(0)
    line = three.line()
    line.open(lambda *_: None)
    three.down(0)
    until(lambda: line.did.count("wait") > 1, "rounds", 10)
    line.close(1)
    assert not line._thread.is_alive()
