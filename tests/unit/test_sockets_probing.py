"""What a port speaks, where it is not what was expected: said soon, with what to set."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eventing_amqp import AMQProvider
from eventing_core.errors import BrokerConnectionError, ConnectTimeoutError, ProtocolMismatchError, TlsError
from eventing_core.provider.sockets._probing import ask
from eventing_core.provider.sockets._protocols import protocol_of
from eventing_stomp import StompProvider
from tests.support.handshakes import introduction

PROVIDERS: dict[str, Any] = {"amqp": AMQProvider, "stomp": StompProvider}
SECRET = "tr0ub4dor"

#: Of the connect time limit, in seconds; what a port speaks is known in much less.
LIMIT = 8.0
SOON = 5.0

Answer = Callable[[bytes], bytes | None]


@contextmanager
def server(answer: Answer, greeting: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """Answers what it is sent: None hangs up. Yields its port, and all that it heard."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as taken:

        def serve(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                connection.sendall(greeting)
                while data := connection.recv(4096):
                    heard.append(data)
                    said = answer(data)
                    if said is None:
                        break
                    connection.sendall(said)
                connection.shutdown(socket.SHUT_RDWR)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = taken.enter_context(listening.accept()[0])
                    threads.append(threading.Thread(target=serve, args=(connection,)))
                    threads[-1].start()

        threads = [threading.Thread(target=accept)]
        threads[0].start()
        yield listening.getsockname()[1], heard
        listening.shutdown(socket.SHUT_RDWR)
        threads[0].join()
        taken.close()
        for thread in threads:
            thread.join()


def silent(_: bytes) -> bytes:
    return b""


def hangs_up(_: bytes) -> None:
    return None


def answers(question: bytes, answer: bytes, otherwise: bytes | None = b"") -> Answer:
    """Answers what begins so."""
    return lambda data: answer if data.startswith(question) else otherwise


STOMP = answers(b"STOMP", b"ERROR\nversion:1.2\n\n\0")
AMQP = answers(b"AMQP", b"AMQP\x03\x01\x00\x00")
TLS = answers(b"\x16\x03", b"\x16\x03\x03\x00\x5a\x02")

#: By what the message calls it: how its servers behave that leave a stranger's first words alone, and the fix.
SILENT = [
    ("HTTP", answers(b"GET ", b"HTTP/1.1 200 OK\r\n\r\n"), b"", "set port to the one for"),
    ("Redis", answers(b"GET ", b"-ERR wrong number of arguments\r\n"), b"", "check host and port"),
    ("PostgreSQL", answers(b"\x00\x00\x00\x08\x04\xd2", b"N", None), b"", "check host and port"),
    ("MQTT", answers(b"\x10", b"\x20\x02\x00\x02", None), b"", "set port to the one for"),
    (
        "OpenWire",
        answers(b"\x00\x00\x00\x0e\x01ActiveMQ", b"\x00\x00\x01R\x01ActiveMQ\x00"),
        b"",
        "set port to the one",
    ),
    ("TLS", TLS, b"", "set tls = true"),
    ("SSH", silent, b"SSH-2.0-OpenSSH_9.2\r\n", "check host and port"),
    ("NATS", silent, b'INFO {"server_id":"x"}\r\n', "check host and port"),
    ("MySQL", silent, b"\x4a\x00\x00\x00\x0a8.0.36\x00", "check host and port"),
]


def refusal(kind: str, port: int, **settings: Any) -> BrokerConnectionError:
    provider = PROVIDERS[kind](
        "server", "127.0.0.1", port, **{"connect_timeout": LIMIT, "user": "u", "password": SECRET, **settings}
    )
    begun = time.monotonic()
    with pytest.raises(BrokerConnectionError) as caught:
        provider.open(lambda *_: None)
    assert time.monotonic() - begun < SOON
    text = str(caught.value)
    assert text.startswith(f"127.0.0.1:{port}: ")
    assert SECRET not in text
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("eventing-")]
    return caught.value


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize(("name", "answer", "greeting", "fix"), SILENT, ids=[name for name, *_ in SILENT])
def test_a_port_of_another_protocol(kind: str, name: str, answer: Answer, greeting: bytes, fix: str):
    with server(answer, greeting) as (port, heard):
        error = refusal(kind, port)
    assert type(error) is ProtocolMismatchError
    wanted = {"amqp": "AMQP 1.0", "stomp": "STOMP 1.2"}[kind]
    assert f"the port speaks {name}, not {wanted}" in str(error)
    assert fix in str(error)
    # STOMP's first frame says who connects. What is asked says nothing of that.
    assert sum(SECRET.encode() in data for data in heard) == (kind == "stomp")


@pytest.mark.parametrize(
    ("kind", "answer", "text"),
    [
        ("amqp", STOMP, 'the port speaks STOMP, not AMQP 1.0: set provider = "stomp" for this port'),
        ("stomp", AMQP, 'the port speaks AMQP 1.0, not STOMP 1.2: set provider = "amqp" for this port'),
        ("amqp", answers(b"AMQP", b"AMQP\x00\x00\x09\x01"), 'set provider = "stomp", with broker = "rabbitmq"'),
        ("stomp", answers(b"AMQP", b"AMQP\x00\x00\x09\x01"), "the port speaks AMQP 0-9-1"),
    ],
)
def test_a_port_of_the_other_provider(kind: str, answer: Answer, text: str):
    with server(answer) as (port, _):
        assert text in str(refusal(kind, port))


@pytest.mark.parametrize("kind", PROVIDERS)
def test_one_that_hangs_up_is_asked_as_well(kind: str):
    with server(answers(b"GET ", b"HTTP/1.1 400 Bad Request\r\n\r\n", None)) as (port, _):
        assert "the port speaks HTTP" in str(refusal(kind, port))
    with server(hangs_up) as (port, _):
        error = refusal(kind, port)
    assert "received nothing; check host and port, and set tls = true if the port is for TLS" in str(error)


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_port_without_tls(kind: str):
    for answer, name in ((STOMP, "STOMP"), (AMQP, "AMQP 1.0")):
        with server(answer) as (port, heard):
            error = refusal(kind, port, tls=True)
        assert type(error) is TlsError
        assert f"the port speaks {name} without TLS" in str(error)
        assert "set tls = false" in str(error)
        assert SECRET.encode() not in b"".join(heard)
    with server(hangs_up) as (port, _):
        assert "the port does not speak TLS" in str(refusal(kind, port, tls=True))


@pytest.mark.parametrize("kind", PROVIDERS)
def test_nothing_is_asked_of_a_port_that_answers(kind: str):
    begun = introduction(kind, b"other")[:9]
    with server(lambda data: b"" if data == b"\n" else begun) as (port, heard):
        provider = PROVIDERS[kind]("server", "127.0.0.1", port, connect_timeout=2.0)
        with pytest.raises(ConnectTimeoutError, match="did not finish"):
            provider.open(lambda *_: None)
    assert len(heard) == 1


def test_a_close_ends_a_look():
    with server(silent) as (port, heard):
        provider = AMQProvider("server", "127.0.0.1", port, connect_timeout=LIMIT)
        failed: list[Exception] = []

        def connect() -> None:
            try:
                provider.open(lambda *_: None)
            except BrokerConnectionError as error:
                failed.append(error)

        thread = threading.Thread(target=connect)
        thread.start()
        deadline = time.monotonic() + SOON
        while not any(data.startswith(b"GET ") for data in heard):
            assert time.monotonic() < deadline
        provider.close(5.0)
        thread.join(SOON)
    assert "closed while it was connecting" in str(failed[0])
    assert not [each.name for each in threading.enumerate() if each.name.startswith("eventing-")]


@pytest.mark.parametrize(
    ("heard", "name"),
    [
        *(
            (b"", ""),
            (b"x", ""),
            (b"S", ""),
            (b"AMQP\x00\x01\x00\x00", "AMQP 1.0"),
            (b"AMQP\x01\x01\x00\x0a", "AMQP 0-9-1"),
        ),
        *((b"ERROR\r\nERROR\r\n", "memcached"), (b"ERROR\nmessage:x", "STOMP"), (b"\nERROR\n", "STOMP")),
        *(
            (b"220 mail.example ESMTP", "a mail or FTP server's protocol"),
            (b"* OK IMAP", "a mail or FTP server's protocol"),
        ),
        *((b"\x00\x00\x00\xf0\x01ActiveMQ\x00", "OpenWire"), (b"E\x00\x00\x00\x8aSFATAL", "PostgreSQL")),
    ],
)
def test_first_bytes(heard: bytes, name: str):
    found = protocol_of(heard)
    assert (found.name if found else "") == name


def shaky(wanted: bytes, answers_from: int) -> Answer:
    """Speaks AMQP and STOMP, and keeps back what it answers in the wanted one, until it is asked so often."""
    asked = 0

    def answer(data: bytes) -> bytes | None:
        nonlocal asked
        asked += data.startswith(wanted)
        if data.startswith(wanted) and asked < answers_from:
            return b""
        return AMQP(data) or STOMP(data)

    return answer


@pytest.mark.parametrize(("wanted", "own"), [("AMQP 1.0", b"AMQP"), ("STOMP 1.2", b"STOMP")])
def test_a_port_of_several_protocols_whose_answer_is_lost_once_is_not_taken_for_another(wanted: str, own: bytes):
    with server(shaky(own, answers_from=2)) as (port, _):
        found = ask("127.0.0.1", port, wanted=wanted, until=time.monotonic() + LIMIT)
    assert found is not None
    assert found.is_for(wanted)


@pytest.mark.parametrize(("wanted", "own"), [("AMQP 1.0", b"AMQP"), ("STOMP 1.2", b"STOMP")])
def test_an_answer_in_the_wanted_protocol_is_waited_for(wanted: str, own: bytes):
    late = threading.Event()

    def answer(data: bytes) -> bytes:
        if data.startswith(own):
            late.wait(0.6)
        return AMQP(data) or STOMP(data) or b""

    with server(answer) as (port, _):
        found = ask("127.0.0.1", port, wanted=wanted, until=time.monotonic() + LIMIT)
        late.set()
    assert found is not None
    assert found.is_for(wanted)


def test_what_one_round_alone_has_found_is_not_told():
    rounds = 0

    def answer(data: bytes) -> bytes | None:
        nonlocal rounds
        if not data.startswith(b"GET "):
            return None
        rounds += 1
        return b"HTTP/1.1 200 OK\r\n\r\n" if rounds == 1 else None

    with server(answer) as (port, _):
        assert ask("127.0.0.1", port, wanted="AMQP 1.0", until=time.monotonic() + LIMIT) is None


def test_a_port_that_is_slow_in_tls_is_not_told_to_speak_another_protocol():
    hellos = 0

    def answer(data: bytes) -> bytes | None:
        nonlocal hellos
        hellos += data.startswith(b"\x16\x03")
        return b"" if hellos < 2 else TLS(data)

    with server(answer) as (port, _):
        error = refusal("amqp", port, tls=True, connect_timeout=3.0)
    assert "speaks TLS" not in str(error)
    assert "no answer to the TLS handshake" in str(error)
