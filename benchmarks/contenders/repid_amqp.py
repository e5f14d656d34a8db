"""repid over AMQP as its documentation shows it: an actor with a typed argument. Its sends aren't confirmed."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import repid

from benchmarks.work import PATIENCE, Meter, compute, fields_of, listener_on, options, place, tell

#: Sends at a time.
IN_FLIGHT = 1_000


def app_of(asked: Any) -> Any:
    """As a user makes it; names as this broker's queues have them."""
    to = place()
    app = repid.Repid(title="Benchmark", version="1.0.0")
    server = repid.AmqpServer(
        f"amqp://{to['user']}:{to['password']}@{to['host']}:{to['port']}",
        publish_naming_strategy=lambda _, __: asked.address,
        subscribe_naming_strategy=lambda _: f"{asked.address}::{listener_on(asked.address)}",
    )
    app.servers.register_server("default", server, is_default=True)
    return app


async def send(asked: Any) -> dict[str, float]:
    """Many at a time."""
    app, fields = app_of(asked), fields_of(asked.shape, asked.size)
    async with app.servers.default.connection():
        begun = time.perf_counter()
        for first in range(0, asked.count, IN_FLIGHT):
            numbers = range(first, min(first + IN_FLIGHT, asked.count))
            sends = [
                app.send_message_json(
                    channel="default", payload={"number": number, **fields}, headers={"topic": "handle"}
                )
                for number in numbers
            ]
            await asyncio.gather(*sends)
        seconds = time.perf_counter() - begun
    return {"rate": asked.count / seconds}


async def receive(asked: Any) -> dict[str, float]:
    """A worker with its defaults."""
    app, meter, ended = app_of(asked), Meter(asked.count), asyncio.Event()
    router = repid.Router()

    async def handle(number: int, customer: str, amount: float, note: str) -> None:  # noqa: ARG001 (what is sent)
        compute(asked.rounds)
        if meter.tick(number):
            ended.set()

    router.actor(handle)
    app.include_router(router)
    async with app.servers.default.connection():
        worker = asyncio.create_task(app.run_worker())
        with suppress(TimeoutError):  # what never came is told by the figures
            await asyncio.wait_for(ended.wait(), PATIENCE)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    return meter.figures()


def main() -> None:
    """Do one measurement."""
    asked = options(__doc__, "send", "receive")
    tell(asyncio.run(send(asked) if asked.what == "send" else receive(asked)))


if __name__ == "__main__":
    main()
