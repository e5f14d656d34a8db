"""The process of `Kit.crash` and `Kit.crash_sending`: works, tells of it, and is gone without closing anything."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from eventing_core.provider import Destination, Message
from eventing_core.testing._kit import CRASHED, Kit
from eventing_core.testing._probe import LIMIT


def hold(kit: Kit, task: dict[str, Any]) -> None:
    """Take messages, and settle none."""
    queue, count = Destination(**task["queue"]), task["count"]
    provider = kit.provider(server_name=queue.member)
    recorder = kit.listen(provider, queue, window=count, exclusive=task["exclusive"])
    _tell([delivery.delivery_count for delivery in recorder.wait(count)])


def send(kit: Kit, task: dict[str, Any]) -> None:
    """Send messages in one batch, whose bodies are their numbers, until so many are confirmed; tell which."""
    to, count = Destination(**task["to"]), task["count"]
    messages = [
        Message(body=str(number).encode(), dedup_id=kit.name("id"), durable=to.durable) for number in range(count)
    ]
    confirmed: list[int] = []

    def done(index: int, error: Exception | None) -> None:
        if error is None and len(confirmed) < task["enough"]:
            confirmed.append(index)
            if len(confirmed) == task["enough"]:
                _tell(confirmed)
                os._exit(CRASHED)

    kit.provider().producer(to).send(messages, done, deadline=time.monotonic() + LIMIT)
    time.sleep(LIMIT)  # `done` ends the process


def _tell(what: object) -> None:
    sys.stdout.write(json.dumps(what))
    sys.stdout.flush()


if __name__ == "__main__":
    task = json.load(sys.stdin)
    {"hold": hold, "send": send}[task["kind"]](Kit(task["config"]), task)
    os._exit(CRASHED)
