"""Telling the provider the window: the newest last, by one thread at a time, whatever the provider does."""

from __future__ import annotations

from eventing_core._credit import Credit
from tests.support.dispatching import Recorder


def test_news_that_come_while_it_is_told_are_told_after_it() -> None:
    class Slow(Recorder):
        def window(self, size: int) -> None:
            sizes.append(size + 1)
            if len(sizes) < 4:
                credit.give(self)  # as another thread would meanwhile: it returns at once
            super().window(size)

    sizes, broker = [1], Slow()
    credit = Credit(lambda: sizes[-1], "it")
    credit.give(broker)
    assert broker.windows == [1, 2, 3]
    credit.give(broker)
    assert broker.windows == [1, 2, 3, 4]


def test_a_provider_that_raises_is_told_of_and_told_the_window_again() -> None:
    class Broken(Recorder):
        def window(self, size: int) -> None:
            if size == 1:
                msg = "no window"
                raise ValueError(msg)
            super().window(size)

    size, broker = 1, Broken()
    credit = Credit(lambda: size, "it")
    credit.give(broker)
    assert credit.flaw == "the provider failed to set the window: ValueError: no window"
    size = 2
    credit.give(broker)
    assert (credit.flaw, broker.windows) == ("", [2])


def test_a_child_waits_for_no_lock_of_its_parent() -> None:
    credit = Credit(lambda: 1, "it")
    credit._lock.acquire()
    credit.abandon()
    assert credit._lock.acquire(blocking=False)
