"""A queue: plain data without locks; the engine guards it."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from eventing_core.provider import Delivery, Destination, Message


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


class Taker(Protocol):
    """Who takes from a queue.

    Attributes:
        size: the window.
        out: delivered and not settled.
    """

    size: int
    out: set[MemoryDelivery]


C = TypeVar("C", bound=Taker)


class Queue(Generic[C]):
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
        self.consumers: list[C] = []
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

    def share_out(self) -> list[tuple[C, list[MemoryDelivery]]]:
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
        batches: dict[C, list[MemoryDelivery]] = {consumer: [] for consumer in turns}
        for consumer, delivery in zip(turns, self.take(len(turns)), strict=True):
            batches[consumer].append(delivery)
        return list(batches.items())

    def _turns(self) -> list[C]:
        """Whose each of the next deliveries is."""
        consumers = self.consumers
        rooms = {consumer: consumer.size - len(consumer.out) for consumer in consumers}
        count = min(len(self.ready) + len(self.returned), sum(max(0, room) for room in rooms.values()))
        turns: list[C] = []
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
