"""Who may run, of dispatchers that share one limit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from eventing_core._health import StuckRun
from eventing_core._shared_limit import SharedLimit, Sharer


class Queue(Sharer):
    """Claims as a dispatcher does: as much as it has work for."""

    def __init__(self, limit: SharedLimit, concurrency: int) -> None:
        self.limit = limit
        self.concurrency = concurrency
        self.tokens = 0
        self.work = 0

    def more(self, work: int) -> None:
        self.work += work
        wanted = min(self.work, self.concurrency) - self.tokens
        if wanted:
            self.tokens += self.limit.claim(self, wanted)

    def finish(self) -> None:
        """One run ends, and leaves its token to whom it is due."""
        self.work -= 1
        self.tokens -= 1
        self.limit.give_back()
        self.more(0)

    def has_turn(self) -> None:
        self.more(0)
        self.limit.decline(self)

    def stuck(self, since: float) -> tuple[StuckRun, ...]:
        return ()


Later = deque[Callable[[], None]]


def made(size: int, count: int) -> tuple[list[Queue], Later]:
    later: Later = deque()
    limit = SharedLimit(size, later.append)
    return [Queue(limit, size) for _ in range(count)], later


def test_no_more_than_there_are() -> None:
    (one, two), later = made(3, 2)
    one.more(2)
    two.more(2)
    assert (one.tokens, two.tokens) == (2, 1)
    assert not later
    assert one.limit.is_wanted


def test_a_token_goes_to_who_waits_even_if_another_one_is_quicker() -> None:
    (one, two), later = made(1, 2)
    one.more(5)
    two.more(5)
    one.finish()
    assert (one.tokens, two.tokens) == (0, 0)  # it is kept
    later.popleft()()
    assert (one.tokens, two.tokens) == (0, 1)
    two.finish()
    later.popleft()()
    assert (one.tokens, two.tokens) == (1, 0)


def test_who_needs_it_no_more_declines() -> None:
    (one, two, three), later = made(1, 3)
    one.more(2)
    two.more(1)
    three.more(1)
    two.work = 0  # taken back by a lost connection, say
    one.finish()
    later.popleft()()
    later.popleft()()
    assert (one.tokens, two.tokens, three.tokens) == (0, 0, 1)
    two.limit.decline(two)  # nothing is kept for it
    assert not later


def test_what_is_declined_by_all_is_free() -> None:
    (one, two), later = made(1, 2)
    one.more(1)
    two.more(1)
    two.work = 0
    one.finish()
    later.popleft()()
    assert not two.limit.is_wanted
    one.more(1)
    assert one.tokens == 1


def test_in_a_child_after_a_fork_nobody_waits_for_a_lock() -> None:
    (one, _), later = made(1, 2)
    one.more(1)
    one.limit._lock.acquire()  # another thread had it
    one.limit.abandon()
    one.limit.give_back()
    assert not later


def test_a_closed_event_loop_is_no_matter() -> None:
    def closed(_: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    limit = SharedLimit(1, closed)
    one, two = Queue(limit, 1), Queue(limit, 1)
    one.more(1)
    two.more(1)
    one.finish()


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(0, 1000), max_size=200))
def test_never_more_than_the_limit_and_nobody_is_forgotten(size: int, count: int, steps: list[int]) -> None:
    queues, later = made(size, count)

    def check() -> None:
        assert sum(queue.tokens for queue in queues) <= size

    for step in steps:
        queue = queues[step % count]
        action = step // count % 4
        if action == 0:
            queue.more(1 + step % 3)
        elif action == 1 and queue.tokens:
            queue.finish()
        elif action == 2 and later:
            later.popleft()()
        elif action == 3:
            queue.work = queue.tokens  # what had not begun is gone
        check()
    for _ in range(10_000):
        while later:
            later.popleft()()
            check()
        running = [queue for queue in queues if queue.tokens]
        if not running:
            break
        running[0].finish()
        check()
    assert all(queue.work == 0 for queue in queues)
    # And all tokens are free again.
    queues[0].more(size)
    assert queues[0].tokens == size
