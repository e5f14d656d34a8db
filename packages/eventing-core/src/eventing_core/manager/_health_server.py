"""The health endpoints on a port of their own, on a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http
import logging
import socket
import threading
from collections.abc import Callable

from eventing_core.configure._options import HealthOptions
from eventing_core.errors import HealthServerError
from eventing_core.manager._probes import Answer, Probes
from eventing_core.runtime._health import ManagerHealth

_log = logging.getLogger("eventing")

#: Seconds for a whole request with its answer, however slowly the client reads and writes.
_PATIENCE = 5.0

#: More connections than these at a time are closed unanswered.
_CONNECTIONS = 64

#: Bytes of a request's line and headers; those of a probe are a few hundred.
_HEAD = 16_384

_WORDS_OF_A_REQUEST = 3

#: Event loops of the parent, in a child after a fork: closing one, as its end would, changes what the parent polls.
_inherited: list[asyncio.AbstractEventLoop] = []


class HealthServer:
    """Serves `Probes` over HTTP/1.1, one request for each connection. Not for the public: there is no TLS.

    One thread and one event loop serve all connections, so that a client that is slow holds up nobody, and no thread
    has to be started while the interpreter ends.
    """

    def __init__(self, options: HealthOptions, ask: Callable[[], ManagerHealth | None]) -> None:
        self._options = options
        self._probes = Probes(ask, details=options.details)
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._over: asyncio.Event | None = None
        self._open = 0
        #: Where it is served; None before `start` and after `stop`.
        self.url: str | None = None

    def start(self) -> None:
        """Listen, where there is a port in the options. Returns once connections are accepted.

        Raises:
            HealthServerError: the port can't be had.
        """
        if self._options.port is None:
            return
        self._socket = _listen(self._options.host, self._options.port)
        host, port = self._socket.getsockname()[:2]
        self._loop, self._over = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="eventing-health", daemon=True)
        self._thread.start()
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        _log.info("health: %s/live and %s/ready", self.url, self.url)

    def stop(self, timeout: float) -> None:
        """Close the port; requests under way are answered, at most for ``timeout`` seconds. Idempotent."""
        self.url = None
        loop, over, thread = self._loop, self._over, self._thread
        if loop is None or over is None or thread is None or thread.ident is None:
            self._close_socket()
            if loop is not None:
                loop.close()
            return
        with contextlib.suppress(RuntimeError):  # it was stopped before
            loop.call_soon_threadsafe(over.set)
        if thread is not threading.current_thread():
            thread.join(timeout)

    def abandon(self) -> None:
        """In a child after a fork: let go of the port, which stays the parent's."""
        self._close_socket()
        if self._loop is not None:
            _inherited.append(self._loop)
        self._loop = self._thread = None
        self.url = None

    def _close_socket(self) -> None:
        listener, self._socket = self._socket, None
        if listener is not None:
            listener.close()

    def _run(self) -> None:
        loop = self._loop
        if loop is None:  # in a child that was forked just now
            return
        try:
            loop.run_until_complete(self._serve())
        except Exception:  # noqa: BLE001 (probes fail then, which is what they are for)
            with contextlib.suppress(Exception):
                _log.exception("health: an unexpected error; the server ends")
        finally:
            self._close_socket()
            loop.close()

    async def _serve(self) -> None:
        over = self._over
        if over is None:
            return
        server = await asyncio.start_server(self._connected, sock=self._socket, limit=_HEAD)
        await over.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, late = await asyncio.wait(others, timeout=0.5)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _CONNECTIONS:
                async with asyncio.timeout(_PATIENCE):
                    await self._converse(reader, writer)
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            # The client is gone, too slow, or none that speaks HTTP; or the server ends. Python 3.11 logs an error for
            # a connection's task that ends as cancelled.
            writer.transport.abort()
        finally:
            self._open -= 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(_on_the_wire(_answer(self._probes, head)))
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        # Closing with something unread would reset the connection, and the client might lose the answer.
        while await reader.read(_HEAD):
            pass


def _answer(probes: Probes, head: bytes) -> Answer:
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != _WORDS_OF_A_REQUEST or not words[2].startswith("HTTP/1."):
        return Answer(http.HTTPStatus.BAD_REQUEST, {"content-length": "0", "cache-control": "no-store"}, b"")
    method, target, _ = words
    return probes.answer(method, target.partition("?")[0])


def _on_the_wire(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status:d} {http.HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines += ["connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + answer.body


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(place[:2], family=family, backlog=_CONNECTIONS, dualstack_ipv6=both)
    except OSError as error:
        raise HealthServerError(_why(host, port, error)) from error


def _why(host: str, port: int, error: OSError) -> str:
    start = f"the health server can't listen on {host}:{port}"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{start}: this machine does not have that address. Set [health] host to one, to 127.0.0.1, or to 0.0.0.0 "
            "for all (EVENTING_HEALTH__HOST)."
        )
    if error.errno == errno.EADDRINUSE:
        return (
            f"{start}: the port is in use, perhaps by another manager or worker process with the same configuration. "
            "Set [health] port to a free one (EVENTING_HEALTH__PORT), or to 0 for any; several processes behind one "
            "web server use eventing_core.asgi.health_app instead."
        )
    if error.errno == errno.EACCES:
        return f"{start}: this user may not. Set [health] port to one above 1023 (EVENTING_HEALTH__PORT)."
    return f"{start}: {error.strerror or error}. Change [health] host or port, or remove the table."
