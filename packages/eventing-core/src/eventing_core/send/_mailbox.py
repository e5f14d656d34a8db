"""Results on their way to the event loops that wait for them."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from typing import TypeAlias

_Results: TypeAlias = "deque[tuple[asyncio.Future[None], Exception | None]]"


class Mailbox:
    """Carries results to one asyncio loop, with one wake-up for many of them. Thread-safe.

    It keeps neither the loop nor its futures alive. What is on its way belongs to the loop, by the call that is to
    deliver it: a loop that is closed before then takes it along.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._on_its_way: weakref.ref[_Results] | None = None
        # Guards `_on_its_way`, and that no result is added to what is delivered already.
        self._lock = threading.Lock()

    def put(self, future: asyncio.Future[None], error: Exception | None) -> None:
        """Set the result of a future, soon, unless it is done by then or its loop is closed."""
        with self._lock:
            results = self._on_its_way() if self._on_its_way is not None else None
            if results is not None:
                results.append((future, error))
                return
            results = deque([(future, error)])
            self._on_its_way = weakref.ref(results)
        loop = self._loop()
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._deliver, results)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _deliver(self, results: _Results) -> None:
        with self._lock:
            if self._on_its_way is not None and self._on_its_way() is results:
                self._on_its_way = None
        for future, error in results:
            if future.done():  # cancelled
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
