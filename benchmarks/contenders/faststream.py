"""faststream-stomp as its documentation shows it: a typed subscriber, and publications that wait for their receipt."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import faststream_stomp
import stompman

from benchmarks.work import PATIENCE, Meter, Order, compute, fields_of, listener_on, options, place, tell

#: Publications at a time.
IN_FLIGHT = 1_000


def broker_of() -> Any:
    """As a user makes it."""
    to = place()
    server = stompman.ConnectionParameters(
        host=to["host"], port=int(to["port"]), login=to["user"], passcode=to["password"]
    )
    return faststream_stomp.StompBroker(stompman.Client([server]), logger=None)


async def send(asked: Any) -> dict[str, float]:
    """Many at a time, each confirmed."""
    broker, fields = broker_of(), fields_of(asked.shape, asked.size)
    headers = {"persistent": "true", "destination-type": "MULTICAST"}
    await broker.connect()
    begun = time.perf_counter()
    for first in range(0, asked.count, IN_FLIGHT):
        sends = [
            broker.publish(Order(number, **fields), asked.address, headers=headers, receipt_timeout=PATIENCE)
            for number in range(first, min(first + IN_FLIGHT, asked.count))
        ]
        await asyncio.gather(*sends)
    seconds = time.perf_counter() - begun
    await broker.stop()
    return {"rate": asked.count / seconds}


async def receive(asked: Any) -> dict[str, float]:
    """Acknowledged one by one."""
    broker, meter, ended = broker_of(), Meter(asked.count), asyncio.Event()

    async def on(order: Order) -> None:
        compute(asked.rounds)
        if meter.tick(order.number):
            ended.set()

    broker.subscriber(f"{asked.address}::{listener_on(asked.address)}", headers={"subscription-type": "MULTICAST"})(on)
    await broker.start()
    with suppress(TimeoutError):  # what never came is told by the figures
        await asyncio.wait_for(ended.wait(), PATIENCE)
    await broker.stop()
    return meter.figures()


def main() -> None:
    """Do one measurement."""
    asked = options(__doc__, "send", "receive")
    tell(asyncio.run(send(asked) if asked.what == "send" else receive(asked)))


if __name__ == "__main__":
    main()
