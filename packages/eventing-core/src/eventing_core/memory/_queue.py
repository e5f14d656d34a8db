"""What the broker is made of: plain data without locks; the engine guards it."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from eventing_core.provider import Delivery, Destination, Message

if TYPE_CHECKING:
    from eventing_core.memory._connection import Connection
    from eventing_core.memory._consumer import Consumer
    from eventing_core.memory._timer import Alarm
    from eventing_core.provider import Done

#: Deduplication ids remembered per destination, at the least, as Artemis does (``id-cache-size``).
REMEMBERED_IDS = 20_000

#: Ids are forgotten in sets of so many, or of one batch more.
_TOGETHER = 128


class MemoryDelivery(Delivery):
    """A message in a queue. Given back, it becomes a new object, so that an old one never settles a later one."""

    __slots__ = ("content", "position")

    def __init__(self, content: Message, position: int, delivery_count: int = 0) -> None:
        self.content = content
        self.position = position
        self.delivery_count = delivery_count
        self.generation = 0

    def message(self) -> Message:
        """The message as it was sent."""
        return self.content

    def body(self) -> bytes:
        """Its body."""
        return self.content.body


class Queue:
    """One listener's messages, or its dead letters.

    Attributes:
        ready: never given out so far; the last of them has the position ``last``, the one before one less.
        returned: given out and given back: a heap by position. All of it comes before what is ready.
        stored: messages that take up room: here, at consumers and scheduled.
        consumers: those attached, in their order.
        restarts: how many it survived.
        alive: False once it was dropped.
    """

    __slots__ = (
        "alive",
        "consumers",
        "destination",
        "durable",
        "exclusive",
        "last",
        "ready",
        "restarts",
        "returned",
        "stored",
        "turn",
    )

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.durable = destination.durable or destination.kind == "dead"
        self.ready: deque[Message] = deque()
        self.returned: list[tuple[int, MemoryDelivery]] = []
        self.stored = 0
        self.last = 0
        self.turn = 0
        self.restarts = 0
        self.consumers: list[Consumer] = []
        self.exclusive = False
        self.alive = True

    def append(self, messages: Sequence[Message]) -> None:
        """Put messages at the end; the room was taken before."""
        self.ready.extend(messages)
        self.last += len(messages)

    def give_back(self, deliveries: Iterable[MemoryDelivery], *, counted: bool) -> None:
        """Put deliveries back where they came from."""
        for old in deliveries:
            new = MemoryDelivery(old.content, old.position, old.delivery_count + counted)
            heapq.heappush(self.returned, (new.position, new))

    def take(self, count: int) -> list[MemoryDelivery]:
        """Up to that many deliveries from the head."""
        ready, returned = self.ready, self.returned
        batch: list[MemoryDelivery] = []
        while returned and len(batch) < count:
            batch.append(heapq.heappop(returned)[1])
        first = self.last - len(ready) + 1
        some = range(first, first + min(count - len(batch), len(ready)))
        batch += [MemoryDelivery(ready.popleft(), position) for position in some]
        return batch

    def share_out(self) -> list[tuple[Consumer, list[MemoryDelivery]]]:
        """Take what the windows allow: all for one consumer, or for several by turns."""
        consumers = self.consumers
        if not consumers:
            return []
        if len(consumers) == 1 or self.exclusive:
            consumer = consumers[0]
            room = consumer.size - len(consumer.out)
            batch = self.take(room) if room > 0 else []
            return [(consumer, batch)] if batch else []
        turns = self._turns()
        batches: dict[Consumer, list[MemoryDelivery]] = {consumer: [] for consumer in turns}
        for consumer, delivery in zip(turns, self.take(len(turns)), strict=True):
            batches[consumer].append(delivery)
        return list(batches.items())

    def _turns(self) -> list[Consumer]:
        """Whose each of the next deliveries is."""
        consumers = self.consumers
        rooms = {consumer: consumer.size - len(consumer.out) for consumer in consumers}
        count = min(len(self.ready) + len(self.returned), sum(max(0, room) for room in rooms.values()))
        turns: list[Consumer] = []
        while len(turns) < count:
            consumer = consumers[self.turn % len(consumers)]
            self.turn += 1
            if rooms[consumer] > 0:
                rooms[consumer] -= 1
                turns.append(consumer)
        return turns

    def out(self) -> int:
        """Messages at consumers."""
        return sum(len(consumer.out) for consumer in self.consumers)

    def messages(self) -> list[Message]:
        """All that is here and at consumers, by position."""
        found = [delivery for _, delivery in self.returned]
        for consumer in self.consumers:
            found.extend(consumer.out)
        found.sort(key=lambda delivery: delivery.position)
        return [*(delivery.content for delivery in found), *self.ready]

    def drop_volatile(self) -> None:
        """Forget messages that don't survive a restart. Nothing is at consumers any more."""
        before = len(self.ready) + len(self.returned)
        self.ready = deque(message for message in self.ready if message.durable)
        self.returned = [entry for entry in self.returned if entry[1].content.durable]
        heapq.heapify(self.returned)
        self.stored -= before - len(self.ready) - len(self.returned)
        self.restarts += 1


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
        self.queues: list[Queue] = []
        self.refused = False
        self.waiting: deque[Waiting] = deque()
        self._ids: set[str] = set()
        #: The same in sets, in the order of their sends.
        self._order: deque[set[str]] = deque()

    def room(self, limit: int) -> int:
        """Messages that can be added, to each of the queues.

        What is at consumers takes up room as well, but not for a message to one queue alone: such a
        copy replaces one that is at a consumer, and would find no room in a full queue, for ever.
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
