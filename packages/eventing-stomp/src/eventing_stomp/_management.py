"""Artemis's management over STOMP: questions by SEND, answers by a subscription to a queue of our own."""

from __future__ import annotations

import json
from uuid import uuid4

from eventing_core.errors import SubscriptionError
from eventing_core.provider.artemis import ADDRESS, SUCCEEDED, Management, Queue
from eventing_core.provider.sockets import Loop, next_number
from eventing_stomp._frames import Incoming, frame
from eventing_stomp._generation import StompGeneration

#: Where answers come: one address for all, and a queue for each connection, which goes when nobody consumes from it.
_REPLIES = "eventing.replies"


class Access:
    """Whether the user may ask; learnt once for all generations, since a refusal ends the connection.

    Attributes:
        denied: it may not.
    """

    def __init__(self) -> None:
        self.denied = False


class StompManagement(Management):
    """The broker's management, in one generation. The queue for answers is made with the first question.

    Attributes:
        address: the management's.
    """

    address = ADDRESS

    def __init__(self, generation: StompGeneration, loop: Loop, access: Access) -> None:
        super().__init__(loop)
        self._generation = generation
        self._access = access
        self._replies = ""
        if access.denied:
            self.deny("refused before")

    def flush(self) -> None:
        """Send what is waiting."""
        if not self._replies:
            self._begin()
        while self.waiting:
            call = self.waiting.popleft()
            self._send({**call.headers, "reply-to": self._replies, "correlation-id": call.number}, call.body)

    def _begin(self) -> None:
        """Make a queue for the answers, by management itself, and subscribe to it. Carried out in this order."""
        queue = Queue(name=f"{_REPLIES}.{uuid4().hex}", address=_REPLIES, anycast=True, single=True, expiry=0)
        self._replies = f"{_REPLIES}::{queue.name}"
        create = {"_AMQ_ResourceName": "broker", "_AMQ_OperationName": "createQueue"}
        self._send(create, json.dumps([queue.configuration(), True]))
        subscription = str(next_number())
        self._generation.subscriptions[subscription] = self
        headers = {
            "destination": self._replies,
            "subscription-type": "ANYCAST",
            "id": subscription,
            "ack": "auto",
            "receipt": f"replies-{subscription}",
        }
        self._generation.receipts[f"replies-{subscription}"] = self._refused_or_not
        self._generation.put(frame("SUBSCRIBE", headers))

    def _send(self, headers: dict[str, str], body: str) -> None:
        receipt = f"asked-{next_number()}"
        self._generation.receipts[receipt] = self._refused_or_not
        # Without a length it is text, which management wants.
        self._generation.put(frame("SEND", {"destination": ADDRESS, "receipt": receipt, **headers}, body.encode()))

    def _refused_or_not(self, error: str | None) -> None:
        if error is not None:
            self.blamed(SubscriptionError(error))

    def blamed(self, error: SubscriptionError) -> None:
        """The user may not ask. The connection is over; the next one asks no more."""
        self._access.denied = True
        self.deny(error)

    def arrived(self, subscription: str, incoming: Incoming) -> None:  # noqa: ARG002 (a handler's signature)
        """An answer came."""
        succeeded = incoming.header(SUCCEEDED.encode()) == "true"
        self.answered(incoming.header(b"correlation-id"), incoming.body, succeeded=succeeded)
