"""One process of the test of the SQLite example: ``python sqlite_worker.py listen|hang|send FILE [COUNT]``.

It knows nothing of this checkout: it runs where nothing but the wheels is installed, in a folder with an eventing.toml.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass

from eventing_core import EventListener, EventManager, event, event_listener

FILE = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
HANGS = sys.argv[1] == "hang"


@dataclass
@event("Numbered", durable=True)
class Numbered:
    """What is sent."""

    number: int


@event_listener(Numbered, name="Record")
class Record(EventListener[Numbered]):
    """Records the numbers in a file, each by one system call: nothing is lost when it is killed."""

    def on(self, event: Numbered) -> None:
        """Record it; the one that hangs does so in the middle of the first event."""
        os.write(FILE, b"%d\n" % event.number)
        if HANGS:
            threading.Event().wait()


def main() -> None:
    """Send, or listen until SIGTERM."""
    if sys.argv[1] == "send":
        with EventManager.from_config(listeners=[]) as manager:
            manager.send_events(Numbered(number) for number in range(int(sys.argv[3])))
        return
    with EventManager.from_config(listeners=[Record]) as manager:
        print("ready", flush=True)  # noqa: T201 (that is how the test learns)
        manager.run()


if __name__ == "__main__":
    main()
