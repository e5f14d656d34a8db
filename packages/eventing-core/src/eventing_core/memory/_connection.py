"""What the broker knows of one provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventing_core.memory._consumer import Consumer
    from eventing_core.provider import Observer


class Connection:
    """One provider's connection, through its generations. The engine's lock guards it.

    Attributes:
        generation: rises with each reconnect.
        open: False once it was closed: sends are refused.
        pending: batches that wait for room.
        consumers: in the order of their subscription.
    """

    __slots__ = ("consumers", "generation", "observer", "open", "pending")

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.generation = 1
        self.open = True
        self.pending = 0
        self.consumers: list[Consumer] = []
