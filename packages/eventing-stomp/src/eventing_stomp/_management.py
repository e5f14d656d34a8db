"""Artemis's management over STOMP: questions by SEND, answers by a subscription to a queue of our own.

That queue is a temporary one, and it is there in each generation before anything else, for more than the answers: when
a connection breaks, Artemis 2.44 clears up after it on two threads at once, and what its consumers had out can end
between them, held for nobody until the broker restarts. Where the connection has a temporary queue, one of the two
deletes that first, and the other is done before it comes back (decision 22).
"""

from __future__ import annotations

from uuid import uuid4

from eventing_core.provider.artemis import ADDRESS, SUCCEEDED, Management
from eventing_core.provider.sockets import Loop
from eventing_stomp._errors import is_of_rights
from eventing_stomp._frames import Incoming
from eventing_stomp._generation import StompGeneration

#: Where answers come: an address for each connection begins so.
_REPLIES = "eventing.replies."

#: One refusal may have another reason than that the user lacks the right.
_REFUSALS = 2


class Access:
    """What the user may not do; learnt once for all generations, since a refusal ends the connection.

    Attributes:
        refusals: questions to management that were refused, since one was taken. Artemis doesn't say why.
        temporary: it may have a temporary queue.
    """

    def __init__(self) -> None:
        self.refusals = 0
        self.temporary = True

    @property
    def asking(self) -> bool:
        """It may ask management."""
        return self.refusals < _REFUSALS


class StompManagement(Management):
    """The broker's management, in one generation. The queue for answers is made at once."""

    def __init__(self, generation: StompGeneration, loop: Loop, access: Access) -> None:
        super().__init__(loop)
        self._generation = generation
        self._access = access
        self._replies = f"{_REPLIES}{uuid4().hex}"
        if access.temporary:
            _Replies(self._replies, generation, self)
        if not (access.temporary and access.asking):
            self.deny("refused before")

    def flush(self) -> None:
        """Send what is waiting."""
        while self.waiting:
            call = self.waiting.popleft()
            headers = {
                "destination": ADDRESS,
                "reply-to": self._replies,
                "correlation-id": call.number,
                **call.headers,
            }
            # Without a length it is text, which management wants.
            self._generation.request("SEND", headers, self._sent, call.body.encode())

    def _sent(self, error: str | None) -> None:
        if error is None:
            self._access.refusals = 0
        else:
            self._access.refusals += 1
            self.deny(error)

    def refused(self, error: str) -> None:
        """The user may not have a queue for answers. The connection is over; the next one does without."""
        if is_of_rights(error):
            self._access.temporary = False
        self.deny(error)


class _Replies:
    """The queue for answers: a multicast subscription that isn't durable is a temporary queue."""

    gives_back = False

    def __init__(self, address: str, generation: StompGeneration, management: StompManagement) -> None:
        self.names = frozenset((address,))
        self._management = management
        generation.subscribe(self, {"destination": address, "subscription-type": "MULTICAST", "ack": "auto"})

    def answered(self, subscription: str, error: str | None) -> None:  # noqa: ARG002 (a handler's signature)
        """The queue is there; or the user lacks a right."""
        if error is not None:
            self._management.refused(error)

    def arrived(self, subscription: str, incoming: Incoming) -> None:  # noqa: ARG002 (a handler's signature)
        """An answer came."""
        succeeded = incoming.header(SUCCEEDED.encode()) == "true"
        self._management.answered(incoming.header(b"correlation-id"), incoming.body, succeeded=succeeded)
