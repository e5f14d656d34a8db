"""Eventing, as it is shipped: ids, retries, health and confirmations on; each event typed on both ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from benchmarks.work import (
    PATIENCE,
    PROCESSOR,
    Line,
    Meter,
    Pace,
    begin,
    beside_computing,
    compute,
    fields_of,
    headers_of,
    listener_on,
    options,
    order_type,
    per_event,
    percentiles,
    resident,
    tell,
)
from eventing_core import (
    Envelope,
    EnvelopePipeline,
    EventDescriptor,
    EventListener,
    EventListenerDescriptor,
    EventManager,
    event,
    event_listener,
)


class Passing(EnvelopePipeline):
    """Sets a header, and reads it."""

    def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> None:  # noqa: ARG002 (as it is called)
        """Set it."""
        envelope.set("tenant", "north")

    def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> None:  # noqa: ARG002 (see above)
        """Read it."""
        envelope.get("tenant")


class Contender:
    """One measurement."""

    def __init__(self, asked: Any) -> None:
        self._asked = asked
        self._headers = headers_of(asked.shape, asked.headers)
        #: With many listeners each has an event of its own.
        names = [asked.address] if asked.listeners == 1 else [f"{asked.address}{at}" for at in range(asked.listeners)]
        order = order_type(asked.shape)
        self._types: list[type[Any]] = [
            event(name, durable=not asked.loose)(dataclass(type(name, (order,), {"__module__": __name__})))
            for name in names
        ]
        fields = fields_of(asked.shape, asked.size)
        if asked.shape == "nested":
            fields["lines"] = [Line(**line) for line in fields["lines"]]
        self._fields = fields

    def events(self, first: int = 0) -> Iterator[Any]:
        """From that number on."""
        fields = self._fields
        for number, event_type in zip(range(first, self._asked.count), cycle(self._types), strict=False):
            yield event_type(number, **fields)

    def manager(self, *listeners: type[EventListener[Any]]) -> EventManager:
        """With the shipped defaults."""
        threads = {} if self._asked.threads == 1 else {"workers": self._asked.threads}
        pipelines = [Passing()] if self._asked.piped else []
        return EventManager.from_config(listeners=listeners, pipelines=pipelines, **threads)

    def listeners(self, meter: Meter) -> list[type[EventListener[Any]]]:
        """One for each event type."""
        rounds, concurrency = self._asked.rounds, self._asked.threads

        def listener_of(event_type: type[Any]) -> type[EventListener[Any]]:
            settings = {"name": listener_on(event_type.__name__), "concurrency": concurrency}
            if self._asked.asynchronous:

                @event_listener(event_type, **settings)
                class AsyncListener(EventListener[Any]):
                    async def on(self, event: Any) -> None:
                        compute(rounds)
                        meter.tick(event.number)

                return AsyncListener

            @event_listener(event_type, **settings)
            class Listener(EventListener[Any]):
                def on(self, event: Any) -> None:
                    compute(rounds)
                    meter.tick(event.number)

            return Listener

        return [listener_of(event_type) for event_type in self._types]

    # -- measurements ---------------------------------------------------------------------------------------------

    def make(self) -> dict[str, float]:
        """The queues."""
        begun = time.perf_counter()
        with self.manager(*self.listeners(Meter(1))):
            started = time.perf_counter() - begun
        return {"start": started * 1000}

    def send(self) -> dict[str, float]:
        """Many, pipelined: confirmed per second."""
        with self.manager() as manager:
            manager.send_event(next(self.events()), headers=self._headers)
            begun, processor = time.perf_counter(), time.process_time()
            manager.send_events(self.events(1), headers=self._headers)
            count = self._asked.count - 1
            return {
                "rate": count / (time.perf_counter() - begun),
                PROCESSOR: per_event(time.process_time() - processor, count),
            }

    def send_each(self) -> dict[str, float]:
        """One by one, from some threads: confirmed per second."""
        with self.manager() as manager, ThreadPoolExecutor(self._asked.threads) as pool:
            events = [*self.events()]
            manager.send_event(events[0])
            shares = [events[1 + at :: self._asked.threads] for at in range(self._asked.threads)]
            begun = time.perf_counter()

            def run(share: list[Any]) -> None:
                for each in share:
                    manager.send_event(each)

            list(pool.map(run, shares))
            return {"rate": (self._asked.count - 1) / (time.perf_counter() - begun)}

    def receive(self) -> dict[str, float]:
        """Handled per second."""
        meter = Meter(self._asked.count)
        with self.manager(*self.listeners(meter)):
            meter.ended.wait(PATIENCE)
        return meter.figures()

    def both(self) -> dict[str, float]:
        """Send and handle, in one process: handled per second, from the first send to the last run of ``on``."""
        meter = Meter(self._asked.count)
        with self.manager(*self.listeners(meter)) as manager:
            begun = begin()
            manager.send_events(self.events(), headers=self._headers)
            meter.ended.wait(PATIENCE)
            seconds = time.perf_counter() - begun
        return meter.figures() | {"rate": self._asked.count / seconds}

    def latency(self) -> dict[str, float]:
        """From a send to its ``on``, at a pace."""
        count, pace = self._asked.count, Pace(self._asked.pace)
        sent, came = [0.0] * count, [0.0] * count
        meter = Meter(count)

        @event_listener(self._types[0], name=listener_on(self._asked.address))
        class Listener(EventListener[Any]):
            def on(self, event: Any) -> None:
                came[event.number] = time.perf_counter()
                meter.tick(event.number)

        with self.manager(Listener) as manager:
            for each in self.events():
                pace.wait()
                sent[each.number] = time.perf_counter()
                manager.send_event(each)
            meter.ended.wait(PATIENCE)
        skipped = count // 5
        return meter.figures() | percentiles([b - a for a, b in zip(sent, came, strict=True)][skipped:])

    def idle(self) -> dict[str, float]:
        """Of a process with listeners that have nothing to do: its share of a processor, and its memory."""
        with ExitStack() as stack:
            stack.enter_context(self.manager(*self.listeners(Meter(1))))
            time.sleep(1.0)
            begun = time.process_time()
            time.sleep(10.0)
            return {"percent": (time.process_time() - begun) * 10, "mib": resident()}


def main() -> None:
    """Do one measurement."""
    asked = options(__doc__, "make", "send", "send_each", "receive", "both", "latency", "idle")
    with beside_computing(wanted=asked.beside):
        figures = getattr(Contender(asked), asked.what)()
    tell(figures)


if __name__ == "__main__":
    main()
