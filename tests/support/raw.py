"""Raw clients, which send bytes as they are."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from typing import Any

from proton import ProtonException
from proton.utils import BlockingConnection

from eventing_stomp._frames import frame
from examples.artemis import Artemis
from tests.support.plain import Capability

#: A STOMP broker doesn't answer to a frame whose end it still waits for.
_PATIENCE = 0.5


class _Bytes:
    """What Proton sends as it is."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def send(self, link: Any, tag: str | None = None) -> Any:
        delivery = link.delivery(tag or link.delivery_tag())
        link.stream(self._raw)
        link.advance()
        return delivery


class RawAmqp:
    """Sends messages as they are encoded; connects again where the broker ends the connection."""

    def __init__(self, broker: Artemis, address: str) -> None:
        self._broker = broker
        self._address = address
        self._sender: Any = None
        self._connection: Any = None
        self.connections = 0

    def put(self, batch: Sequence[bytes]) -> None:
        """Send; the broker has answered to all of them, or has ended the connection."""
        try:
            if self._sender is None:
                self._open()
            sent = [self._sender.link.send(_Bytes(raw)) for raw in batch]
            self._connection.wait(lambda: all(delivery.remote_state for delivery in sent))
            for delivery in sent:
                delivery.settle()
        except ProtonException:
            self.close()

    def _open(self) -> None:
        self.connections += 1
        self._connection = BlockingConnection(
            f"amqp://{self._broker.host}:{self._broker.port}",
            timeout=20.0,
            user=self._broker.user,
            password=self._broker.password,
            allowed_mechs="PLAIN",
            allow_insecure_mechs=True,
        )
        self._sender = self._connection.create_sender(self._address, options=Capability("topic"))

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection, self._sender = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(ProtonException):
                connection.close()


class RawStomp:
    """Sends frames as they are, several at once; connects again where the broker ends the connection."""

    def __init__(self, broker: Artemis) -> None:
        self._broker = broker
        self._socket: socket.socket | None = None
        self.connections = 0

    def put(self, batch: Sequence[bytes]) -> None:
        """Send; the broker has answered what follows all of them, or has ended the connection."""
        try:
            if self._socket is None:
                self._socket = self._open()
            last = {"destination": "Nobody", "receipt": "last"}
            self._socket.sendall(b"".join(batch) + frame("SEND", last))
            self._read(b"receipt-id:last\n")
        except OSError:
            self.close()

    def _open(self) -> socket.socket:
        self.connections += 1
        connection = socket.create_connection((self._broker.host, self._broker.port), timeout=_PATIENCE)
        self._socket = connection
        login = {"login": self._broker.user, "passcode": self._broker.password}
        connection.sendall(frame("CONNECT", {"accept-version": "1.2", "host": self._broker.host, **login}))
        self._read(b"CONNECTED\n")
        return connection

    def _read(self, word: bytes) -> None:
        assert self._socket is not None
        came = b""
        while word not in came:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionResetError
            came = came[-len(word) :] + more

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()
