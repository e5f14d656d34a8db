"""In memory by hand: pydantic's ``TypeAdapter``, a ``SimpleQueue`` and a thread. Nothing is retried, or counted."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import Any

from pydantic import TypeAdapter

from benchmarks.work import PATIENCE, Meter, Order, begin, compute, fields_of, options, order_type, resident, tell


def both(asked: Any) -> dict[str, float]:
    """Encode, hand over, decode, handle: handled per second."""
    adapter = TypeAdapter(order_type(asked.shape))
    fields, meter = fields_of(asked.shape, asked.size), Meter(asked.count)
    queue = SimpleQueue[bytes | None]()

    def work() -> None:
        while (body := queue.get()) is not None:
            event = adapter.validate_json(body)
            compute(asked.rounds)
            meter.tick(event.number)

    thread = threading.Thread(target=work)
    thread.start()
    begun = begin()
    for number in range(asked.count):
        queue.put(adapter.dump_json(Order(number, **fields)))
    meter.ended.wait(PATIENCE)
    seconds = time.perf_counter() - begun
    queue.put(None)
    thread.join()
    return meter.figures() | {"rate": asked.count / seconds, "mib": resident()}


if __name__ == "__main__":
    tell(both(options(__doc__, "both")))
