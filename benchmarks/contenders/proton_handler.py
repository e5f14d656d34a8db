"""Proton as its documentation shows it (``simple_send.py``, ``simple_recv.py``), with JSON."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from proton import Message, symbol
from proton.handlers import MessagingHandler
from proton.reactor import Container, LinkOption

from benchmarks.work import (
    HEADERS,
    Meter,
    beside_computing,
    compute,
    fields_of,
    listener_on,
    options,
    place,
    resident,
    tell,
)

#: Proton's default is 10; more than this was no faster.
PREFETCH = 100


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
    """Sends as credit allows, and counts what the broker accepts."""

    def __init__(self, asked: Any) -> None:
        super().__init__()
        self._asked = asked
        self._fields = fields_of(asked.shape, asked.size)
        self._sent = self._accepted = 0
        self._times = [0.0, 0.0]

    def figures(self) -> dict[str, float]:
        """Confirmed per second."""
        return {"rate": self._accepted / (self._times[1] - self._times[0])}

    def on_start(self, event: Any) -> None:
        """Connect."""
        event.container.create_sender(connect(event.container), self._asked.address, options=Topic())

    def on_sendable(self, event: Any) -> None:
        """Send what the broker gives credit for."""
        count, durable = self._asked.count, not self._asked.loose
        properties = HEADERS if self._asked.shape == "headers" else None
        self._times[0] = self._times[0] or time.perf_counter()
        while event.sender.credit and self._sent < count:
            body = json.dumps({"number": self._sent, **self._fields})
            event.sender.send(
                Message(
                    id=self._sent, body=body, durable=durable, content_type="application/json", properties=properties
                )
            )
            self._sent += 1

    def on_accepted(self, event: Any) -> None:
        """Count."""
        self._accepted += 1
        if self._accepted == self._asked.count:
            self._times[1] = time.perf_counter()
            event.connection.close()


class Receive(MessagingHandler):
    """Decodes each message; Proton accepts it when the method has returned."""

    def __init__(self, asked: Any) -> None:
        super().__init__(prefetch=PREFETCH)
        meter = self._meter = Meter(asked.count)
        self.figures = meter.figures
        self._asked = asked
        self._connection: Any = None

    def on_start(self, event: Any) -> None:
        """Connect."""
        self._connection = connect(event.container)
        event.container.create_receiver(
            self._connection, f"{self._asked.address}::{listener_on(self._asked.address)}", options=Topic()
        )

    def on_message(self, event: Any) -> None:
        """Do the work."""
        number = json.loads(event.message.body)["number"]
        compute(self._asked.rounds)
        if self._meter.tick(number):
            # When the last is accepted, too.
            event.container.schedule(0.1, self)

    def on_timer_task(self, _: Any) -> None:
        """The end."""
        self._connection.close()


class Start(MessagingHandler):
    """A receiver, until it is there."""

    def __init__(self, asked: Any) -> None:
        super().__init__(prefetch=PREFETCH)
        self._asked = asked
        self._begun = time.perf_counter()
        self._seconds = 0.0

    def figures(self) -> dict[str, float]:
        """How long it took."""
        return {"start": self._seconds * 1000}

    def on_start(self, event: Any) -> None:
        """Connect."""
        address = f"{self._asked.address}::{listener_on(self._asked.address)}"
        event.container.create_receiver(connect(event.container), address, options=Topic())

    def on_link_opened(self, event: Any) -> None:
        """The end."""
        self._seconds = time.perf_counter() - self._begun
        event.connection.close()


class Idle(MessagingHandler):
    """Receivers that get nothing."""

    def __init__(self, asked: Any) -> None:
        super().__init__(prefetch=PREFETCH)
        self._asked = asked
        self._connection: Any = None

    def on_start(self, event: Any) -> None:
        """Connect."""
        self._connection = connect(event.container)
        for at in range(self._asked.listeners):
            event_name = f"{self._asked.address}{at}"
            address = f"{event_name}::{listener_on(event_name)}"
            event.container.create_receiver(self._connection, address, options=Topic(), name=address)

    def run(self) -> dict[str, float]:
        """Idle for some seconds."""
        container = Container(self)
        threading.Thread(target=container.run, daemon=True).start()
        time.sleep(1.0)
        begun = time.process_time()
        time.sleep(10.0)
        return {"percent": (time.process_time() - begun) * 10, "mib": resident()}


def main() -> None:
    """Do one measurement."""
    asked = options(__doc__, "make", "send", "receive", "idle")
    if asked.what == "idle":
        tell(Idle(asked).run())
        return
    kinds: dict[str, type[Start | Send | Receive]] = {"make": Start, "send": Send, "receive": Receive}
    handler = kinds[asked.what](asked)
    with beside_computing(wanted=asked.beside):
        Container(handler).run()
    tell(handler.figures())


if __name__ == "__main__":
    main()
