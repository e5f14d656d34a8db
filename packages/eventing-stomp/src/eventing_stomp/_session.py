"""Queues that are made without management, over STOMP."""

from __future__ import annotations

from eventing_core.errors import SubscriptionError
from eventing_core.provider.artemis import Artemis, ArtemisSession, Management, Queue, Ready, Warned, of_refusal
from eventing_core.provider.sockets import next_number
from eventing_stomp._frames import Incoming, frame
from eventing_stomp._generation import StompGeneration


class StompSession(ArtemisSession):
    """The broker's queues and addresses, in one generation."""

    def __init__(self, generation: StompGeneration, management: Management, model: Artemis, warned: Warned) -> None:
        super().__init__(management, model, warned)
        self._generation = generation

    def make_by_attaching(self, queue: Queue, ready: Ready) -> None:
        """Subscribe, for a moment: a STOMP subscription can't be without messages."""
        _Attachment(self._generation, queue, ready)


class _Attachment:
    gives_back = False

    def __init__(self, generation: StompGeneration, queue: Queue, ready: Ready) -> None:
        self._queue = queue
        self.address = queue.address
        self._ready: Ready | None = ready
        self._id = str(next_number())
        self._generation = generation
        generation.subscriptions[self._id] = self
        receipt = f"subscribed-{self._id}"
        generation.receipts[receipt] = self._answered
        headers = {
            "destination": queue.address,
            "subscription-type": queue.routing,
            "id": self._id,
            "ack": "client-individual",
            "consumer-window-size": "0",
            "receipt": receipt,
        }
        generation.put(frame("SUBSCRIBE", headers))
        generation.put(frame("UNSUBSCRIBE", {"id": self._id}))

    def _answered(self, error: str | None) -> None:
        if error is None:
            self._tell(None)
        else:
            self.blamed(SubscriptionError(error))

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """It goes back with the subscription."""

    def blamed(self, error: SubscriptionError) -> None:
        self._tell(of_refusal(self._queue, "", str(error)))

    def _tell(self, error: SubscriptionError | None) -> None:
        self._generation.subscriptions.pop(self._id, None)
        ready, self._ready = self._ready, None
        if ready is not None:
            ready(error)
