"""What is to be done before anything is written to an address."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from typing import TypeVar

from eventing_core.errors import SendRejectedError, SubscriptionError, UnroutedError
from eventing_core.provider.artemis._address import Node
from eventing_core.provider.artemis._address_settings import Use
from eventing_core.provider.artemis._management import Reply, found_any
from eventing_core.provider.artemis._session import ArtemisSession
from eventing_core.provider.sockets import Generation, Send, SocketProducer

G = TypeVar("G", bound=Generation)

#: How long a queue for copies is taken to be as it was seen, in seconds: nobody notifies that it was disabled or given
#: a filter, or that its address now drops what it confirms.
_HOLDS = 4.0

_DROPS = "the address has the address-full-policy DROP: the broker confirms messages that it drops"


class ArtemisProducer(SocketProducer[G, ArtemisSession]):
    """Before it writes, it creates the destination queue, or checks that a topic has queues."""

    _node: Node
    _prepared = False
    _preparing = False
    #: When, by `time.monotonic`.
    _prepared_at = 0.0
    #: Where the queue's address is full, the broker confirms what it drops (``address-full-policy`` DROP, or
    #: ``page-full-policy`` DROP).
    _drops = False
    #: The topic had no queue a moment ago, which holds for one round of writing.
    _unrouted = False

    @abstractmethod
    def can_write(self, generation: G) -> bool:
        """Whether the broker accepts messages now; `flush` is called again when that changes."""

    @abstractmethod
    def write(self, generation: G, *, unrouted: bool) -> None:
        """Write what the broker accepts."""

    @abstractmethod
    def filter_of(self, data: bytes) -> str:
        """An Artemis filter that selects an encoded message in its queue."""

    def reset(self) -> None:
        """Prepare again."""
        self._prepared = self._preparing = self._drops = False
        self._unrouted = False
        if self._session is not None:
            self._node = self._session.node(self.destination)

    def flush(self) -> None:
        """Write what the broker accepts, once the destination is prepared."""
        generation, session = self._generation, self._session
        if not self._waiting or generation is None or session is None or self.must_wait():
            return
        if self._prepared and self._node.queue is not None and self._is_outdated(session):
            session.look_again(self._node.queue)
            self._prepared = False
        if not self._prepared:
            self._prepare(session)
        if not self._prepared or not self.can_write(generation):
            return
        if self._drops:
            self._flush_verified(generation)
            return
        topic = self._node.topic
        routed = not topic or session.routes.has(topic)
        if not routed and not self._unrouted:
            session.routes.ask(topic, self._answered)
            return
        self._unrouted = False
        self.write(generation, unrouted=not routed)

    def _is_outdated(self, session: ArtemisSession) -> bool:
        """Whether the queue may be another by now, and can be looked at."""
        return time.monotonic() - self._prepared_at > _HOLDS and not session.management.denied

    def _prepare(self, session: ArtemisSession) -> None:
        if self._preparing:
            return
        if self._node.queue is None:
            session.warn_of_settings(self._node.address, Use("sent"))
            self._prepared = True
            return
        self._preparing = True
        queue = self._node.queue

        def ready(error: SubscriptionError | None) -> None:
            if session is not self._session:
                return
            if error is not None:
                self._preparing = False
                self.give_up(str(error))
            else:
                session.ask_whether_it_drops(queue.address, told)

        def told(drops: bool) -> None:  # noqa: FBT001 (a callback of one argument)
            if session is self._session:
                self._preparing = False
                self._prepared = True
                self._prepared_at = time.monotonic()
                self._drops = drops
                self._connection.dirty.add(self)

        session.ensure(queue, ready)

    def _flush_verified(self, generation: G) -> None:
        """Write to a queue whose address drops what it confirms; dead letters are looked for before they count."""
        if self.destination.kind == "dead":
            # Not to be told by the confirmation alone.
            self.write(generation, unrouted=True)
            return
        # Who consumes from this queue may have taken it before anyone can look.
        refused, self._waiting = self._waiting, deque()
        text = f"{self.destination}: {_DROPS}, so that a copy in the listener's own queue could be lost"
        for send in refused:
            send.tell(SendRejectedError(text, in_doubt=send.in_doubt, permanent=True))

    def _look_for(self, send: Send) -> None:
        """Tell of a send when it was seen in its queue."""
        generation, session, queue = self._generation, self._session, self._node.queue
        if generation is None or session is None or queue is None:
            return
        # As if it had no answer yet: it has the same deadline, and is sent again after a loss.
        place = object()
        generation.sends[place] = send

        def told(reply: Reply) -> None:
            if generation.sends.pop(place, None) is None:
                return
            if reply.kind == "done" and found_any(reply.value):
                super(ArtemisProducer, self).confirmed(send)
            elif reply.kind == "done":
                text = f"{self.destination}: {_DROPS}; it is full, and the message was not stored"
                send.tell(SendRejectedError(text, in_doubt=send.in_doubt))
            else:
                text = f"{self.destination}: {_DROPS}, and it can't be verified that the message was stored"
                send.tell(SendRejectedError(text, in_doubt=True))

        # Unlike the count, browsing sees the whole queue.
        session.management.call(f"queue.{queue.name}", "browse", (1, 1, self.filter_of(send.data)), told)

    def _answered(self, routed: bool) -> None:  # noqa: FBT001 (a callback of one argument)
        self._unrouted = not routed
        self._connection.dirty.add(self)

    def prepare_again(self) -> None:
        """The destination may no longer exist: prepare it again before the next message."""
        if self._node.queue is not None and self._session is not None:
            self._session.forget_queue(self._node.queue)
        self._prepared = False

    def begin_again(self) -> None:
        """The broker removed the destination: prepare it again, after a short wait."""
        self.prepare_again()
        self.wait_before_retry()
        self._connection.dirty.add(self)

    def confirmed(self, send: Send) -> None:
        """The broker has confirmed a message."""
        if self._drops:
            self._look_for(send)
        elif send.unrouted:
            self._refusals = 0
            text = (
                f"{self.destination}: the broker has no queue for it: no listener of it has ever started there. Start "
                "one before sending"
            )
            send.tell(UnroutedError(text))
        else:
            super().confirmed(send)
