"""Telling lost connections from crashes: what was out when a connection was lost, and didn't take its process down."""

from __future__ import annotations

from collections.abc import Iterable

from eventing_core.provider import Delivery

#: So many events are remembered; the oldest are forgotten first.
_MANY = 1_000


class Survived:
    """The delivery counts that this process has lost with their connection, and lived. Not thread-safe."""

    def __init__(self, least: int) -> None:
        #: Lower counts need no excuse. So one lost connection costs no look into messages.
        self._least = least
        self._counts: dict[str, set[int]] = {}

    def add(self, lost: Iterable[Delivery]) -> None:
        """Remember deliveries whose connection is lost."""
        for delivery in lost:
            if delivery.delivery_count >= self._least and (message_id := delivery.message().message_id):
                self._counts.setdefault(message_id, set()).add(delivery.delivery_count)
        while len(self._counts) > _MANY:
            del self._counts[next(iter(self._counts))]

    def crashes(self, delivery: Delivery) -> int:
        """How often it was given out before, as far as that wasn't here."""
        lost = self._counts.get(delivery.message().message_id, ())
        return delivery.delivery_count - sum(count < delivery.delivery_count for count in lost)

    def forget(self, settled: Iterable[Delivery]) -> None:
        """They won't come again."""
        if self._counts:
            for delivery in settled:
                if delivery.delivery_count >= self._least:
                    self._counts.pop(delivery.message().message_id, None)
