"""A connection on a protocol that says nothing, and its peer: for what every transport on a socket does alike."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from eventing_core.errors import BrokerConnectionError
from eventing_core.provider import Delivery, Destination, Outcome, Subscription, SubscriptionState
from eventing_core.provider.sockets import Connection, Generation, SocketConfig, SocketConsumer, SocketProducer


class Mute(Generation):
    """Is open at once, and lost when the peer closes."""

    #: How often it has read.
    reads = 0

    def read(self) -> bool:
        self.reads += 1
        if not self.sock.recv(10):
            self.fail(BrokerConnectionError("lost"))
        return False

    def pump(self) -> None:
        pass

    def write(self) -> None:
        pass

    def tick(self) -> None:
        self.next_tick = time.monotonic() + 0.05
        if not self.is_open:
            self.is_open = True
            self._opened()

    def close(self) -> None:
        self.closed = True

    def free(self) -> None:
        self.sock.close()

    def silent(self) -> None:
        self.fail(BrokerConnectionError("silent"))


class Nothing:
    """Has nothing to prepare."""

    def prepare(self, subscription: Subscription, ready: Callable[[Any], None]) -> None:
        ready(None)

    def forget(self, subscription: Subscription) -> None:
        pass

    def lost(self) -> None:
        pass


class Consumer(SocketConsumer[Mute, Nothing]):
    def attach_now(self, generation: Mute, session: Nothing) -> None:
        self.attached()

    def detach_now(self, generation: Mute) -> bool:
        return False

    def settle_now(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        pass

    def flush(self) -> None:
        pass

    def forget(self) -> None:
        pass


class Line(Connection[Mute, Nothing]):
    def make_generation(self, sock: socket.socket, number: int, config: SocketConfig) -> Mute:
        return Mute(sock, number, self.session_open)

    def make_session(self, generation: Mute) -> Nothing:
        return Nothing()

    def make_producer(self, destination: Destination) -> SocketProducer[Mute, Nothing]:
        raise NotImplementedError

    def make_consumer(self, subscription: Subscription, subscriber: Any) -> Consumer:
        return Consumer(self, subscription, subscriber)


class Told:
    def __init__(self) -> None:
        self.states: list[SubscriptionState] = []

    def deliver(self, batch: Sequence[Delivery]) -> None:
        pass

    def state(self, state: SubscriptionState, generation: int, error: Exception | None) -> None:
        self.states.append(state)


class Peer:
    """Takes connections on a port of its own, and closes them."""

    def __init__(self, port: int = 0) -> None:
        self.listening = socket.create_server(("127.0.0.1", port))
        self.port = self.listening.getsockname()[1]
        self.config = SocketConfig.of({"host": "127.0.0.1", "port": self.port, "backoff_initial": 0.01})
        self.taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                self.taken.append(self.listening.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        # Closing alone doesn't wake who waits in it.
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self._thread.join(5)
        for one in self.taken:
            one.close()
