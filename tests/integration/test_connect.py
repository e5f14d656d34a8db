"""Connections that can't be had: each says what is wrong, in time. And TLS. On every provider.

Brokers differ by protocol here: over AMQP one says how it lets users in before they say who they are; over STOMP it
answers with one ERROR frame, or with CONNECTED.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eventing_core.errors import (
    AuthenticationError,
    BrokerConnectionError,
    ConnectionRefusedByHostError,
    ConnectTimeoutError,
    HostNotFoundError,
    ProtocolMismatchError,
    TlsError,
    UnsupportedBrokerError,
)
from eventing_core.provider import Provider
from examples.artemis import Artemis, User
from tests.support.bench import PROVIDERS, Bench, opened
from tests.support.handshakes import frame, introduction
from tests.support.tls import Authority

pytestmark = pytest.mark.usefixtures("kind")

CORE = "{urn:activemq:core}"
LIMIT = 1.5

#: What a port speaks is known within this time, in seconds, whatever the limit is.
SOON = 5.0
SECRET = "wrong-pass-phrase"

#: What a server of each protocol says first, and does not go on.
BEGUN = {"amqp": b"AMQP\x03\x01\x00\x00", "stomp": b"CONNECTED\nversion:1.2\n"}

#: What servers of other protocols answer.
OTHERS = {
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "smtp": b"220 mail.example ESMTP\r\n",
    "redis": b"-ERR unknown command\r\n",
    "short": b"\x00",
}


def provider_at(host: str, port: int, **settings: Any) -> Provider:
    """The test's provider."""
    return PROVIDERS[Bench.kind]("server", host, port=port, **settings)


def io_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(("eventing-amqp", "eventing-stomp"))]


def refusal(kind: type[BrokerConnectionError], host: str, port: int, **settings: Any) -> str:
    """Open a provider that can't be opened, and return what it says."""
    provider = provider_at(host, port, **{"connect_timeout": LIMIT, **settings})
    began, before = time.monotonic(), io_threads()
    try:
        with pytest.raises(BrokerConnectionError) as caught:
            provider.open(lambda *_: None)
        took = time.monotonic() - began
        left = set(io_threads()) - set(before)
    finally:
        provider.close(5)
    assert type(caught.value) is kind, caught.value
    assert took < settings.get("connect_timeout", LIMIT) + 1.5
    text = str(caught.value)
    health = provider.health()
    for shown in (text, repr(caught.value), repr(provider), repr(health), str(health)):
        assert SECRET not in shown
    assert f"{host}:{port}" in text
    assert not left
    assert not health.connected
    return text


@contextmanager
def server(answer: bytes | None, *, hang_up: bool = False, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Something that takes connections and says this, or nothing; then hangs up, or keeps silent."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as taken:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection = taken.enter_context(listening.accept()[0])
                if tls:
                    connection = taken.enter_context(tls.wrap_socket(connection, server_side=True))
                connection.recv(64)
                if answer:
                    connection.sendall(answer)
                if hang_up:
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_host_that_does_not_resolve():
    assert "resolve" in refusal(HostNotFoundError, "no-such-host.invalid", 61616)


def test_a_port_on_which_nobody_listens():
    assert "refused" in refusal(ConnectionRefusedByHostError, "127.0.0.1", free_port())


def test_a_host_that_does_not_answer():
    # A full backlog: the system drops what comes to it, as a firewall would.
    with socket.socket() as listening, contextlib.ExitStack() as fillers:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(2):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        text = refusal(ConnectTimeoutError, "127.0.0.1", listening.getsockname()[1])
    assert "time limit" in text


def test_a_server_that_says_nothing():
    with server(None) as port:
        assert "received nothing" in refusal(ProtocolMismatchError, "127.0.0.1", port)


@pytest.mark.parametrize("answer", OTHERS.values(), ids=OTHERS.keys())
def test_a_server_of_another_protocol(answer: bytes):
    with server(answer) as port:
        assert repr(answer[:16]) in refusal(ProtocolMismatchError, "127.0.0.1", port)


def test_a_server_of_the_other_provider(kind: str):
    with server(BEGUN["stomp" if kind == "amqp" else "amqp"]) as port:
        assert "the port speaks" in refusal(ProtocolMismatchError, "127.0.0.1", port)


def test_ports_of_a_broker_that_speak_another_protocol(make_artemis: Callable[..., Artemis], kind: str):
    ports = {protocol: free_port() for protocol in ("amqp", "stomp", "mqtt", "openwire")}
    names = {"amqp": "AMQP 1.0", "stomp": "STOMP", "mqtt": "MQTT", "openwire": "OpenWire"}

    def add_ports(core: Any) -> None:
        for protocol, port in ports.items():
            element = core.makeelement(f"{CORE}acceptor", {"name": protocol})
            element.text = f"tcp://127.0.0.1:{port}?protocols={protocol.upper()}"
            core.find(f"{CORE}acceptors").append(element)

    broker = make_artemis(edit=add_ports)
    place = {"user": broker.user, "password": broker.password}
    for protocol, port in ports.items():
        if protocol == kind:
            provider = provider_at(broker.host, port, **place)
            provider.open(lambda *_: None)
            provider.close(5)
        else:
            # Long before the time limit.
            begun = time.monotonic()
            text = refusal(ProtocolMismatchError, broker.host, port, connect_timeout=15.0, **place)
            assert time.monotonic() - begun < SOON
            assert f"the port speaks {names[protocol]}, not" in text
            if protocol in PROVIDERS:
                assert f'set provider = "{protocol}"' in text


def test_a_server_that_hangs_up():
    with server(None, hang_up=True) as port:
        assert "received nothing" in refusal(ProtocolMismatchError, "127.0.0.1", port)


#: By the provider, and by what a server of another version of its protocol says.
VERSIONS = {
    "amqp": {"0.9.1": b"AMQP\x00\x00\x09\x01"},
    "stomp": {
        "1.0": b"CONNECTED\nsession:1\n\n\0",
        "1.1": b"CONNECTED\nversion:1.1\nserver:ActiveMQ-Artemis/2.0\n\n\0",
        "1.0,1.1": b"ERROR\nversion:1.0,1.1\nmessage:version not supported\n\nSupported are 1.0 and 1.1\0",
    },
}


def test_a_server_of_another_version_of_the_protocol(kind: str):
    for version, answer in VERSIONS[kind].items():
        with server(answer) as port:
            text = refusal(ProtocolMismatchError, "127.0.0.1", port)
        assert kind.upper() in text
        if kind == "stomp":
            assert version in text


def test_a_server_that_begins_and_does_not_go_on(kind: str):
    with server(BEGUN[kind]) as port:
        assert "handshake" in refusal(ConnectTimeoutError, "127.0.0.1", port)


def test_a_port_with_tls_where_none_is_set():
    with server(b"\x15\x03\x03\x00\x02\x02\x46") as port:
        assert "tls = true" in refusal(ProtocolMismatchError, "127.0.0.1", port)


def test_tls_where_the_port_has_none(artemis: Artemis):
    text = refusal(TlsError, artemis.host, artemis.port, tls=True, user="x", password=SECRET)
    assert "TLS" in text


def test_tls_to_a_server_that_says_nothing():
    with server(None) as port:
        assert "TLS handshake" in refusal(TlsError, "127.0.0.1", port, tls=True)


def test_a_broker_whose_addresses_are_unknown(kind: str):
    with server(introduction(kind, b"OtherMQ")) as port:
        assert "OtherMQ" in refusal(UnsupportedBrokerError, "127.0.0.1", port)


@pytest.mark.parametrize("kind", ["stomp"], indirect=True)
def test_a_broker_that_does_not_tell_its_name(kind: str):
    with server(introduction(kind, b"")) as port:
        assert "name" in refusal(UnsupportedBrokerError, "127.0.0.1", port)


def test_a_wrong_password(artemis: Artemis):
    text = refusal(AuthenticationError, artemis.host, artemis.port, user=artemis.user, password=SECRET)
    assert "user or password" in text


def test_an_unknown_user(artemis: Artemis):
    assert "user or password" in refusal(AuthenticationError, artemis.host, artemis.port, user="no", password=SECRET)


def escaped(text: str) -> str:
    """As a file of Java properties has it."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\u{ord(c):04x}" for c in text)


def test_a_user_and_password_of_any_characters(make_artemis: Callable[..., Artemis]):
    # Over STOMP they are headers.
    name, right = "us:er", "a:b\\nc 世界"

    def allow(core: Any) -> None:
        for permission in core.iter(f"{CORE}permission"):
            permission.set("roles", f"{permission.get('roles')},{name}")

    broker = make_artemis(users=[User(name=escaped(name), password=escaped(right))], edit=allow)
    provider = provider_at(broker.host, broker.port, user=name, password=right)
    provider.open(lambda *_: None)
    provider.close(5)
    # No other one passes for it.
    for password in ("a", "a\\cb\\nc 世界", "a:b\\\\nc 世界", "a:b\\nc 世界 "):
        refusal(AuthenticationError, broker.host, broker.port, user=name, password=password)


def test_no_user_where_guests_are_not_let_in(artemis: Artemis):
    assert "set user and password" in refusal(AuthenticationError, artemis.host, artemis.port)


@pytest.mark.parametrize("kind", ["amqp"], indirect=True)
def test_a_broker_that_lets_only_guests_in():
    # Over STOMP a broker doesn't say so: it ignores user and password.
    anonymous = b"\x00\x53\x40\xc0\x0c\x01\xa3\x09ANONYMOUS"
    with server(b"AMQP\x03\x01\x00\x00" + frame(1, anonymous)) as port:
        text = refusal(AuthenticationError, "127.0.0.1", port, user="someone", password=SECRET)
    assert "PLAIN" in text


def test_after_a_failure_it_can_be_opened(artemis: Artemis):
    provider = provider_at(artemis.host, free_port(), user=artemis.user, password=artemis.password)
    for _ in range(2):
        with pytest.raises(ConnectionRefusedByHostError):
            provider.open(lambda *_: None)


def test_a_password_in_clear_is_warned_of_away_from_loopback(artemis: Artemis, caplog: pytest.LogCaptureFixture):
    with opened(artemis, "loopback"):
        pass
    assert "in clear" not in caplog.text
    with pytest.raises(HostNotFoundError):
        provider_at("no-such-host.invalid", 61616, user="u", password=SECRET).open(lambda *_: None)
    assert "in clear" in caplog.text
    assert SECRET not in caplog.text


# -- TLS ----------------------------------------------------------------------------------------------------


def test_tls_carries_messages_of_any_size(secure_artemis: Artemis, authority: Authority, unique: Callable[[str], str]):
    broker = secure_artemis
    with opened(broker, unique("tls"), tls=True, ca_file=authority.certificate, port=broker.tls_port) as bench:
        recorder = bench.listen_active(window=1000)
        # Beyond one TLS record, one read and one frame.
        large = "x" * 3_000_000
        bench.put(*map(str, range(500)), large)
        recorder.wait(501)
        assert recorder.bodies() == [*map(str, range(500)), large]


def test_plain_to_a_port_with_tls(secure_artemis: Artemis):
    broker = secure_artemis
    text = refusal(ProtocolMismatchError, broker.host, broker.tls_port, user="u", password=SECRET)
    assert "tls = true" in text
