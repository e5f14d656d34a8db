"""Calls at a later time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from eventing_core.provider._timer import _MANY, Timer
from tests.support.waiting import until


@pytest.fixture(params=[False, True], ids=["eager", "lazy"])
def timer(request: pytest.FixtureRequest) -> Iterator[Timer]:
    timer = Timer("test", is_lazy=request.param)
    yield timer
    timer.stop()


def test_it_calls_in_the_order_of_time_and_of_asking(timer: Timer):
    called: list[int] = []
    now = time.monotonic()
    timer.call_at(now + 0.02, lambda: called.append(2))
    timer.call_later(0.0, lambda: called.append(0))
    timer.call_at(now + 0.02, lambda: called.append(3))
    timer.call_at(now + 0.01, lambda: called.append(1))
    timer.start()
    until(lambda: len(called) == 4, "all of them", 5)
    assert called == [0, 1, 2, 3]


def test_what_is_cancelled_is_not_called(timer: Timer):
    called: list[int] = []
    alarm = timer.call_at(0.0, lambda: called.append(1))
    timer.cancel(alarm)
    timer.cancel(alarm)
    timer.call_later(0.0, lambda: called.append(2))
    timer.start()
    until(lambda: bool(called), "the other one", 5)
    assert called == [2]


def test_many_that_are_cancelled_take_no_memory(timer: Timer):
    kept = timer.call_at(time.monotonic() + 1000, lambda: None)
    alarms = [timer.call_at(time.monotonic() + 1000, lambda: None) for _ in range(3 * _MANY)]
    for alarm in alarms:
        timer.cancel(alarm)
    assert len(timer._heap) < 2 * _MANY
    assert any(entry[3] is kept for entry in timer._heap)


def test_what_comes_while_it_rests_is_called_once_it_starts_again(timer: Timer):
    called = threading.Event()
    timer.start()
    timer.call_at(time.monotonic() + 1000, lambda: None)
    thread = timer.rest()
    assert thread is not None
    thread.join(5)
    timer.call_later(0.0, called.set)
    assert not timer.is_started
    timer.start()
    assert called.wait(5)


def test_once_stopped_it_calls_nothing_and_never_starts_again(timer: Timer):
    called = threading.Event()
    timer.start()
    timer.call_at(time.monotonic() + 1000, called.set)
    timer.stop()
    assert not timer._heap
    timer.call_later(0.0, called.set)
    timer.start()
    timer.rest()
    assert not timer._heap
    assert not called.is_set()


def test_a_lazy_one_has_a_thread_when_there_is_something_to_wait_for():
    eager, lazy = Timer("eager"), Timer("lazy", is_lazy=True)
    eager.start()
    lazy.start()
    assert (eager.is_started, lazy.is_started) == (True, False)
    lazy.call_at(time.monotonic() + 1000, lambda: None)
    assert lazy.is_started
    eager.stop()
    lazy.stop()


def test_a_call_that_raises_does_not_keep_the_next_from_being_made(timer: Timer, caplog: pytest.LogCaptureFixture):
    called = threading.Event()

    def raises() -> None:
        raise RuntimeError

    with caplog.at_level(logging.ERROR, logger="eventing"):
        timer.call_later(0.0, raises)
        timer.call_later(0.0, called.set)
        timer.start()
        assert called.wait(5)
    assert "unexpected error in the timer" in caplog.text
