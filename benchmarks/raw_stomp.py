"""The baseline over STOMP: stomp.py as its documentation shows it, with JSON, many sends in flight, and bytes to spare.

Prints messages per second.
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from typing import Any

import stomp

from benchmarks.work import RAW_EVENT, RAW_LISTENER, Clock, Order, arguments, beside_computing, compute, place

#: Sends without their receipt.
IN_FLIGHT = 1_000

#: Bytes that the broker may send ahead.
AHEAD = 1 << 20


class Receipts(stomp.ConnectionListener):  # type: ignore[misc]
    """Counts confirmed sends."""

    def __init__(self, count: int) -> None:
        self.clock = Clock(count + 1)
        self.room = threading.Semaphore(IN_FLIGHT)

    def on_receipt(self, _: Any) -> None:
        """One more is confirmed."""
        self.room.release()
        self.clock.tick()


class Messages(stomp.ConnectionListener):  # type: ignore[misc]
    """Decodes and acknowledges each message."""

    def __init__(self, connection: Any, count: int, rounds: int) -> None:
        self.clock = Clock(count)
        self._connection = connection
        self._rounds = rounds

    def on_message(self, frame: Any) -> None:
        """Do the work."""
        json.loads(frame.body)
        compute(self._rounds)
        self._connection.ack(frame.headers["ack"])
        self.clock.tick()


def connect() -> Any:
    """A connection as a user of stomp.py makes it."""
    to = place()
    connection = stomp.Connection12([(to["host"], int(to["port"]))])
    connection.connect(to["user"], to["password"], wait=True)
    return connection


def send(count: int) -> float:
    """Durable messages, each with a receipt."""
    connection, receipts = connect(), Receipts(count)
    connection.set_listener("receipts", receipts)
    receipts.clock.tick()
    headers = {"persistent": "true", "destination-type": "MULTICAST"}
    for number in range(count):
        receipts.room.acquire()
        body = json.dumps(asdict(Order(number)))
        connection.send(RAW_EVENT, body, "application/json", headers, receipt=str(number))
    receipts.clock.ended.wait()
    connection.disconnect()
    return receipts.clock.rate


def receive(count: int, rounds: int) -> float:
    """Messages, acknowledged one by one when they are done with."""
    connection = connect()
    messages = Messages(connection, count, rounds)
    connection.set_listener("messages", messages)
    headers = {"consumer-window-size": str(AHEAD), "subscription-type": "MULTICAST"}
    connection.subscribe(f"{RAW_EVENT}::{RAW_LISTENER}", "1", "client-individual", headers)
    messages.clock.ended.wait()
    connection.disconnect()
    return messages.clock.rate


def main() -> None:
    """Do one measurement."""
    options = arguments(__doc__)
    with beside_computing(wanted=options.beside):
        rate = send(options.count) if options.what == "send" else receive(options.count, options.rounds)
    print(rate)


if __name__ == "__main__":
    main()
