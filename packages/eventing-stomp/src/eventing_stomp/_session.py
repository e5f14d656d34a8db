"""Queues that are made without management, over STOMP."""

from __future__ import annotations

from eventing_core.provider.artemis import Artemis, ArtemisSession, Management, Queue, Ready, Warned, of_refusal
from eventing_stomp._frames import Incoming
from eventing_stomp._generation import StompGeneration


class StompSession(ArtemisSession):
    """The broker's queues and addresses, in one generation."""

    delays_redelivery = True

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
        self._ready = ready
        self.names = frozenset((queue.name, queue.address))
        headers = {
            "destination": queue.address,
            "subscription-type": queue.routing,
            "ack": "client-individual",
            "consumer-window-size": "0",
        }
        generation.unsubscribe(generation.subscribe(self, headers))

    def answered(self, subscription: str, error: str | None) -> None:  # noqa: ARG002 (a handler's signature)
        self._ready(None if error is None else of_refusal(self._queue, "", error))

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """It goes back with the subscription."""
