"""From a host name to a connected socket, on a thread of its own."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable

from eventing_core.errors import BrokerConnectionError
from eventing_core.provider.sockets import _errors
from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._probing import ask
from eventing_core.provider.sockets._protocols import TLS, WireProtocol
from eventing_core.provider.sockets._tls import tls_context


class CancelledError(Exception):
    """Nobody wants the connection any more."""


class Connector:
    """One attempt: resolve, connect, TLS handshake, password; each can block, so none may be done on the I/O thread.

    The password comes last: in an outage of the broker nobody is asked for it again and again.

    Args:
        config: where to, and how; with one broker.
        name: of its thread.
        deadline: of `time.monotonic`.
        done: called on the connector's thread with the non-blocking socket, or with the error.
        is_curious: where nothing there speaks TLS, the port is asked what it speaks.

    Attributes:
        config: the settings; once there is a socket, with the password that holds for it.
    """

    def __init__(
        self,
        config: SocketConfig,
        name: str,
        deadline: float,
        done: Callable[[tuple[Connector, socket.socket | None, BrokerConnectionError | None]], None],
        *,
        is_curious: bool = False,
    ) -> None:
        self.config = config
        self._deadline = deadline
        self._done = done
        self._is_curious = is_curious
        self._cancel_out, self._cancel_in = socket.socketpair()
        self._sock: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name=f"{name}-connect", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """Give up. Idempotent; resolving a host name can't be interrupted and ends by itself."""
        with contextlib.suppress(OSError):
            self._cancel_in.send(b"\0")

    def join(self, timeout: float) -> None:
        """Wait for the thread."""
        self._thread.join(timeout)

    def abandon(self) -> None:
        """In a forked child: close the descriptors without a word to the peer."""
        for sock in (self._sock, self._cancel_in, self._cancel_out):
            close_silently(sock)

    def _run(self) -> None:
        sock, error = None, None
        try:
            sock = self._connect()
            self.config = self.config.with_password()
        except CancelledError:
            pass
        except Exception as problem:  # noqa: BLE001 (each becomes an error of our own)
            if sock is not None:
                sock.close()
                sock = None
            error = _errors.of_socket(problem, self.config.place)
        self._sock = None
        self._cancel_in.close()
        self._cancel_out.close()
        self._done((self, sock, error))

    def _connect(self) -> socket.socket:
        # The context first: an unreadable file is no matter of the network.
        context = tls_context(self.config) if self.config.tls else None
        addresses = socket.getaddrinfo(self.config.host, self.config.port, type=socket.SOCK_STREAM)
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            left = self._deadline - time.monotonic()
            # An address that doesn't answer takes its share, and leaves time for the next ones.
            until = time.monotonic() + left / (len(addresses) - index)
            try:
                sock = self._connect_to(family, kind, protocol, address, until)
                break
            except OSError:
                if index == len(addresses) - 1:
                    raise
        else:
            raise socket.gaierror(socket.EAI_NONAME, "no addresses")
        return self._encrypt(sock, context) if context else sock

    def _connect_to(self, family: int, kind: int, protocol: int, address: object, until: float) -> socket.socket:
        self._sock = sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(BlockingIOError):
                sock.connect(address)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            self._wait(sock, select.POLLOUT, until)
            _raise_for(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except BaseException:
            sock.close()
            raise
        return sock

    def _encrypt(self, sock: socket.socket, context: ssl.SSLContext) -> socket.socket:
        try:
            self._sock = secure = context.wrap_socket(
                sock, server_hostname=self.config.host, do_handshake_on_connect=False
            )
        except BaseException:
            sock.close()
            raise
        try:
            self._shake_hands(secure)
        except BaseException:
            secure.close()
            raise
        return secure

    def _shake_hands(self, secure: ssl.SSLSocket) -> None:
        try:
            while True:
                try:
                    secure.do_handshake()
                except ssl.SSLWantReadError:
                    self._wait_for_tls(secure)
                except ssl.SSLWantWriteError:
                    self._wait(secure, select.POLLOUT, self._deadline)
                else:
                    return
        except BrokerConnectionError:
            raise
        except TimeoutError:
            reason = "no answer to the TLS handshake within the connect time limit"
            raise _errors.of_no_tls(self.config.place, reason, None) from None
        except OSError as error:
            if isinstance(error, ssl.SSLError) and not _errors.speaks_no_tls(error):
                raise
            reason = getattr(error, "reason", None) or f"the connection ended in the TLS handshake: {error.strerror}"
            raise _errors.of_no_tls(self.config.place, reason, self._ask()) from None

    def _wait_for_tls(self, secure: ssl.SSLSocket) -> None:
        """Wait for an answer; where none comes soon, ask whether the port speaks something else."""
        if self._is_curious:
            try:
                self._wait(secure, select.POLLIN, min(self._deadline, time.monotonic() + self.config.soon))
            except TimeoutError:
                found = self._ask()
                if found is not None:
                    raise _errors.of_no_tls(self.config.place, "no answer to the TLS handshake", found) from None
            else:
                return
        self._wait(secure, select.POLLIN, self._deadline)

    def _ask(self) -> WireProtocol | None:
        """What the port speaks in place of TLS. Once, and for a first connection only: later it was right before."""
        if not self._is_curious:
            return None
        self._is_curious = False
        config = self.config
        found = ask(config.host, config.port, wanted=config.protocol, until=self._deadline)
        return None if found is TLS else found  # it is only slow

    def _wait(self, sock: socket.socket, event: int, until: float) -> None:
        poll = select.poll()
        poll.register(sock, event)
        poll.register(self._cancel_out, select.POLLIN)
        ready = poll.poll(max(0.0, until - time.monotonic()) * 1000)
        if not ready:
            raise TimeoutError
        if any(descriptor == self._cancel_out.fileno() for descriptor, _ in ready):
            raise CancelledError


def _raise_for(error: int) -> None:
    if error:
        raise OSError(error, "")


def close_silently(sock: socket.socket | None) -> None:
    """Close a descriptor without shutdown and without TLS's good-bye: the parent of a fork goes on using it."""
    if sock is None:
        return
    with contextlib.suppress(OSError):
        descriptor = sock.detach()
        if descriptor >= 0:
            socket.close(descriptor)
