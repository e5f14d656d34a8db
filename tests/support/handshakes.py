"""What a broker says first, and something that says it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping

#: How Artemis calls itself.
PRODUCTS = {"amqp": b"apache-activemq-artemis", "stomp": b"ActiveMQ-Artemis"}


def frame(kind: int, performative: bytes) -> bytes:
    """An AMQP frame on channel 0 (specification part 2, section 2.3.1)."""
    return (8 + len(performative)).to_bytes(4) + b"\x02" + bytes((kind,)) + b"\x00\x00" + performative


def open_frame(product: bytes, idle_time_out: int | None = None) -> bytes:
    """What the peer says first; it wants to hear something every ``idle_time_out`` milliseconds."""
    key = b"\xa3\x07product"
    properties = key + b"\xa1" + bytes((len(product),)) + product
    properties = b"\xc1" + bytes((len(properties) + 1, 2)) + properties
    idle = b"\x40" if idle_time_out is None else b"\x70" + idle_time_out.to_bytes(4)
    fields = b"\xa1\x01x" + b"\x40" * 3 + idle + b"\x40" * 4 + properties
    return frame(0, b"\x00\x53\x10\xc0" + bytes((len(fields) + 1, 10)) + fields)


def begin_frame() -> bytes:
    window = b"\x70\x00\x00\x08\x00"
    fields = b"\x60\x00\x00" + b"\x43" + window + window
    return frame(0, b"\x00\x53\x11\xc0" + bytes((len(fields) + 1, 4)) + fields)


def introduction(kind: str, product: bytes, mechanism: bytes = b"ANONYMOUS", idle_time_out: int | None = None) -> bytes:
    """How a broker of that name lets a client in: over AMQP by that mechanism."""
    if kind == "stomp":
        name = b"server:" + product + b"/1.0.0\n" if product else b""
        return b"CONNECTED\nversion:1.2\nheart-beat:0,0\n%b\n\0" % name
    offer = b"\x01\xa3" + bytes((len(mechanism),)) + mechanism
    mechanisms = b"\x00\x53\x40\xc0" + bytes((len(offer),)) + offer
    outcome = b"\x00\x53\x44\xc0\x03\x01\x50\x00"
    answer = b"AMQP\x03\x01\x00\x00" + frame(1, mechanisms) + frame(1, outcome) + b"AMQP\x00\x01\x00\x00"
    return answer + open_frame(product, idle_time_out)


class Gate:
    """Lets every client in, as an Artemis does, and keeps what each said.

    Attributes:
        port: on the loopback interface.
        heard: what came, by connection.
        taken: the connections, in that order.
    """

    def __init__(self, kind: str, instead: Mapping[bytes, bytes] | None = None) -> None:
        """Begin; what is said is changed as ``instead`` has it."""
        self.heard: list[bytes] = []
        self._answer = introduction(kind, PRODUCTS[kind], b"PLAIN")
        for said, changed in (instead or {}).items():
            self._answer = self._answer.replace(said, changed)
        self._session, self._goodbye = (b"\x00S\x11", b"\x00S\x18") if kind == "amqp" else (b"", b"DISCONNECT\n")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.taken: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listening.accept()[0]
            except OSError:
                return
            self.taken.append(connection)
            self.heard.append(b"")
            self._threads.append(threading.Thread(target=self._serve, args=(connection, len(self.heard) - 1)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket, index: int) -> None:
        with contextlib.suppress(OSError):
            told = begun = False
            while (data := connection.recv(65536)) and self._goodbye not in data:
                self.heard[index] += data
                if not told:
                    told = True
                    connection.sendall(self._answer)
                if not begun and self._session in self.heard[index]:
                    begun = True
                    connection.sendall(begin_frame() if self._session else b"")
            connection.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """End all connections; new ones are taken."""
        for connection in self.taken:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._threads[0].join()
        self.hang_up()
        for thread in self._threads:
            thread.join()
        for connection in self.taken:
            connection.close()
