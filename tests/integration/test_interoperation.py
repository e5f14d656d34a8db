"""The broker's own Java client, over both of its protocols, on the other end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import pytest

from eventing_core import EventListener, EventManager, event, event_listener
from examples.artemis import Artemis

TIMEOUT = 30.0
TEXT = "Grüße, 世界 🎉"


@pytest.mark.parametrize("protocol", ["AMQP", "CORE"])
def test_java_and_eventing_understand_each_other(
    artemis: Artemis, make_manager: Callable[..., EventManager], unique: Callable[[str], str], protocol: str
):
    handled: SimpleQueue[Any] = SimpleQueue()

    @event(unique("Greeted"), durable=True)
    @dataclass
    class Greeted:
        text: str
        times: int = 1

    @event_listener(Greeted, name=unique("Listener"))
    class Listener(EventListener[Greeted]):
        def on(self, event: Greeted) -> None:
            handled.put(event)

    @event_listener(Greeted, name=unique("Java"))
    class ForJava(EventListener[Greeted]):
        def on(self, event: Greeted) -> None:
            raise AssertionError("it only makes the queue")

    with make_manager(ForJava):
        pass
    manager = make_manager(Listener)
    manager.start()
    # Escaped: what Java makes of other arguments depends on the locale.
    body = json.dumps({"text": TEXT, "unknown": None})
    to = ("--protocol", protocol, "--destination", f"topic://{unique('Greeted')}")
    artemis.cli("producer", *to, "--message-count", "1", "--message", body)
    greeted = handled.get(timeout=TIMEOUT)
    assert type(greeted) is Greeted
    assert greeted == Greeted(TEXT)

    manager.send_event(Greeted("Hello", times=2), headers={"customer": "Ada"})
    assert handled.get(timeout=TIMEOUT) == Greeted("Hello", times=2)
    of = ("--protocol", protocol, "--destination", f"topic://{unique('Greeted')}::{unique('Java')}")
    output = artemis.cli("consumer", *of, "--message-count", "2", "--receive-timeout", "10000", "--verbose")
    body = '{"text":"Hello","times":2}'
    # "Received text" is what it says of a JMS TextMessage.
    assert f"Received {body}" in output
    assert f"Received text sized at {len(body)}" in output
    assert "Consumed: 2 messages" in output
