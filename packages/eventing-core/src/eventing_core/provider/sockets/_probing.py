"""Asking a port what it speaks, where it doesn't answer in the protocol that was expected.

Each question has a connection of its own, and none says who asks. All are asked at the same time, so that a port that
answers any is known at once, and one that answers none costs as much as one question.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from enum import Enum, auto

from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._protocols import QUESTIONS, TLS, Question, WireProtocol, protocol_of
from eventing_core.provider.sockets._tls import tls_context

#: How long an answer may take, in seconds.
_PATIENCE = 1.0

#: How long to wait for further answers after one, in seconds: some ports speak several protocols.
_MORE = 0.3

#: So many bytes tell any protocol.
_ENOUGH = 64


class Enough(Enum):
    """Nobody wants to know any more."""

    ENOUGH = auto()


#: What each question led to.
Answers = queue.SimpleQueue[WireProtocol | Enough | None]


def ask(  # noqa: PLR0913 (keyword-only)
    host: str,
    port: int,
    *,
    wanted: str,
    until: float,
    context: ssl.SSLContext | None = None,
    ended: Answers | None = None,
) -> WireProtocol | None:
    """What a port speaks; None where it can't be told. Blocks, for little more than a second.

    Args:
        host: name or address.
        port: of that host.
        wanted: the protocol that is taken where the port speaks several.
        until: of `time.monotonic`: nothing is waited for beyond it.
        context: to ask within TLS.
        ended: takes the answers; another thread puts `Enough` there to have it end.
    """
    until = min(until, time.monotonic() + _PATIENCE)
    questions = [question for question in QUESTIONS if question.encrypted or context is None]
    if context is None:
        questions.append(_client_hello())
    answers: Answers = ended if ended is not None else queue.SimpleQueue()
    askers = [_Asker(host, port, question, context, until, answers) for question in questions]
    for asker in askers:
        asker.start()
    found: list[WireProtocol] = []
    for _ in askers:
        try:
            answer = answers.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, Enough):
            break
        if answer is not None:
            found.append(answer)
            until = min(until, time.monotonic() + _MORE)
    for asker in askers:
        asker.end()
    return next((protocol for protocol in found if wanted.startswith(protocol.name)), found[0] if found else None)


class Look(threading.Thread):
    """Asks a port what it speaks, on a thread of its own.

    Args:
        config: where the port is.
        until: of `time.monotonic`: when it gives up, at the latest.
        done: called on that thread with what the port speaks, or None.
    """

    def __init__(self, config: SocketConfig, until: float, done: Callable[[Look, WireProtocol | None], None]) -> None:
        super().__init__(name="eventing-look", daemon=True)
        self._config = config
        self._until = until
        self._done = done
        self._answers: Answers = queue.SimpleQueue()

    def end(self) -> None:
        """Give up."""
        self._answers.put(Enough.ENOUGH)

    def run(self) -> None:
        config, found = self._config, None
        try:
            context = tls_context(config) if config.tls else None
            found = ask(
                config.host,
                config.port,
                wanted=config.protocol,
                until=self._until,
                context=context,
                ended=self._answers,
            )
        except (OSError, ValueError):
            # It isn't known then.
            pass
        finally:
            self._done(self, found)


class _Asker(threading.Thread):
    """Asks one question, over one connection."""

    def __init__(  # noqa: PLR0913, PLR0917 (all that there is to know)
        self,
        host: str,
        port: int,
        question: Question,
        context: ssl.SSLContext | None,
        until: float,
        answers: Answers,
    ) -> None:
        super().__init__(name="eventing-probe", daemon=True)
        self._host = host
        self._port = port
        self._question = question
        self._context = context
        self._until = until
        self._answers = answers
        self._sock: socket.socket | None = None

    def run(self) -> None:
        protocol = None
        with contextlib.suppress(OSError, ValueError):
            protocol = self._ask()
        self._answers.put(protocol)

    def end(self) -> None:
        """Wait no longer."""
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.join(max(0.0, self._until - time.monotonic()) + _MORE)

    def _left(self) -> float:
        return max(0.01, self._until - time.monotonic())

    def _ask(self) -> WireProtocol | None:
        with contextlib.ExitStack() as stack:
            self._sock = sock = stack.enter_context(socket.create_connection((self._host, self._port), self._left()))
            if self._context is not None:
                secure = self._context.wrap_socket(sock, server_hostname=self._host)
                self._sock = sock = stack.enter_context(secure)
            if self._question.data:
                sock.sendall(self._question.data)
            heard = b""
            while len(heard) < _ENOUGH:
                sock.settimeout(self._left())
                data = sock.recv(_ENOUGH)
                heard += data
                protocol = self._question.answers.get(heard) or protocol_of(heard)
                if protocol is not None or not data:
                    return protocol
            return None


def _client_hello() -> Question:
    """How TLS begins. No certificate is looked at, since nothing follows."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return Question(outgoing.read(), {b"\x15": TLS, b"\x16": TLS}, encrypted=False)
