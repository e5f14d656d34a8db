"""What drives the I/O thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from eventing_core.provider.sockets import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def test_posting_wakes_a_sleeper(loop: Loop):
    got: list[int] = []
    poster = threading.Timer(0.05, loop.post, (got.append, 1))
    poster.start()
    assert loop.sleep(30) is False
    poster.join()
    loop.run_posted()
    assert got == [1]


def test_posting_writes_one_byte_to_a_sleeper_and_none_to_others(loop: Loop, monkeypatch: pytest.MonkeyPatch):
    wakes: list[bytes] = []
    monkeypatch.setattr(loop, "_wake_in", SimpleNamespace(send=wakes.append))
    for number in range(100):
        loop.post(wakes.extend, [number][:0])
    assert wakes == []
    # As it is while it sleeps.
    loop._sleeping = True
    for _ in range(100):
        loop.post(wakes.extend, ())
    assert wakes == [b"\0"]


def test_with_something_posted_it_does_not_sleep(loop: Loop):
    loop.post(lambda _: None)
    began = time.monotonic()
    loop.sleep(30)
    assert time.monotonic() - began < 5


def test_commands_run_in_order_and_one_that_fails_stops_nothing(loop: Loop, caplog: pytest.LogCaptureFixture):
    def fail(_: object) -> None:
        raise ZeroDivisionError

    got: list[int] = []
    loop.post(got.append, 1)
    loop.post(fail)
    loop.post(lambda _: loop.post(got.append, 3))
    loop.post(got.append, 2)
    loop.run_posted()
    assert got == [1, 2]
    assert "ZeroDivisionError" in caplog.text
    loop.run_posted()
    assert got == [1, 2, 3]


def test_timers_fire_in_order_when_they_are_due(loop: Loop):
    got: list[str] = []
    now = time.monotonic()
    loop.call_at(now + 0.05, lambda: got.append("second"))
    loop.call_at(now + 0.01, lambda: got.append("first"))
    loop.call_at(now + 0.02, lambda: got.append("cancelled")).cancel()
    loop.call_in(60, lambda: got.append("later"))
    while len(got) < 2:
        loop.sleep(None)
        loop.run_timers()
    assert got == ["first", "second"]
    assert time.monotonic() - now >= 0.05


def test_it_watches_one_socket(loop: Loop):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.watch(ours)
        assert loop.sleep(0) is False
        theirs.sendall(b"x")
        assert loop.sleep(30) is True
        ours.recv(1)
        loop.watch(ours, writing=True)
        assert loop.sleep(30) is True
        loop.watch(ours)
        assert loop.sleep(0) is False
        loop.watch(None)
        theirs.sendall(b"x")
        assert loop.sleep(0) is False
