"""Proton's ``BlockingConnection``, as its documentation shows it, with JSON: one send at a time is confirmed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from proton import Message
from proton.utils import BlockingConnection

from benchmarks.contenders.proton_handler import PREFETCH, Topic
from benchmarks.work import PATIENCE, Meter, Pace, fields_of, listener_on, options, percentiles, place, tell


def connect() -> BlockingConnection:
    """A connection as a user of Proton makes it."""
    to = place()
    return BlockingConnection(
        f"amqp://{to['host']}:{to['port']}",
        user=to["user"],
        password=to["password"],
        allowed_mechs="PLAIN",
        allow_insecure_mechs=True,
    )


def message(number: int, fields: dict[str, Any]) -> Message:
    """One event."""
    body = json.dumps({"number": number, **fields})
    return Message(id=number, body=body, durable=True, content_type="application/json")


def send_each(asked: Any) -> dict[str, float]:
    """One by one; each thread has a connection of its own, which no two may share."""
    fields = fields_of(asked.shape, asked.size)
    connections = [connect() for _ in range(asked.threads)]
    senders = [connection.create_sender(asked.address, options=Topic()) for connection in connections]
    senders[0].send(message(0, fields))

    def run(at: int) -> None:
        for number in range(1 + at, asked.count, asked.threads):
            senders[at].send(message(number, fields))

    with ThreadPoolExecutor(asked.threads) as pool:
        begun = time.perf_counter()
        list(pool.map(run, range(asked.threads)))
        seconds = time.perf_counter() - begun
    for connection in connections:
        connection.close()
    return {"rate": (asked.count - 1) / seconds}


def latency(asked: Any) -> dict[str, float]:
    """From a send to the decoded message at a receiver with a connection and a thread of its own."""
    sent, came = [0.0] * asked.count, [0.0] * asked.count
    fields, pace, meter = fields_of(asked.shape, asked.size), Pace(asked.pace), Meter(asked.count)
    ready = threading.Event()

    def receive() -> None:
        connection = connect()
        receiver = connection.create_receiver(
            f"{asked.address}::{listener_on(asked.address)}", credit=PREFETCH, options=Topic()
        )
        ready.set()
        while not meter.ended.is_set():
            body: Any = receiver.receive(timeout=PATIENCE).body
            number = json.loads(body)["number"]
            came[number] = time.perf_counter()
            receiver.accept()
            meter.tick(number)
        connection.close()

    thread = threading.Thread(target=receive)
    thread.start()
    connection = connect()
    sender = connection.create_sender(asked.address, options=Topic())
    ready.wait(PATIENCE)
    for number in range(asked.count):
        pace.wait()
        sent[number] = time.perf_counter()
        sender.send(message(number, fields))
    thread.join()
    connection.close()
    skipped = asked.count // 5
    return meter.figures() | percentiles([b - a for a, b in zip(sent, came, strict=True)][skipped:])


def main() -> None:
    """Do one measurement."""
    measure: dict[str, Callable[[Any], dict[str, float]]] = {"send_each": send_each, "latency": latency}
    asked = options(__doc__, *measure)
    tell(measure[asked.what](asked))


if __name__ == "__main__":
    main()
