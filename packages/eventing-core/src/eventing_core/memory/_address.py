"""Where messages are sent to: plain data without locks; the engine guards it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from eventing_core.memory._connection import Connection, Consumer
from eventing_core.memory._queue import Queue
from eventing_core.provider import Destination, Done, Message
from eventing_core.provider._timer import Alarm

#: Deduplication ids remembered per destination, at the least, as Artemis does (``id-cache-size``).
REMEMBERED_IDS = 20_000

#: Ids are forgotten in sets of so many, or of one batch more.
_TOGETHER = 128


class Waiting:
    """A batch of which something waits for room, in the order of its address."""

    __slots__ = ("alarm", "batch", "connection", "deadline", "delay", "done", "next")

    def __init__(
        self, connection: Connection, batch: Sequence[Message], done: Done, deadline: float, delay: float
    ) -> None:
        self.connection = connection
        self.batch = batch
        self.done = done
        self.deadline = deadline
        self.delay = delay
        self.next = 0
        self.alarm: Alarm | None = None


class Address:
    """Where messages are sent to.

    Attributes:
        queues: a message goes to all of them.
        refused: sends are refused.
        waiting: batches for which there was no room yet, in their order.
    """

    __slots__ = ("_copies", "_ids", "_order", "destination", "queues", "refused", "waiting")

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._copies = destination.kind == "queue"
        self.queues: list[Queue[Consumer]] = []
        self.refused = False
        self.waiting: deque[Waiting] = deque()
        self._ids: set[str] = set()
        #: The same in sets, in the order of their sends.
        self._order: deque[set[str]] = deque()

    def room(self, limit: int) -> int:
        """Messages that can be added, to each of the queues.

        What is at consumers takes up room as well, but not for a message to one queue alone: such a
        copy replaces one that is at a consumer, and would find no room in a full queue, forever.
        """
        room = limit
        for queue in self.queues:
            left = limit - queue.stored
            if self._copies:
                left += queue.out()
            room = min(left, room)
        return room

    def without_duplicates(self, batch: Sequence[Message]) -> Sequence[Message]:
        """What was not sent here before; it is remembered."""
        ids = self._ids
        new = {message.dedup_id for message in batch}
        if len(new) < len(batch) or "" in new or not new.isdisjoint(ids):
            batch, new = self._one_by_one(batch)
        if new:
            ids |= new
            if self._order and len(self._order[-1]) < _TOGETHER:
                self._order[-1] |= new
            else:
                self._order.append(new)
            while len(ids) - len(self._order[0]) >= REMEMBERED_IDS:
                ids -= self._order.popleft()
        return batch

    def _one_by_one(self, batch: Sequence[Message]) -> tuple[Sequence[Message], set[str]]:
        """What was not sent here before, and its ids."""
        ids, new = self._ids, set[str]()
        fresh: list[Message] = []
        for message in batch:
            dedup_id = message.dedup_id
            if not dedup_id:
                fresh.append(message)
            elif dedup_id not in ids and dedup_id not in new:
                new.add(dedup_id)
                fresh.append(message)
        return fresh, new
