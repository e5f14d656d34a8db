"""The producers and consumers of one connection."""

from __future__ import annotations

from typing import Generic, TypeVar

from eventing_core.provider.sockets._carrier import Endpoint
from eventing_core.provider.sockets._consumer import SocketConsumer
from eventing_core.provider.sockets._generation import Generation
from eventing_core.provider.sockets._producer import SocketProducer
from eventing_core.provider.sockets._send import Send
from eventing_core.provider.sockets._session import Session

G = TypeVar("G", bound=Generation)
S = TypeVar("S", bound=Session)


class Endpoints(Generic[G, S]):
    """All of them, and what they have in common: the present generation. Runs on the I/O thread.

    What is called may call back, and then add or remove consumers.
    """

    def __init__(self) -> None:
        self._producers: list[SocketProducer[G, S]] = []
        self._consumers: list[SocketConsumer[G, S]] = []
        self._present: tuple[G, S] | None = None

    @property
    def session(self) -> S | None:
        """That of the present generation."""
        return None if self._present is None else self._present[1]

    def add_producer(self, producer: SocketProducer[G, S]) -> None:
        """One more."""
        self._producers.append(producer)
        if self._present is not None:
            producer.attach(*self._present)

    def add_consumer(self, consumer: SocketConsumer[G, S]) -> None:
        """One more."""
        self._consumers.append(consumer)
        if self._present is not None:
            consumer.attach(*self._present)

    def remove(self, consumer: Endpoint) -> None:
        """A consumer has closed."""
        self._consumers = [other for other in self._consumers if other is not consumer]

    def attach(self, generation: G, session: S) -> None:
        """There is a connection."""
        self._present = generation, session
        for consumer in self._consumers:
            consumer.attach(generation, session)
        for producer in self._producers:
            producer.attach(generation, session)

    def lost(self, error: Exception) -> None:
        """Tell the consumers why the connection is gone."""
        for consumer in self._consumers:
            consumer.lost(error)

    def detach(self) -> None:
        """The connection is gone: have what has no answer sent again, in the next one."""
        present, self._present = self._present, None
        if present is not None:
            present[1].lost()
            for producer in self._producers:
                producer.lost()

    def expire(self, now: float) -> float:
        """Fail what is late; return the earliest deadline of the rest."""
        written = [] if self._present is None else [self._present[0].expire(now)]
        return min([*(producer.expire(now) for producer in self._producers), *written], default=float("inf"))

    def has_sends(self) -> bool:
        """Whether a send has no answer yet."""
        if any(producer.busy for producer in self._producers):
            return True
        present = self._present
        return present is not None and any(isinstance(send, Send) for send in present[0].sends.values())

    def finish(self) -> None:
        """The provider is closed."""
        for producer in self._producers:
            producer.fail("the provider was closed before the broker confirmed")
        for consumer in self._consumers:
            consumer.finish()
