"""Waiting for conditions that nobody announces: what another process wrote, what a broker holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Between two looks, in seconds.
_STEP = 0.005


def until(condition: Callable[[], bool], what: Callable[[], str] | str, timeout: float = 60.0) -> None:
    """Return once the condition holds.

    Raises:
        AssertionError: it doesn't within ``timeout`` seconds; the message says ``what`` was waited for.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what if isinstance(what, str) else what()}")
        pause.wait(_STEP)
