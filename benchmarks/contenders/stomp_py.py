"""stomp.py as its documentation shows it, with JSON, many sends in flight, and bytes to spare."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import stomp

from benchmarks.work import (
    HEADERS,
    PATIENCE,
    Meter,
    beside_computing,
    compute,
    fields_of,
    listener_on,
    options,
    place,
    tell,
)

#: Sends without their receipt.
IN_FLIGHT = 4_000

#: Bytes that the broker may send ahead.
AHEAD = 1 << 20


class Receipts(stomp.ConnectionListener):  # type: ignore[misc]
    """Counts confirmed sends."""

    def __init__(self, count: int) -> None:
        self.room = threading.Semaphore(IN_FLIGHT)
        self.ended = threading.Event()
        self.seconds = 0.0
        self._left = count
        self._begun = time.perf_counter()

    def on_receipt(self, _: Any) -> None:
        """One more is confirmed."""
        self.room.release()
        self._left -= 1
        if not self._left:
            self.seconds = time.perf_counter() - self._begun
            self.ended.set()


class Messages(stomp.ConnectionListener):  # type: ignore[misc]
    """Decodes and acknowledges each message."""

    def __init__(self, connection: Any, asked: Any) -> None:
        self.meter = Meter(asked.count)
        self._connection = connection
        self._rounds = asked.rounds

    def on_message(self, frame: Any) -> None:
        """Do the work."""
        number = json.loads(frame.body)["number"]
        compute(self._rounds)
        self._connection.ack(frame.headers["ack"])
        self.meter.tick(number)


def connect() -> Any:
    """A connection as a user of stomp.py makes it."""
    to = place()
    connection = stomp.Connection12([(to["host"], int(to["port"]))])
    connection.connect(to["user"], to["password"], wait=True)
    return connection


def send(asked: Any) -> dict[str, float]:
    """Each with a receipt."""
    fields = fields_of(asked.shape, asked.size)
    headers = {"persistent": "false" if asked.loose else "true", "destination-type": "MULTICAST"}
    headers |= HEADERS if asked.shape == "headers" else {}
    connection, receipts = connect(), Receipts(asked.count)
    connection.set_listener("receipts", receipts)
    for number in range(asked.count):
        receipts.room.acquire()
        body = json.dumps({"number": number, **fields})
        connection.send(asked.address, body, "application/json", headers, receipt=str(number))
    receipts.ended.wait(PATIENCE)
    connection.disconnect()
    return {"rate": asked.count / receipts.seconds}


def receive(asked: Any) -> dict[str, float]:
    """Acknowledged one by one when they are done with."""
    connection = connect()
    messages = Messages(connection, asked)
    connection.set_listener("messages", messages)
    headers = {"consumer-window-size": str(AHEAD), "subscription-type": "MULTICAST"}
    connection.subscribe(f"{asked.address}::{listener_on(asked.address)}", "1", "client-individual", headers)
    messages.meter.ended.wait(PATIENCE)
    connection.disconnect()
    return messages.meter.figures()


def main() -> None:
    """Do one measurement."""
    asked = options(__doc__, "send", "receive")
    with beside_computing(wanted=asked.beside):
        figures = send(asked) if asked.what == "send" else receive(asked)
    tell(figures)


if __name__ == "__main__":
    main()
