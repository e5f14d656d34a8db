"""The circuit guard: whether a listener has to pause, since almost everything that it does fails."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from eventing_core._retry import Retry

#: Of the events looked at, this share has to have failed.
_SHARE = 0.9

#: Where one event comes after the other, each with all its attempts, so many are enough.
_ORDERED = 3

#: Whatever retries wait, in seconds: no probe comes sooner; the first one comes within, and each later one.
_LEAST, _FIRST, _LONGEST = 0.1, 1.0, 30.0


class Circuit:
    """Of one listener. It looks at events, and not at attempts: that one fails again tells nothing. Not thread-safe.

    Attributes:
        is_open: the listener is paused, and probes.
        probing: it is time for a probe, or one runs.
        watching: events have failed of late; while none has, successes need not be told.
        error: the last failure.
    """

    __slots__ = ("_events", "_failed", "_probes", "_waits", "error", "is_open", "probing", "watching")

    def __init__(self, retry: Retry, *, ordered: bool = False) -> None:
        self.is_open = self.probing = self.watching = False
        self.error = ""
        self._waits = replace(
            retry,
            initial=min(retry.initial, _FIRST),
            factor=max(retry.factor, 2),
            max_delay=min(retry.max_delay, _LONGEST),
        )
        self._events = min(retry.pause_after, _ORDERED) if ordered else retry.pause_after
        self._probes = 0
        #: The last events, by when they came, from the first that failed: whether the last attempt has.
        self._failed: dict[Hashable, bool] = {}

    def failed(self, event: Hashable, error: str, *, again: bool) -> bool:
        """Count a failure, of an event that may have failed before; whether it opens the circuit."""
        if self.is_open or not self._events or (again and event not in self._failed):
            return False
        self.watching = True
        self.error = error
        self._note(event, failed=True)
        self.is_open = len(self._failed) == self._events and sum(self._failed.values()) >= _SHARE * self._events
        return self.is_open

    def succeeded(self, event: Hashable) -> None:
        """Count a success."""
        if self.watching and not self.is_open:
            self._note(event, failed=False)
            if not any(self._failed.values()):
                self._forget()

    def _note(self, event: Hashable, *, failed: bool) -> None:
        self._failed[event] = failed
        if len(self._failed) > self._events:
            del self._failed[next(iter(self._failed))]

    def wait(self) -> float:
        """Begin to wait for the next probe; how long, in seconds."""
        self.probing = False
        self._probes += 1
        return max(_LEAST, self._waits.delay(self._probes))

    def close(self) -> None:
        """A probe has returned."""
        self.is_open = self.probing = False
        self._probes = 0
        self._forget()

    def _forget(self) -> None:
        self._failed.clear()
        self.watching = False
        self.error = ""
