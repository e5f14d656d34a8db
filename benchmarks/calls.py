"""How many calls of Python functions one event takes, from sending to its settlement, on all threads.

Sent together by `send_events`, and one by one by `send_event`.

usage: calls.py [memory | amqp HOST PORT] [-v]

Unlike a time, this number is the same on every machine, but for a few calls that hang on how events come together.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from dataclasses import dataclass
from types import FrameType
from typing import Any

from eventing_core import EventListener, EventManager, event, event_listener

_WARM_UP, _EVENTS = 2_000, 10_000


@dataclass
@event("benchmark-calls")
class Counted:
    """An event."""

    number: int


class Calls:
    """Counts calls, where it is switched on."""

    def __init__(self) -> None:
        self.on = False
        self.by_code: Counter[tuple[str, str]] = Counter()

    def __call__(self, frame: FrameType, what: str, _: object) -> None:
        """Count."""
        if self.on and what == "call":
            code = frame.f_code
            self.by_code[code.co_filename.rpartition("site-packages/")[2][-60:], code.co_qualname] += 1


def main() -> None:
    """Print it."""
    calls = Calls()
    threading.setprofile(calls)
    sys.setprofile(calls)
    left = threading.Semaphore(0)

    @event_listener(Counted)
    class Listener(EventListener[Counted]):
        def on(self, _: Counted) -> None:
            left.release()

    where = sys.argv[1] if len(sys.argv) > 1 else "memory"
    settings: dict[str, Any] = {"provider": where, "server_name": "calls"}
    if where != "memory":
        settings[where] = {"host": sys.argv[2], "port": int(sys.argv[3])}
    with EventManager.from_config(**settings) as manager:
        for together in (True, False):
            for count in (_WARM_UP, _EVENTS):
                calls.by_code.clear()
                calls.on = True
                if together:
                    manager.send_events(Counted(number) for number in range(count))
                for number in range(count):
                    if not together:
                        manager.send_event(Counted(number))
                    left.acquire()
                calls.on = False
            if "-v" in sys.argv:
                for (file, name), count in calls.by_code.most_common(60):
                    print(f"{count / _EVENTS:6.2f}  {name}  ({file})")
            how = "together" if together else "one by one"
            print(f"{sum(calls.by_code.values()) / _EVENTS:6.2f}  calls for each event, sent {how}")
    sys.setprofile(None)
    threading.setprofile(None)


if __name__ == "__main__":
    main()
