"""Callbacks on their way: made in the order of what happened, one at a time, and under no lock that matters."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

_log = logging.getLogger("eventing.memory")


class Outbox:
    """Filled under the engine's lock, emptied without it."""

    __slots__ = ("_calls", "_flushing")

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        #: Held by the thread that makes the calls. Nobody waits for it, and calls are made while it is held: it keeps
        #: others from making them at the same time, and out of their order, and guards nothing else.
        self._flushing = threading.Lock()

    def put(self, call: Callable[..., object], *arguments: object) -> None:
        """Add a call. Hold the lock that orders what happens."""
        self._calls.append((call, arguments))

    def flush(self) -> None:
        """Make the calls that are due, unless another thread is at it, or this one further up. Hold no lock."""
        calls = self._calls
        # Looked at again after the lock was given back: another thread may have added and gone its way.
        while calls and self._flushing.acquire(blocking=False):
            try:
                while calls:
                    call, arguments = calls.popleft()
                    try:
                        call(*arguments)
                    except Exception:  # noqa: BLE001 (it must not fail the send that happens to carry it)
                        with contextlib.suppress(Exception):
                            _log.exception("a callback raised, which the provider interface forbids")
            finally:
                self._flushing.release()
