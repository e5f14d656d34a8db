"""The health server: a port of its own."""

from __future__ import annotations

import errno
import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from eventing_core import (
    BrokerConnectionError,
    ConfigError,
    EventManager,
    HealthOptions,
    HealthServerError,
    Options,
    event,
    event_listener,
)
from eventing_core.manager import _probes
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.testing import isolated_declarations
from tests.support.commands import check
from tests.support.waiting import until

HOME = "127.0.0.1"


@pytest.fixture
def make() -> Iterator[Callable[..., EventManager]]:
    """``make(*listeners, broker=..., options=..., **health)``: not started; stopped after the test."""
    with isolated_declarations(), ExitStack() as stack:

        def make(
            *listeners: Any,
            provider: MemoryProvider | None = None,
            options: dict[str, Any] | None = None,
            **health: Any,
        ) -> EventManager:
            settings: Any = {**(options or {}), "health": {"port": 0, **health}}
            manager = EventManager(
                provider or MemoryProvider("here"), listeners=listeners, pipelines=[], options=Options(**settings)
            )
            stack.callback(manager.stop)
            return manager

        yield make


def place(manager: EventManager) -> tuple[str, int]:
    assert manager.health_url is not None
    parts = urlsplit(manager.health_url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def ask(manager: EventManager, path: str, method: str = "GET", body: bytes | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(*place(manager), timeout=30)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        response.text = response.read().decode()  # type: ignore[attr-defined]
        return response
    finally:
        connection.close()


def status(manager: EventManager, path: str) -> int:
    return ask(manager, path).status


def listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_from_start_to_stop(make: Callable[..., EventManager]):
    broker = MemoryBroker()
    manager = make(provider=MemoryProvider("here", broker))
    assert manager.health_url is None
    manager.start()
    address = place(manager)
    assert (status(manager, "/live"), status(manager, "/ready"), status(manager, "/health")) == (200, 200, 404)
    broker.stop()
    assert (status(manager, "/live"), status(manager, "/ready")) == (200, 503)
    broker.start()
    until(lambda: status(manager, "/ready") == 200, "it is ready again")
    manager.stop()
    assert manager.health_url is None
    assert not listens(address)
    assert not [thread for thread in threading.enumerate() if thread.name == "eventing-health"]
    manager.stop()


def test_without_a_port_there_is_none():
    with EventManager(MemoryProvider("here"), listeners=[], pipelines=[]) as manager:
        assert manager.health_url is None


def test_it_is_there_before_the_broker(make: Callable[..., EventManager]):
    """And gone with the start that failed."""
    found: list[tuple[int, int]] = []
    addresses: list[tuple[str, int]] = []

    class Unreachable(MemoryProvider):
        def open(self, observer: Any) -> None:
            found.append((status(manager, "/live"), status(manager, "/ready")))
            addresses.append(place(manager))
            msg = "the broker is away"
            raise BrokerConnectionError(msg)

    manager = make(provider=Unreachable("here"))
    with pytest.raises(BrokerConnectionError):
        manager.start()
    assert found == [(200, 503)]
    assert not listens(addresses[0])
    assert manager.health_url is None


def test_it_answers_while_it_drains(make: Callable[..., EventManager]):
    @event()
    @dataclass
    class Placed:
        number: int

    begun, go_on = threading.Event(), threading.Event()

    @event_listener(Placed)
    def slow(placed: Placed) -> None:
        begun.set()
        go_on.wait(30)

    manager = make(slow)
    manager.start()
    manager.send_event(Placed(1))
    assert begun.wait(30)
    stopping = threading.Thread(target=manager.stop)
    stopping.start()
    try:
        until(lambda: status(manager, "/ready") == 503, "it is no longer ready")
        assert status(manager, "/live") == 200
    finally:
        go_on.set()
        stopping.join(30)


def test_it_answers_while_the_loop_of_the_listeners_is_blocked(
    make: Callable[..., EventManager], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_probes, "SETTLING", 0.0)
    go_on = threading.Event()

    @event()
    @dataclass
    class Placed:
        number: int

    @event_listener(Placed)
    async def blocking(placed: Placed) -> None:
        go_on.wait(30)

    broker = MemoryBroker()
    manager = make(blocking, provider=MemoryProvider("here", broker), options={"stuck_after": 0.05})
    manager.start()
    assert status(manager, "/live") == 200
    manager.send_event(Placed(1))
    until(lambda: status(manager, "/live") == 503, "a blocked loop fails the probe")
    broker.stop()
    assert status(manager, "/live") == 200, "a lost broker fails liveness"
    broker.start()
    until(lambda: status(manager, "/live") == 503, "it counts again")
    go_on.set()
    until(lambda: status(manager, "/live") == 200, "it is alive again")


def test_requests(make: Callable[..., EventManager]):
    manager = make()
    manager.start()
    get, head = ask(manager, "/ready?verbose=1"), ask(manager, "/ready", "HEAD")
    assert json.loads(get.text) == {"status": "pass", "reasons": []}  # type: ignore[attr-defined]
    assert (head.status, head.text) == (200, "")  # type: ignore[attr-defined]
    assert head.headers["content-length"] == get.headers["content-length"]
    assert get.headers["cache-control"] == "no-store"
    post = ask(manager, "/live", "POST", b"x" * 300_000)
    assert (post.status, post.headers["allow"]) == (405, "GET, HEAD")
    assert status(manager, "/nothing") == 404


def test_who_is_still_sending_gets_the_answer(make: Callable[..., EventManager]):
    """Closing with something unread would reset the connection, and take the answer away."""
    manager = make()
    manager.start()
    with socket.create_connection(place(manager), timeout=30) as client:
        client.sendall(b"POST /live HTTP/1.1\r\ncontent-length: 50000\r\n\r\n")
        reply = b"".join(iter(lambda: client.recv(1000), b""))
        assert reply.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
        assert status(manager, "/live") == 200  # by now the server has done all it does
        for _ in range(5):
            client.sendall(b"x" * 10_000)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"\x16\x03\x01\x00\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /live\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /live HTTP/2.0\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /live HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 "),
        (b"GET /\xff HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"GET /live HTTP/1.1\r\nx: " + b"y" * 100_000, b""),
        (b"", b""),
    ],
)
def test_what_strangers_send(make: Callable[..., EventManager], sent: bytes, answered: bytes):
    manager = make()
    manager.start()
    with socket.create_connection(place(manager), timeout=30) as client:
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            reply = client.recv(100)
        except (BrokenPipeError, ConnectionResetError):
            reply = b""
    assert reply.startswith(answered)
    assert bool(reply) == bool(answered)
    assert status(manager, "/live") == 200


def test_slow_clients_hold_up_nobody(make: Callable[..., EventManager], caplog: pytest.LogCaptureFixture):
    manager = make()
    manager.start()
    with ExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(socket.create_connection(place(manager), timeout=30))
            client.sendall(b"GET /li")
        assert status(manager, "/live") == 200
        manager.stop()  # which waits for none of them
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_too_many_clients_are_sent_away(make: Callable[..., EventManager]):
    manager = make()
    manager.start()
    with ExitStack() as stack:
        for _ in range(64):
            client = stack.enter_context(socket.create_connection(place(manager), timeout=30))
            client.sendall(b"GET /li")

        def is_sent_away() -> bool:
            with socket.create_connection(place(manager), timeout=30) as one_more:
                try:
                    one_more.sendall(b"GET /live HTTP/1.1\r\n\r\n")
                    return one_more.recv(1) == b""
                except ConnectionError:
                    return True

        until(is_sent_away, "one more is closed unanswered")
    until(lambda: status_or_none(manager) == 200, "there is room again")


def status_or_none(manager: EventManager) -> int | None:
    try:
        return status(manager, "/live")
    except (ConnectionError, http.client.HTTPException):
        return None


# -- the port ---------------------------------------------------------------------------------------------------------


def test_a_port_in_use(make: Callable[..., EventManager]):
    first = make()
    first.start()
    _, port = place(first)
    opened: list[bool] = []

    class Noticed(MemoryProvider):
        def open(self, observer: Any) -> None:
            opened.append(True)

    second = make(provider=Noticed("there"), port=port)
    with pytest.raises(HealthServerError) as caught:
        second.start()
    text = str(caught.value)
    assert text.startswith(f"the health server can't listen on 127.0.0.1:{port}: the port is in use")
    for word in ("[health] port", "EVENTING_HEALTH__PORT", "health_app"):
        assert word in text
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value.__cause__, OSError)
    assert not opened, "nothing was connected"
    assert status(first, "/ready") == 200
    first.stop()
    third = make(port=port)
    third.start()
    assert place(third)[1] == port


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid", "2001:db8::1"])
def test_a_host_that_is_not_here(make: Callable[..., EventManager], host: str):
    with pytest.raises(HealthServerError, match=r"does not have that address.*EVENTING_HEALTH__HOST"):
        make(host=host).start()


def test_a_port_that_only_the_system_may_have(make: Callable[..., EventManager], monkeypatch: pytest.MonkeyPatch):
    """The operating system's answer to users other than root."""

    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(HealthServerError, match=r"127\.0\.0\.1:80: this user may not.*above 1023"):
        make(port=80).start()


def test_all_addresses(make: Callable[..., EventManager]):
    manager = make(host="0.0.0.0")  # noqa: S104 (as in a container)
    manager.start()
    assert manager.health_url == f"http://0.0.0.0:{place(manager)[1]}"
    assert listens((HOME, place(manager)[1]))


def test_several_managers_in_one_process(make: Callable[..., EventManager]):
    broker = MemoryBroker()
    one, other = make(provider=MemoryProvider("one", broker)), make()
    one.start()
    other.start()
    broker.stop()
    assert (status(one, "/ready"), status(other, "/ready")) == (503, 200)
    one.stop()
    assert status(other, "/ready") == 200


def test_the_log_tells_where_it_is(make: Callable[..., EventManager], caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "eventing"):
        manager = make()
        manager.start()
    assert f"health: {manager.health_url}/live and {manager.health_url}/ready" in caplog.text


# -- settings ---------------------------------------------------------------------------------------------------------


def test_from_a_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "eventing.toml"
    file.write_text('provider = "memory"\n[health]\nport = 1\nhost = "localhost"\n', encoding="utf-8")
    monkeypatch.setenv("EVENTING_HEALTH__PORT", "0")
    monkeypatch.setenv("EVENTING_HEALTH__DETAILS", "true")
    with EventManager.from_config(file, listeners=[]) as manager:
        assert status(manager, "/health") == 200


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"prot": 8081}, "unknown key 'health.prot'; did you mean 'port'?"),
        ({"port": 65536}, "health.port: Input should be less than or equal to 65535"),
        ({"port": -1}, "health.port: Input should be greater than or equal to 0"),
        ({"port": "http"}, "health.port: Input should be a valid integer"),
        ({"details": True}, "health: there is no health server without a port"),
        ({"port": 1, "host": "http://localhost"}, "health.host: it has to be an address or a host's name"),
        ({"port": 1, "host": "localhost:8081"}, "health.host: it has to be an address or a host's name"),
        ({"port": 1, "host": "[::1]"}, "health.host: it has to be an address or a host's name"),
        ({"port": 1, "host": ""}, "health.host: it has to be an address or a host's name"),
    ],
)
def test_wrong_settings(table: dict[str, Any], text: str):
    with pytest.raises(ConfigError) as caught:
        EventManager.from_config(provider="memory", health=table)
    assert str(caught.value).startswith("keyword argument: ")
    assert text in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        Options(health=table)  # type: ignore[arg-type]
    assert str(caught.value).startswith("Options: ")
    assert text in str(caught.value)


def test_a_variable_with_one_underscore(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EVENTING_HEALTH_PORT", "8081")
    with pytest.raises(ConfigError, match="did you mean EVENTING_HEALTH__PORT"):
        EventManager.from_config(provider="memory")


def test_a_key_outside_its_table():
    with pytest.raises(ConfigError, match="it belongs to the table 'health'"):
        EventManager.from_config(provider="memory", details=True)


def test_options_of_their_own():
    assert HealthOptions(port=8081) == HealthOptions(port=8081, host=HOME, details=False)
    assert Options().health.port is None


# -- processes --------------------------------------------------------------------------------------------------------

FORK = """
import os, sys
from eventing_core import EventManager, Options
from eventing_core.memory import MemoryProvider

manager = EventManager(MemoryProvider("here"), listeners=[], pipelines=[], options=Options(health={"port": 0}))
manager.start()
print(manager.health_url, flush=True)
child = os.fork()
if child == 0:
    assert manager.health_url is None
    print("child", os.getpid(), flush=True)
    sys.stdin.readline()
    os._exit(0)
manager.run()
print("stopped", flush=True)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_leaves_the_port_to_its_parent():
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", FORK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url, child = process.stdout.readline().split()[0], process.stdout.readline()
        assert child.startswith("child")
        address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        connection = http.client.HTTPConnection(*address, timeout=30)
        connection.request("GET", "/ready")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopped\n"
        assert not listens(address), "the child has the port"
    finally:
        _, errors = process.communicate("end\n", timeout=30)
    assert process.returncode == 0, errors
    assert not errors


START_IN_CHILD = """
import os
from eventing_core import EventManager, HealthServerError, Options
from eventing_core.memory import MemoryProvider

def options(port):
    return Options(health={"port": port})

with EventManager(MemoryProvider("here"), listeners=[], pipelines=[], options=options(0)) as first:
    port = int(first.health_url.rpartition(":")[2])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            EventManager(MemoryProvider("there"), listeners=[], pipelines=[], options=options(port)).start()
        except HealthServerError as error:
            code = 7 if "in use" in str(error) else 2
        with first:  # as new in the child, on a free port
            code += 1 if first.health_url and first.health_url != f"http://127.0.0.1:{port}" else 10
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 8
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_that_starts_for_itself():
    check(sys.executable, "-c", START_IN_CHILD)


AT_EXIT = """
import http.client, threading
from dataclasses import dataclass
from eventing_core import EventManager, Options, event, event_listener
from eventing_core.memory import MemoryProvider

@event()
@dataclass
class Placed:
    number: int

begun, pause = threading.Event(), threading.Event()

@event_listener(Placed)
def probes(placed):
    begun.set()
    while manager.health().state == "started":
        pause.wait(0.005)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/live")
    print(connection.getresponse().status, flush=True)
    connection.close()

manager = EventManager(MemoryProvider("here"), options=Options(health={"port": 0}))
manager.start()
port = int(manager.health_url.rpartition(":")[2])
manager.send_event(Placed(1))
begun.wait(30)
"""


def test_it_answers_while_the_interpreter_ends():
    """As when Kubernetes probes a service that drains."""
    assert check(sys.executable, "-c", AT_EXIT) == "200\n"
