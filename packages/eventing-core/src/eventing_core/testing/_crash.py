"""The process of `Kit.crash`: takes messages, tells of them, and is gone without settling or closing anything."""

from __future__ import annotations

import json
import os
import sys

from eventing_core.provider import Destination
from eventing_core.testing._kit import CRASHED, Kit

if __name__ == "__main__":
    task = json.load(sys.stdin)
    kit = Kit(task["config"])
    recorder = kit.listen(kit.provider(), Destination(**task["queue"]), window=task["count"])
    print(json.dumps([delivery.delivery_count for delivery in recorder.wait(task["count"])]), flush=True)  # noqa: T201 (to the kit)
    os._exit(CRASHED)
