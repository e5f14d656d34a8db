"""Which managers are called when their process ends or forks."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator

import pytest

from eventing_core.runtime import _process


class Managed:
    def __init__(self) -> None:
        self.calls = 0

    def at_exit(self) -> None:
        self.calls += 1

    def after_fork(self) -> None:
        self.calls += 1


@pytest.fixture
def quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_switches")
@pytest.mark.parametrize("what", ["_exit", "_fork"])
def test_managers_are_called_while_other_threads_make_more(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the interpreter's exit, which waits for threads only after that, or in a fork."""
    monkeypatch.setattr(_process, "_managers", type(_process._managers)())
    monkeypatch.setattr(_process, "_exiting", False)
    ours = [Managed() for _ in range(500)]
    for each in ours:
        _process.remember(each)
    done = threading.Event()

    def make() -> None:
        while not done.is_set():
            some = [Managed() for _ in range(20)]
            for each in some:
                _process.remember(each)
            for each in some[:10]:
                _process.forget(each)

    makers = [threading.Thread(target=make) for _ in range(2)]
    for maker in makers:
        maker.start()
    try:
        for _ in range(100):
            getattr(_process, what)()
    finally:
        done.set()
        for maker in makers:
            maker.join()
    assert {each.calls for each in ours} == {100}


def test_a_manager_that_is_gone_is_forgotten() -> None:
    gc.collect()  # managers of other tests
    manager = Managed()
    _process.remember(manager)
    count = len(_process._managers)
    del manager
    gc.collect()
    assert len(_process._managers) == count - 1
