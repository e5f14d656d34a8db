"""One listener of several events, and what a start logs, on real brokers."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from eventing_core import EventListener, EventManager, Retry, event, event_listener
from examples.artemis import Artemis
from tests.support.bench import PROVIDERS
from tests.support.waiting import until


@pytest.mark.parametrize("kind", PROVIDERS)
def test_queues_of_one_listener(
    artemis: Artemis, unique: Callable[[str], str], kind: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    place = {"host": artemis.host, "port": artemis.port, "user": artemis.user, "password": artemis.password}
    placed, paid, audit = unique("placed"), unique("paid"), unique("audit")

    @event(placed)
    @dataclass
    class Placed:
        number: int

    @event(paid, durable=True)
    @dataclass
    class Paid:
        number: int

    lock = threading.Lock()
    running, most, seen = 0, 0, Counter[str]()

    def enter(event: Any) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            seen[type(event).__name__] += 1

    def leave() -> None:
        nonlocal running
        with lock:
            running -= 1

    pause = threading.Event()

    @event_listener(Placed | Paid, name=audit, concurrency=2, retry=Retry(max_attempts=1))
    class Audit(EventListener[Placed | Paid]):
        def on(self, event: Placed | Paid) -> None:
            enter(event)
            try:
                pause.wait(0.001)
                if event.number < 0:
                    raise ValueError("no")
            finally:
                leave()

    settings: dict[str, Any] = {"provider": kind, kind: place, "pipelines": []}
    with EventManager.from_config(listeners=[Audit], **settings) as manager:
        names = {
            text.partition("queue ")[2].partition(",")[0]
            for text in caplog.messages
            if text.startswith(f"{audit} on ") and "listening" in text
        }
        manager.send_events([*(Placed(number) for number in range(100)), *(Paid(number) for number in range(100))])
        manager.send_event(Paid(-1))
        until(lambda: sum(seen.values()) == 201, lambda: str(seen), 30)
        until(lambda: artemis.queue_stat()[f"{audit}.{paid}.dead"].messages == 1, "the dead letter", 60)
        rows = [(row.listener, row.event, row.consuming) for row in manager.health().listeners]
    assert most == 2
    assert seen == {"Placed": 100, "Paid": 101}
    assert rows == [(audit, placed, True), (audit, paid, True)]
    assert names == {f"{audit}.{placed}", f"{audit}.{paid}"}
    assert {*names, f"{audit}.{paid}.dead"} <= set(artemis.queue_stat())
    (volatile,) = [text for text in caplog.messages if text.startswith("not durable")]
    assert volatile.startswith(f"not durable, and lost when the broker restarts: {placed}. ")
