"""Heartbeats with a real broker: one that stands still, and one that wants to hear something more often than we do."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from examples.artemis import Artemis
from tests.support.bench import accepting, opened

CORE = "{urn:activemq:core}"

#: In seconds; and what a busy machine takes to notice.
HEARTBEAT = 0.6
SLACK = 0.5


@pytest.mark.parametrize("phase", [0.0, 0.35, 0.7])
@pytest.mark.usefixtures("kind")
def test_a_broker_that_stands_still_is_noticed_after_two_heartbeats(private_artemis: Artemis, phase: float):
    with opened(private_artemis, "still", heartbeat=HEARTBEAT) as bench:
        recorder = accepting(bench.listen_active(window=10))
        bench.put("a")
        recorder.wait(1)
        # At different times between two looks at what was heard.
        threading.Event().wait(2 * HEARTBEAT * phase)
        assert private_artemis.pid
        os.kill(private_artemis.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            bench.connected.until(lambda seen: not seen[-1][0], "its silence is noticed")
            took = time.monotonic() - began
        finally:
            os.kill(private_artemis.pid, signal.SIGCONT)
        assert took < 2 * HEARTBEAT + SLACK
        assert f"silent for {2 * HEARTBEAT:g} s" in str(bench.connected.items()[-1][1])
        bench.connected.until(lambda seen: seen[-1][0], "it is back")
        bench.put("b")


@pytest.mark.usefixtures("kind")
def test_a_broker_that_stands_still_while_much_is_written_is_noticed(private_artemis: Artemis):
    with opened(private_artemis, "full", heartbeat=HEARTBEAT) as bench:
        bench.listen_active()
        bench.put("a")
        assert private_artemis.pid
        os.kill(private_artemis.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            done = bench.send(*["x" * 100_000] * 200)
            bench.connected.until(lambda seen: not seen[-1][0], "its silence is noticed")
            took = time.monotonic() - began
        finally:
            os.kill(private_artemis.pid, signal.SIGCONT)
        assert took < 2 * HEARTBEAT + SLACK
        assert [error for _, error in done.wait(200)] == [None] * 200


@pytest.mark.parametrize("asked", ["amqpIdleTimeout=1000", "connectionTtlMax=1000;connectionTtlMin=500"])
def test_a_broker_that_wants_to_hear_something_often_keeps_the_connection(
    make_artemis: Callable[..., Artemis], kind: str, asked: str
):
    def ask(core: Any) -> None:
        for acceptor in core.iter(f"{CORE}acceptor"):
            acceptor.text = f"{acceptor.text};{asked}"

    broker = make_artemis(edit=ask)
    # The setting of a client that wants to be disturbed seldom.
    with opened(broker, "often", heartbeat=60) as bench:
        recorder = accepting(bench.listen_active(window=10))
        # Ten times as long as the broker waits; nothing is written by anybody.
        lost = threading.Event()
        bench.connected.until(bool, "it is there")
        assert not lost.wait(10)
        assert [connected for connected, _ in bench.connected.items()] == [True]
        bench.put("a")
        recorder.wait(1)
        assert kind in {"amqp", "stomp"}
