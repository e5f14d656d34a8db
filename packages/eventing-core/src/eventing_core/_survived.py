"""Telling lost connections from crashes: what was out when a connection was lost, and didn't take its process down."""

from __future__ import annotations

from collections.abc import Iterable

from eventing_core.provider import Delivery

#: So many events are remembered; the oldest are forgotten first.
_MANY = 1_000


class Survived:
    """The delivery counts that this process has lost with their connection, and lived.

    Which event a delivery is of is in its message, which may be decoded neither on the provider's thread nor under a
    lock. So what was lost is decoded later: `read`, then `note`. Not thread-safe, but for `read`.
    """

    def __init__(self, least: int) -> None:
        #: Lower counts need no excuse. So one lost connection costs no look into messages.
        self._least = least
        self._counts: dict[str, set[int]] = {}
        self._unread: list[Delivery] = []

    def add(self, lost: Iterable[Delivery]) -> bool:
        """Remember deliveries whose connection is lost; whether there is something to read."""
        self._unread += [delivery for delivery in lost if delivery.delivery_count >= self._least]
        del self._unread[:-_MANY]
        return bool(self._unread)

    def add_known(self, message_id: str, count: int) -> None:
        """Remember one whose message was read before."""
        if message_id and count >= self._least:
            self._counts.setdefault(message_id, set()).add(count)
            while len(self._counts) > _MANY:
                del self._counts[next(iter(self._counts))]

    def read(self) -> list[tuple[Delivery, str]]:
        """Decode what was lost and not read yet, for `note`. Calls `Delivery.message`: hold no lock."""
        return [(delivery, delivery.message().message_id) for delivery in self._unread.copy()]

    def note(self, read: Iterable[tuple[Delivery, str]]) -> None:
        """Take in what was read; several threads may have read the same."""
        noted: set[int] = set()
        for delivery, message_id in read:
            noted.add(id(delivery))
            self.add_known(message_id, delivery.delivery_count)
        if noted:
            self._unread = [delivery for delivery in self._unread if id(delivery) not in noted]

    def crashes(self, message_id: str, count: int) -> int:
        """How often an event was given out before, by the broker's count, as far as that wasn't here."""
        lost = self._counts.get(message_id, ())
        return count - sum(each < count for each in lost)

    def forget(self, message_id: str) -> None:
        """It won't come again."""
        self._counts.pop(message_id, None)
