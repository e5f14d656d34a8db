"""Where deliveries are: in the queue, in one of the listener's slots, or returned; and what slots are lent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, cast

from eventing_core.receive.machine._actions import D, Rules
from eventing_core.receive.machine._cases import Case, Cases
from eventing_core.receive.machine._limit import Share
from eventing_core.receive.machine._runs import Run
from eventing_core.receive.machine._states import DeliveryState


class Slots(Generic[D]):
    """The places of the living generation's deliveries. A delivery that is also in `cases` has its state there.

    Attributes:
        queue: what waits for a slot.
        runs: what is in a slot.
        returned: what has returned and is not accepted yet.
        busy: slots in use, by runs of ended generations as well.
        share: of the limit that other machines share; None without.
        following: whose turn it is, now that slots were given back.
    """

    __slots__ = ("_concurrency", "_lease", "busy", "cases", "following", "queue", "returned", "runs", "share")

    def __init__(self, rules: Rules, share: Share | None = None) -> None:
        self.share = share
        self.following: list[Share] = []
        self._concurrency, self._lease = rules.concurrency, rules.lease
        self.cases: Cases[D] = Cases()
        self.queue: deque[D | Case[D]] = deque()
        self.runs: list[Run[D]] = []
        self.returned: list[D] = []
        self.busy = 0

    @property
    def is_free(self) -> bool:
        """One more may run."""
        return self.busy < self._concurrency

    def begin(self, run: Run[D]) -> Run[D]:
        """Put a run into a slot."""
        self.busy += 1
        if self.share is not None:
            self.share.take()
        self.runs.append(run)
        if run.case is not None:
            self.cases.move(run.case, DeliveryState.RUNNING)
        return run

    def end(self, run: Run[D]) -> bool:
        """Its slot is free again; whether it belongs to the living generation."""
        self.busy -= 1
        if self.share is not None and (following := self.share.give_back()) is not None:
            self.following.append(following)
        if run not in self.runs:
            return False
        self.runs.remove(run)
        return True

    def lend(self, run: Run[D]) -> bool:
        """Lend a run its share of the queue, up to the first delivery with a story; whether there was any."""
        queue, further = self.queue, []
        take = queue.popleft
        if not self.cases.known:
            further = [take() for _ in range(min(self._lease, len(queue) // self._concurrency))]
        else:
            while queue and len(further) < self._lease and not isinstance(queue[0], Case):
                further.append(take())
        if further:
            run.returned, run.further = deque(), cast("deque[D]", deque(further))
        return bool(further)

    def recall(self) -> int:
        """Take back what is lent and not begun, and take over what has returned; how much that is."""
        count = 0
        for run in self.runs:
            further = run.further
            try:
                while further:
                    self.queue.appendleft(further.pop())
            except IndexError:  # the shell took the last one just now
                pass
            count += self.collect(run)
        return count

    def collect(self, run: Run[D]) -> int:
        """Take over what has returned of a run's lease; how much that is."""
        count = len(run.returned)
        for _ in range(count):
            self.returned.append(run.returned.popleft())
        return count

    def clear(self) -> Iterator[Case[D]]:
        """Forget everything, but for the slots in use; the cases that there were."""
        self.queue.clear()
        self.runs.clear()
        self.returned.clear()
        return iter(self.cases)

    def state_of(self, delivery: D) -> DeliveryState | None:
        """Where a delivery is; None when it is settled, left or void. A lent one counts as queued."""
        case = self.cases.of(delivery)
        if case is not None:
            return case.state
        if any(run.delivery is delivery for run in self.runs):
            return DeliveryState.RUNNING
        lent, returned = [*self.queue], [*self.returned]
        for run in self.runs:
            lent += run.further
            returned += run.returned
        if any(each is delivery for each in returned):
            return DeliveryState.RETURNED
        return DeliveryState.QUEUED if any(each is delivery for each in lent) else None
