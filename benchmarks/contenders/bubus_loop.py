"""In memory by bubus, as its documentation shows it: a typed event, a handler, and a bus."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bubus import BaseEvent, EventBus

from benchmarks.work import Meter, begin, compute, fields_of, options, tell

#: Dispatched at a time: its queue has a bound.
IN_FLIGHT = 50


class Placed(BaseEvent[None]):  # type: ignore[misc]
    """The event."""

    number: int
    customer: str
    amount: float
    note: str


async def both(asked: Any) -> dict[str, float]:
    """Dispatch and handle: handled per second."""
    bus, meter, fields = EventBus(), Meter(asked.count), fields_of(asked.shape, asked.size)

    async def on(event: Placed) -> None:
        compute(asked.rounds)
        meter.tick(event.number)

    bus.on(Placed, on)
    begun = begin()
    for first in range(0, asked.count, IN_FLIGHT):
        numbers = range(first, min(first + IN_FLIGHT, asked.count))
        await asyncio.gather(*(bus.dispatch(Placed(number=number, **fields)) for number in numbers))
    seconds = time.perf_counter() - begun
    await bus.stop()
    return meter.figures() | {"rate": asked.count / seconds}


if __name__ == "__main__":
    tell(asyncio.run(both(options(__doc__, "both"))))
