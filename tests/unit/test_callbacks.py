"""Callbacks of the futures of sends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from eventing_core.send._callbacks import CallbackThread, SendFuture


@pytest.fixture
def thread() -> Iterator[CallbackThread]:
    thread = CallbackThread()
    yield thread
    thread.stop(5)


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python 3.12 does while it exits."""

    def start(_: threading.Thread) -> None:
        msg = "can't create new thread at interpreter shutdown"
        raise RuntimeError(msg)

    monkeypatch.setattr(threading.Thread, "start", start)


def test_a_callback_that_exits_ends_no_other(thread: CallbackThread, caplog: pytest.LogCaptureFixture) -> None:
    ran: Future[str] = Future()
    first, second = SendFuture(thread), SendFuture(thread)
    first.add_done_callback(lambda _: sys.exit(3))
    second.add_done_callback(lambda _: ran.set_result(threading.current_thread().name))
    first.set_result(None)
    second.set_result(None)
    assert ran.result(5) == "eventing-callbacks"
    assert "a callback of a send's future raised" in caplog.text


def test_the_thread_is_there_before_the_first_callback_is_due(
    thread: CallbackThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: Future[str] = Future()
    future = SendFuture(thread)
    future.add_done_callback(lambda _: ran.set_result(threading.current_thread().name))
    refuse_threads(monkeypatch)
    future.set_result(None)
    assert ran.result(5) == "eventing-callbacks"


def test_without_a_thread_callbacks_run_where_they_are_due(
    thread: CallbackThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[threading.Thread] = []
    refuse_threads(monkeypatch)
    future = SendFuture(thread)
    future.add_done_callback(lambda _: ran.append(threading.current_thread()))
    future.add_done_callback(lambda _: sys.exit(3))
    future.set_result(None)
    assert ran == [threading.current_thread()]
    thread.stop(5)
