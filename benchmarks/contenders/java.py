"""Artemis's own load client (``artemis perf client``) over AMQP, as the outside limit: it decodes nothing."""

from __future__ import annotations

import re
import statistics
import subprocess
from typing import Any

from benchmarks.work import options, place, tell
from examples._artemis_home import fetch

#: Seconds, before anything counts, and of what counts. Its Java gets faster for a while.
WARM_UP, DURATION = 8, 12

#: What it prints each second.
_SECOND = re.compile(r"--- warmup false.*?--- sent: +(\d+).*?--- received: +(\d+)", re.DOTALL)


def both(asked: Any) -> dict[str, float]:
    """Send and receive at once, persistent, for some seconds: received per second, as a median."""
    to = place()
    command = [
        *(str(fetch() / "bin" / "artemis"), "perf", "client", "--persistent", "--max-pending", "1000"),
        *("--url", f"amqp://{to['host']}:{to['port']}", "--protocol", "AMQP"),
        *("--user", to["user"], "--password", to["password"], "--message-size", str(asked.size)),
        *("--warmup", str(WARM_UP), "--duration", str(DURATION), f"queue://{asked.address}-java"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    seconds = [(int(sent), int(received)) for sent, received in _SECOND.findall(done.stdout)]
    sent, received = (statistics.median(rates) for rates in zip(*seconds, strict=True))
    return {"rate": received, "sent": sent}


if __name__ == "__main__":
    tell(both(options(__doc__, "both")))
