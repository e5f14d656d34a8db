"""Waiting for signals, on this process's own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from eventing_core.runtime._signals import SignalWaiter
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def taken() -> Iterator[list[int]]:
    """Signals that come to the handlers from before."""
    numbers: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: numbers.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)
    assert signal.set_wakeup_fd(-1) == -1


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_the_first_signal_ends_the_wait_and_the_second_goes_where_it_went_before(taken: list[int]) -> None:
    with SignalWaiter() as signals:
        send(signal.SIGTERM)
        assert signals.wait() == "SIGTERM"
        assert taken == []
        send(signal.SIGTERM)
        until(lambda: taken == [signal.SIGTERM], "the second signal", 5)


def test_a_signal_has_something_called_while_the_main_thread_has_other_work() -> None:
    called: list[threading.Thread] = []
    go_on = threading.Event()

    def call() -> None:
        called.append(threading.current_thread())
        go_on.set()

    with SignalWaiter() as signals:
        with signals.calling(call):
            send(signal.SIGINT)
            assert go_on.wait(5)
        assert signals.wait() == "SIGINT"
    assert called != [threading.main_thread()]
    assert not called[0].is_alive()


def test_without_a_signal_nothing_is_called_and_a_later_one_ends_the_wait() -> None:
    with SignalWaiter() as signals:
        with signals.calling(lambda: pytest.fail("no signal came")):
            pass
        send(signal.SIGINT)
        assert signals.wait() == "SIGINT"


def test_waking_calls_nothing_and_ends_the_wait() -> None:
    with SignalWaiter() as signals:
        with signals.calling(lambda: pytest.fail("no signal came")):
            signals.wake()
        assert signals.wait() == "stop() was called"


@pytest.mark.parametrize("at", [1, 2])
def test_a_signal_while_the_handlers_are_put_in_place_is_the_first_one(
    monkeypatch: pytest.MonkeyPatch, taken: list[int], at: int
) -> None:
    real, count = signal.signal, 0

    def put(*arguments: Any) -> Any:
        nonlocal count
        result = real(*arguments)
        count += 1
        if count == at:
            send(signal.SIGINT)
        return result

    monkeypatch.setattr(signal, "signal", put)
    with SignalWaiter() as signals:
        assert signals.wait() == "SIGINT"
        send(signal.SIGTERM)
        until(lambda: taken == [signal.SIGTERM], "the second signal", 5)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interruption_of_the_beginning_leaves_everything_as_it_was(
    monkeypatch: pytest.MonkeyPatch, taken: list[int], at: int
) -> None:
    real, put_fd, count = signal.signal, signal.set_wakeup_fd, 0

    def put(*arguments: Any) -> Any:
        nonlocal count
        result = real(*arguments)
        count += 1
        if count == at:
            raise KeyboardInterrupt
        return result

    def put_descriptor(*arguments: Any, **more: Any) -> int:
        result = put_fd(*arguments, **more)
        if at == 0 and arguments != (-1,):
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(signal, "signal", put)
    monkeypatch.setattr(signal, "set_wakeup_fd", put_descriptor)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        SignalWaiter().__enter__()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert put_fd(-1) == -1
    assert taken == []
