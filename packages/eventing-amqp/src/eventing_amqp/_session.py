"""Queues that are made without management, over AMQP."""

from __future__ import annotations

from collections.abc import Callable

from eventing_amqp._generation import AmqpGeneration
from eventing_core.errors import SubscriptionError
from eventing_core.provider.artemis import Artemis, ArtemisSession, Management, Queue, Ready, Warned, of_refusal


class AmqpSession(ArtemisSession):
    """The broker's queues and addresses, in one generation."""

    def __init__(self, generation: AmqpGeneration, management: Management, model: Artemis, warned: Warned) -> None:
        super().__init__(management, model, warned)
        self._generation = generation
        self._held: set[str] = set()

    def make_by_attaching(self, queue: Queue, ready: Ready) -> None:
        """Attach a receiver without credit, which stays: a broker may remove queues that nobody consumes."""
        if queue.name in self._held:
            ready(None)
        else:
            self._held.add(queue.name)
            _Attachment(self._generation, queue, ready, lambda: self._lost(queue))

    def _lost(self, queue: Queue) -> None:
        self._held.discard(queue.name)
        self.forget_queue(queue)


class _Attachment:
    def __init__(self, generation: AmqpGeneration, queue: Queue, ready: Ready, lost: Callable[[], None]) -> None:
        self._queue = queue
        self._ready: Ready | None = ready
        self._lost = lost
        generation.receiver(queue.address, "queue", self)

    def opened(self) -> None:
        self._tell(None)

    def flowed(self) -> None:
        pass

    def arrived(self) -> None:
        pass

    def closed(self, condition: tuple[str, str] | None) -> None:
        self._lost()
        self._tell(of_refusal(self._queue, *(condition or ("", ""))))

    def _tell(self, error: SubscriptionError | None) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready(error)
