"""Settings that can't work, as the application meets them: at `start`, and at the first send of one that only sends."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from eventing_core import EventManager, errors
from examples.artemis import Artemis
from tests.support.workers import event_named, listener_of

#: Of the connect time limit; what is told apart at once takes less.
LIMIT = 1.5
PASSWORD = "hunter2-secret"


@contextmanager
def closed_port(_: Artemis) -> Iterator[dict[str, Any]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield {"port": port}


class _Quiet(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def http_server(_: Artemis) -> Iterator[dict[str, Any]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield {"port": server.server_port}
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silent_server(_: Artemis) -> Iterator[dict[str, Any]]:
    """As a STOMP broker is to a client that speaks AMQP."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {"port": server.getsockname()[1]}


@contextmanager
def unknown_host(_: Artemis) -> Iterator[dict[str, Any]]:
    yield {"host": "no-such-host.invalid"}


@contextmanager
def wrong_password(artemis: Artemis) -> Iterator[dict[str, Any]]:
    yield {"port": artemis.port}


@contextmanager
def no_tls_there(artemis: Artemis) -> Iterator[dict[str, Any]]:
    yield {"port": artemis.port, "tls": True}


@pytest.mark.parametrize("starts", [True, False], ids=["start", "send"])
@pytest.mark.parametrize(
    ("what", "error_type", "text"),
    [
        (wrong_password, errors.AuthenticationError, "refuses user or password"),
        (unknown_host, errors.HostNotFoundError, "the host name can't be resolved"),
        (closed_port, errors.ConnectionRefusedByHostError, "Connection refused"),
        (http_server, errors.ProtocolMismatchError, "the port speaks HTTP, not AMQP 1.0"),
        (silent_server, errors.ProtocolMismatchError, "the port does not speak AMQP 1.0: received nothing"),
        (no_tls_there, errors.TlsError, "TLS"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_has_an_error_of_its_own(
    artemis: Artemis,
    unique: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
    what: Any,
    error_type: type[Exception],
    text: str,
    starts: bool,
):
    caplog.set_level(logging.DEBUG)
    event_type = event_named(unique("Wrong"))
    threads = threading.active_count()
    with what(artemis) as place:
        settings = {"host": "127.0.0.1", "user": "admin", "password": PASSWORD, "connect_timeout": LIMIT, **place}
        manager = EventManager.from_config(
            provider="amqp",
            listeners=[listener_of(event_type, unique("Listener"), abs)] if starts else [],
            pipelines=[],
            amqp=settings,
        )
        act = manager.start if starts else lambda: manager.send_event(event_type(number=1))
        begun = time.monotonic()
        with pytest.raises(error_type) as caught:
            act()
        assert time.monotonic() - begun < LIMIT + 1.0
        assert type(caught.value) is error_type
        assert str(caught.value).startswith(f"{settings['host']}:{settings.get('port', 61616)}: ")
        assert text in str(caught.value)
        said = [str(manager.health()), repr(manager), repr(manager._provider), repr(vars(manager._provider))]
        said += ["".join(traceback.format_exception(caught.value)), caplog.text, repr(pickle.dumps(caught.value))]
        manager.stop()
    assert not [part for part in said if PASSWORD in part]
    assert threading.active_count() <= threads + (what is http_server)


def test_a_queue_name_of_another_event(make_manager: Callable[..., EventManager], unique: Callable[[str], str]):
    first, second = event_named(unique("First")), event_named(unique("Second"))
    make_manager(listener_of(first, unique("Listener"), abs)).start()
    with pytest.raises(errors.QueueNameConflictError) as caught:
        make_manager(listener_of(second, unique("Listener"), abs)).start()
    for part in (unique("Listener"), unique("First"), unique("Second"), 'queue_name = "{event}.{listener}"'):
        assert part in str(caught.value)


def test_a_server_name_in_use_by_another_process(
    make_manager: Callable[..., EventManager],
    make_provider: Callable[..., Any],
    unique: Callable[[str], str],
):
    listener = listener_of(event_named(unique("Cached")), unique("Listener"), abs, per_process=True)
    make_manager(listener, server_name="server-a").start()
    second = make_manager(listener, provider=make_provider("server-a", server_name_timeout=0.5))
    with pytest.raises(errors.ServerNameInUseError, match="server-a"):
        second.start()
    make_manager(listener, server_name="server-b").start()
