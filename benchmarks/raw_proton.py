"""The baseline: Proton as its documentation shows it (``simple_send.py``, ``simple_recv.py``), with JSON.

Prints messages per second.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from proton import Message, symbol
from proton.handlers import MessagingHandler
from proton.reactor import Container, LinkOption

from benchmarks.work import RAW_EVENT, RAW_LISTENER, Clock, Order, arguments, beside_computing, compute, place


class Topic(LinkOption):
    """Routes as an event does: to every queue of the address."""

    def apply(self, link: Any) -> None:
        """Set it on both ends."""
        for terminus in (link.source, link.target):
            terminus.capabilities.put_object(symbol("topic"))


def connect(container: Any) -> Any:
    """A connection as a user of Proton makes it."""
    to = place()
    return container.connect(
        f"amqp://{to['host']}:{to['port']}", user=to["user"], password=to["password"], allowed_mechs="PLAIN"
    )


class Send(MessagingHandler):
    """Sends durable messages as credit allows, and counts what the broker accepts."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.clock = Clock(count + 1)
        self._count = count
        self._sent = 0

    def on_start(self, event: Any) -> None:
        """Connect."""
        event.container.create_sender(connect(event.container), RAW_EVENT, options=Topic())

    def on_sendable(self, event: Any) -> None:
        """Send what the broker gives credit for."""
        if not self._sent:
            self.clock.tick()
        while event.sender.credit and self._sent < self._count:
            body = json.dumps(asdict(Order(self._sent)))
            event.sender.send(Message(id=self._sent, body=body, durable=True, content_type="application/json"))
            self._sent += 1

    def on_accepted(self, event: Any) -> None:
        """Count."""
        self.clock.tick()
        if self.clock.ended.is_set():
            event.connection.close()


class Receive(MessagingHandler):
    """Decodes each message; Proton accepts it when the method has returned."""

    def __init__(self, count: int, rounds: int, prefetch: int) -> None:
        super().__init__(prefetch=prefetch)
        self.clock = Clock(count)
        self._rounds = rounds

    def on_start(self, event: Any) -> None:
        """Connect."""
        event.container.create_receiver(connect(event.container), f"{RAW_EVENT}::{RAW_LISTENER}", options=Topic())

    def on_message(self, event: Any) -> None:
        """Do the work."""
        json.loads(event.message.body)
        compute(self._rounds)
        self.clock.tick()
        if self.clock.ended.is_set():
            event.connection.close()


def main() -> None:
    """Do one measurement."""
    options = arguments(__doc__)
    handler = (
        Send(options.count) if options.what == "send" else Receive(options.count, options.rounds, options.prefetch)
    )
    with beside_computing(wanted=options.beside):
        Container(handler).run()
    print(handler.clock.rate)


if __name__ == "__main__":
    main()
