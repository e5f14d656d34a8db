"""The same by Eventing. Prints events per second."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from benchmarks.work import (
    EVENT,
    LISTENER,
    RAW_EVENT,
    RAW_LISTENER,
    Clock,
    Order,
    arguments,
    beside_computing,
    compute,
)
from eventing_core import EventListener, EventManager, event, event_listener

Placed = event(EVENT, durable=True)(Order)


def receive(count: int, rounds: int) -> float:
    """How many events a listener handles in a second."""
    clock = Clock(count)

    @event_listener(Placed, name=LISTENER)
    class Listener(EventListener[Order]):
        def on(self, event: Order) -> None:  # noqa: ARG002 (the work is to get it)
            compute(rounds)
            clock.tick()

    with EventManager.from_config(listeners=[Listener], pipelines=[]):
        clock.ended.wait()
    return clock.rate


def send(count: int) -> float:
    """How many events are confirmed in a second."""
    manager = EventManager.from_config(listeners=[], pipelines=[])
    manager.send_event(Placed(0))
    begun = time.perf_counter()
    manager.send_events(Placed(number) for number in range(1, count))
    rate = (count - 1) / (time.perf_counter() - begun)
    manager.stop()
    return rate


def make_queues() -> None:
    """Make the queues of both sides."""

    @event(RAW_EVENT, durable=True)
    @dataclass
    class Raw(Order):
        pass

    def listener_of(event_type: type[Any], name: str) -> type[EventListener[Any]]:
        @event_listener(event_type, name=name)
        class Listener(EventListener[Any]):
            def on(self, event: Any) -> None:
                raise AssertionError(event)

        return Listener

    listeners = [listener_of(Placed, LISTENER), listener_of(Raw, RAW_LISTENER)]
    with EventManager.from_config(listeners=listeners, pipelines=[]):
        pass


def main() -> None:
    """Do one measurement."""
    options = arguments(__doc__)
    with beside_computing(wanted=options.beside):
        rate = send(options.count) if options.what == "send" else receive(options.count, options.rounds)
    print(rate)


if __name__ == "__main__":
    main()
