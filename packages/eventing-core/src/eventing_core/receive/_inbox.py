"""Deliveries whose messages have to be read before the machine is told of them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence

from eventing_core.provider import Delivery
from eventing_core.receive._facts import facts_of
from eventing_core.receive.machine._actions import Facts


class Inbox:
    """Batches in their order. The shell calls it with its lock; one thread reads.

    Attributes:
        batches: what is to be read, or comes behind that.
    """

    def __init__(self) -> None:
        self.batches: deque[Sequence[Delivery]] = deque()

    @property
    def first(self) -> Sequence[Delivery] | None:
        """The batch that is to be read next, or is being read."""
        return self.batches[0] if self.batches else None

    def put(self, batch: Sequence[Delivery]) -> None:
        """Take a batch."""
        self.batches.append(batch)

    def take(self) -> None:
        """The first batch was read."""
        if self.batches:
            self.batches.popleft()

    def clear(self) -> None:
        """In a child after a fork."""
        self.batches.clear()


def read(batch: Sequence[Delivery], *, everything: bool) -> list[tuple[Delivery, Facts]]:
    """The facts of what was given out before, or of everything; in no order.

    So of deliveries that may have killed together none comes behind the same one again and again.
    """
    facts = [(each, _facts_of(each)) for each in batch if everything or each.delivery_count]
    random.shuffle(facts)
    return facts


def _facts_of(delivery: Delivery) -> Facts:
    try:
        return facts_of(delivery)
    except BaseException:  # noqa: BLE001 (it raises again, and is reported, when it is run)
        return Facts(count=delivery.delivery_count)
