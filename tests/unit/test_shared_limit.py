"""Who may run, of machines that share one limit."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from eventing_core.receive.machine._limit import Limit, Share


class Queue:
    """Takes slots as a machine does: as many as it has work for."""

    def __init__(self, limit: Limit, concurrency: int, later: deque[Queue]) -> None:
        self.share = Share(limit)
        self.share.wake = lambda: later.append(self)
        self.concurrency = concurrency
        self.slots = 0
        self.work = 0

    def more(self, work: int) -> None:
        self.work += work
        while self.slots < min(self.work, self.concurrency) and self.share.may_begin():
            self.share.take()
            self.slots += 1

    def finish(self) -> None:
        """One run ends, and leaves its slot to whom it is due."""
        self.work -= 1
        self.slots -= 1
        self.wake(self.share.give_back())
        self.more(0)

    def turn(self) -> None:
        self.share.is_turn = True
        self.more(0)
        self.wake(self.share.decline())

    @staticmethod
    def wake(following: Share | None) -> None:
        if following is not None:
            following.wake()


def made(size: int, count: int) -> tuple[list[Queue], Limit, deque[Queue]]:
    later: deque[Queue] = deque()
    limit = Limit(size)
    return [Queue(limit, size, later) for _ in range(count)], limit, later


def test_no_more_than_there_are() -> None:
    (one, two), limit, later = made(3, 2)
    one.more(2)
    two.more(2)
    assert (one.slots, two.slots, limit.free) == (2, 1, 0)
    assert not later
    assert two.share.is_waiting
    assert not one.share.is_waiting


def test_a_slot_goes_to_who_waits_even_if_another_one_is_quicker() -> None:
    (one, two), _, later = made(1, 2)
    one.more(5)
    two.more(5)
    one.finish()
    assert (one.slots, two.slots) == (0, 0)  # it is kept
    later.popleft().turn()
    assert (one.slots, two.slots) == (0, 1)
    two.finish()
    later.popleft().turn()
    assert (one.slots, two.slots) == (1, 0)


def test_who_needs_it_no_more_declines() -> None:
    (one, two, three), _, later = made(1, 3)
    one.more(2)
    two.more(1)
    three.more(1)
    two.work = 0  # taken back by a lost connection, say
    one.finish()
    later.popleft().turn()
    later.popleft().turn()
    assert (one.slots, two.slots, three.slots) == (0, 0, 1)
    assert two.share.decline() is None  # nothing is kept for it
    assert not later


def test_what_is_declined_by_all_is_free() -> None:
    (one, two), limit, later = made(1, 2)
    one.more(1)
    two.more(1)
    two.work = 0
    one.finish()
    later.popleft().turn()
    assert limit.free == 1
    one.more(1)
    assert one.slots == 1


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(0, 1000), max_size=200))
def test_never_more_than_the_limit_and_nobody_is_forgotten(size: int, count: int, steps: list[int]) -> None:
    queues, limit, later = made(size, count)

    def check() -> None:
        kept = sum(queue.share.is_kept for queue in queues)
        assert sum(queue.slots for queue in queues) + kept + limit.free == size
        assert not (limit.free and limit.line)

    for step in steps:
        queue = queues[step % count]
        action = step // count % 4
        if action == 0:
            queue.more(1 + step % 3)
        elif action == 1 and queue.slots:
            queue.finish()
        elif action == 2 and later:
            later.popleft().turn()
        elif action == 3:
            queue.work = queue.slots  # what had not begun is gone
        check()
    for _ in range(10_000):
        while later:
            later.popleft().turn()
            check()
        running = [queue for queue in queues if queue.slots]
        if not running:
            break
        running[0].finish()
        check()
    assert all(queue.work == 0 for queue in queues)
    assert limit.free == size
