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

#: How often a protocol other than the wanted one has to be found.
_ROUNDS = 2

#: So many bytes tell any protocol.
_ENOUGH = 64


class Enough(Enum):
    """Nobody wants to know any more."""

    ENOUGH = auto()


#: Who has an answer, or got none.
Answers = queue.SimpleQueue["_Asker | Enough"]


def ask(  # noqa: PLR0913 (keyword-only)
    host: str,
    port: int,
    *,
    wanted: str,
    until: float,
    context: ssl.SSLContext | None = None,
    ended: Answers | None = None,
) -> WireProtocol | None:
    """What a port speaks; None where it can't be told. Blocks, for two seconds or little more.

    Some ports speak several protocols, and a network that fails, or a broker under load, may keep back one answer and
    deliver another. So a protocol other than the wanted one counts only where two rounds of questions find it, and
    neither finds the wanted one.

    Args:
        host: name or address.
        port: of that host.
        wanted: the protocol that is taken where the port speaks several.
        until: of `time.monotonic`: nothing is waited for beyond it.
        context: to ask within TLS.
        ended: takes the answers; another thread puts `Enough` there to have it end.
    """
    answers: Answers = ended if ended is not None else queue.SimpleQueue()
    rounds: list[list[WireProtocol]] = []
    while len(rounds) < _ROUNDS:
        now = time.monotonic()
        patience = min(_PATIENCE, (until - now) / (_ROUNDS - len(rounds)))
        found = _ask_all(host, port, wanted, now + patience, context, answers)
        rounds.append(found)
        right = next((protocol for protocol in found if protocol.is_for(wanted)), None)
        if right is not None or not found:
            return right
    return next((protocol for protocol in rounds[0] if all(protocol in found for found in rounds)), None)


def _ask_all(  # noqa: PLR0913, PLR0917 (as `ask`)
    host: str, port: int, wanted: str, until: float, context: ssl.SSLContext | None, answers: Answers
) -> list[WireProtocol]:
    """Ask all questions at once: the protocols that answered. Empty after `Enough`, too.

    After one answer the others have little time more, but for the question in the wanted protocol: only when that came
    to nothing it is known that the port doesn't speak it.
    """
    questions = [question for question in QUESTIONS if question.encrypted or context is None]
    if context is None:
        questions.append(_client_hello())
    askers = [_Asker(host, port, question, context, until, answers) for question in questions]
    for asker in askers:
        asker.start()
    found: list[WireProtocol] = []
    waiting = set(askers)
    decisive = {asker for asker in askers if asker.question.speaks and asker.question.speaks.is_for(wanted)}
    soon = until
    while waiting:
        try:
            answer = answers.get(timeout=max(0.0, (until if decisive & waiting else soon) - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, Enough):
            found.clear()
            break
        if answer not in waiting:  # one of the round before
            continue
        waiting.discard(answer)
        if answer.found is not None:
            found.append(answer.found)
            soon = min(soon, time.monotonic() + _MORE)
            if answer.found.is_for(wanted):
                break
    for asker in askers:
        asker.end()
    return found


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
    """Asks one question, over one connection.

    Attributes:
        question: the one.
        found: the protocol of the answer; None where there was none, or none that is known.
    """

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
        self.question = question
        self.found: WireProtocol | None = None
        self._context = context
        self._until = until
        self._answers = answers
        self._sock: socket.socket | None = None

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.found = self._ask()
        self._answers.put(self)

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
            if self.question.data:
                sock.sendall(self.question.data)
            heard = b""
            while len(heard) < _ENOUGH:
                sock.settimeout(self._left())
                data = sock.recv(_ENOUGH)
                heard += data
                protocol = self.question.answers.get(heard) or protocol_of(heard)
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
