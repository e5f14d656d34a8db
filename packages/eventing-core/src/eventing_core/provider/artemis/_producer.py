"""What is to be done before anything is written to an address."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from eventing_core.errors import SubscriptionError, UnroutedError
from eventing_core.provider.artemis._address import Node
from eventing_core.provider.artemis._session import ArtemisSession
from eventing_core.provider.sockets import Generation, Send, SocketProducer

G = TypeVar("G", bound=Generation)


class ArtemisProducer(SocketProducer[G, ArtemisSession]):
    """Makes the queue that is sent to, and asks whether a topic has any, before it writes."""

    _node: Node
    _prepared = False
    _preparing = False
    #: A topic's queues: None: ask; False: it had none a moment ago, which holds for one round of writing.
    _routed: bool | None = None

    @abstractmethod
    def can_write(self, generation: G) -> bool:
        """Whether the broker takes messages now; `flush` is called again when that changes."""

    @abstractmethod
    def write(self, generation: G, *, unrouted: bool) -> None:
        """Write what the broker takes."""

    def reset(self) -> None:
        """Prepare anew."""
        self._prepared = self._preparing = False
        self._routed = None
        if self._session is not None:
            self._node = self._session.node(self.destination)

    def flush(self) -> None:
        """Write what the broker takes, once everything is there for it."""
        generation, session = self._generation, self._session
        if not self._waiting or generation is None or session is None or self.must_wait():
            return
        if not self._prepared:
            self._prepare(session)
        if not self._prepared or not self.can_write(generation):
            return
        topic = self._node.topic
        routed = self._routed if topic and not session.is_routed(topic) else True
        if routed is None:
            session.ask_routed(topic, self._answered)
            return
        self._routed = None
        self.write(generation, unrouted=not routed)

    def _prepare(self, session: ArtemisSession) -> None:
        if self._preparing:
            return
        if self._node.queue is None:
            self._prepared = True
            return
        self._preparing = True

        def ready(error: SubscriptionError | None) -> None:
            if session is not self._session:
                return
            self._preparing = False
            if error is not None:
                self.give_up(str(error))
            else:
                self._prepared = True
                self._connection.dirty.add(self)

        session.ensure(self._node.queue, ready)

    def _answered(self, routed: bool) -> None:  # noqa: FBT001 (a callback of one argument)
        self._routed = routed
        self._connection.dirty.add(self)

    def begin_again(self) -> None:
        """The broker took away what was written to: prepare it anew, after a moment."""
        if self._node.queue is not None and self._session is not None:
            self._session.forget_queue(self._node.queue)
        self._prepared = False
        self.wait_before_retry()
        self._connection.dirty.add(self)

    def confirmed(self, send: Send) -> None:
        """The broker has taken a message."""
        if send.unrouted:
            self._refusals = 0
            text = (
                f"{self.destination}: the broker has no queue for it: no listener of it has ever started there. Start "
                "one before sending"
            )
            send.tell(UnroutedError(text))
        else:
            super().confirmed(send)
