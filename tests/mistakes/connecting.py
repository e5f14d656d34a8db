"""Brokers that can't be had as it was thought."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from eventing_amqp import AMQProvider
from eventing_core.errors import EventingError
from eventing_stomp import StompProvider
from tests.mistakes.table import SECRET, Group, Stage
from tests.support.waiting import until
from tests.support.workers import event_named, listener_of

CONNECTING = Group("connecting")


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that says the same to everybody; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                while True:
                    with listening.accept()[0] as connection:
                        connection.settimeout(2)
                        connection.sendall(answer)
                        connection.recv(4096)
            except OSError:
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def connect(provider: AMQProvider | StompProvider) -> None:
    """Open a provider, and close it."""
    try:
        provider.open(lambda *_: None)
    finally:
        provider.close(2.0)


@CONNECTING.add("a host that doesn't exist", "no-such-host.invalid:61616", fix="check host")
def _(_: Stage) -> None:
    connect(AMQProvider("server", "no-such-host.invalid"))


@CONNECTING.add("a port where nothing listens", "127.0.0.1:", "refused", fix="Check host and port")
def _(_: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    connect(AMQProvider("server", "127.0.0.1", port))


@CONNECTING.add("the port of a web console", "127.0.0.1:", "HTTP", fix="set port to the one for AMQP 1.0")
def _(stage: Stage) -> None:
    port = stage.enter(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    connect(AMQProvider("server", "127.0.0.1", port))


@CONNECTING.add("the port of RabbitMQ, over AMQP", "AMQP 0-9-1", fix='set provider = "stomp", with broker = "rabbitmq"')
def _(stage: Stage) -> None:
    port = stage.enter(answering(b"AMQP\x00\x00\x09\x01"))
    connect(AMQProvider("server", "127.0.0.1", port))


@CONNECTING.add("the port of SSH", "SSH", fix="check host and port")
def _(stage: Stage) -> None:
    port = stage.enter(answering(b"SSH-2.0-OpenSSH_9.2\r\n"))
    connect(StompProvider("server", "127.0.0.1", port))


@CONNECTING.add("a port with TLS, without it", "TLS", fix="set tls = true")
def _(stage: Stage) -> None:
    port = stage.enter(answering(b"\x15\x03\x03\x00\x02\x02\x46"))
    connect(AMQProvider("server", "127.0.0.1", port))


@CONNECTING.add("a CA file that isn't there", "no-such-ca.pem", fix="must be a readable PEM file")
def _(_: Stage) -> None:
    connect(AMQProvider("server", "127.0.0.1", 61616, tls=True, ca_file="no-such-ca.pem"))


@CONNECTING.add("a password file that isn't there", "no-such-secret", fix="Check its path and permissions", broker=True)
def _(stage: Stage) -> None:
    provider = stage.at_broker(AMQProvider, user="orders", password="", password_file="no-such-secret")
    connect(provider)


@CONNECTING.add("a password in clear", "example.invalid:61616", fix="set tls = true", by_log=True)
def _(_: Stage) -> None:
    with suppress(EventingError):
        connect(AMQProvider("server", "example.invalid", user="orders", password=SECRET))


@CONNECTING.add("a wrong password", "user or password", fix="check both", broker=True)
def _(stage: Stage) -> None:
    connect(stage.at_broker(AMQProvider, password=SECRET))


@CONNECTING.add("a wrong password, over STOMP", "user or password", fix="check both", broker=True)
def _(stage: Stage) -> None:
    connect(stage.at_broker(StompProvider, password=SECRET))


@CONNECTING.add("no user", "anonymous", fix="set user and password", broker=True)
def _(stage: Stage) -> None:
    connect(stage.at_broker(AMQProvider, user="", password=""))


@CONNECTING.add("TLS to a port without it", "without TLS", fix="set tls = false", broker=True)
def _(stage: Stage) -> None:
    connect(stage.at_broker(AMQProvider, tls=True))


@CONNECTING.add("RabbitMQ's way on Artemis", "ActiveMQ-Artemis", fix='set broker = "artemis"', broker=True)
def _(stage: Stage) -> None:
    connect(stage.at_broker(StompProvider, broker="rabbitmq"))


@CONNECTING.add("one listener name for two events", "queue name", fix='queue_name = "{event}.{listener}"', broker=True)
def _(stage: Stage) -> None:
    for name in ("First", "Second"):
        listener = listener_of(event_named(stage.unique(name)), stage.unique("Listener"), abs)
        stage.manager(listener, provider=stage.at_broker(AMQProvider)).start()


@CONNECTING.add(
    "one server name for two processes", "'web-1'", fix="Give each process its own server_name", broker=True
)
def _(stage: Stage) -> None:
    listener = listener_of(event_named(stage.unique("Cached")), stage.unique("Listener"), abs, per_process=True)
    stage.manager(listener, provider=stage.at_broker(AMQProvider, "web-1")).start()
    stage.manager(listener, provider=stage.at_broker(AMQProvider, "web-1", server_name_timeout=0.2)).start()


@CONNECTING.add(
    "one server name for two processes, while it waits",
    "'web-1'",
    "waits up to 1.5 s",
    fix="give each its own server_name",
    broker=True,
    by_log=True,
)
def _(stage: Stage) -> None:
    listener = listener_of(event_named(stage.unique("Cached")), stage.unique("Listener"), abs, per_process=True)
    stage.manager(listener, provider=stage.at_broker(StompProvider, "web-1")).start()
    second = stage.manager(listener, provider=stage.at_broker(StompProvider, "web-1", server_name_timeout=1.5))
    try:
        second.start()
    except EventingError:
        until(lambda: "waits up to" in str(stage.logged()), "it is said", 5)
