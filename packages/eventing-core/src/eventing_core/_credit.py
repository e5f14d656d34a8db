"""Telling the provider how many deliveries a listener may have out."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from eventing_core._copies import describe_error
from eventing_core.provider import Handle

_log = logging.getLogger("eventing")


class Credit:
    """The window of one listener's subscription, as its provider knows it. Thread-safe.

    Attributes:
        flaw: why the provider failed to set the window; empty when it could.
    """

    __slots__ = ("_changed", "_giving", "_label", "_lock", "_wanted", "flaw")

    def __init__(self, wanted: Callable[[], int], label: str) -> None:
        """``wanted`` tells the window, and what it returns last is told last."""
        self.flaw = ""
        self._wanted = wanted
        self._lock = threading.Lock()
        self._label = label
        self._giving = False
        self._changed = False

    def give(self, handle: Handle) -> None:
        """Tell the provider the window. One thread at a time does, so that the last word is the newest size.

        Where the provider raises, which it must not, the listener isn't consuming until it takes a window again.
        """
        giving = False
        try:
            with self._lock:
                self._changed = True
                if self._giving:
                    return
                self._giving = giving = True
            while True:
                with self._lock:
                    if not self._changed:
                        self._giving = giving = False
                        return
                    self._changed = False
                self._tell(handle)
        finally:
            if giving:  # an interruption: the window is as good as not told, and whoever comes next tells it
                self._changed = True
                self._giving = False

    def _tell(self, handle: Handle) -> None:
        flaw = ""
        try:
            handle.window(self._wanted())
        except Exception as error:  # noqa: BLE001 (whoever comes with news of the window has to do the rest)
            flaw = f"the provider failed to set the window: {describe_error(error)}"
            with contextlib.suppress(Exception):  # a logging handler that raises must cost no event
                _log.exception("%s: the provider failed to set the window", self._label)
        self.flaw = flaw

    def abandon(self) -> None:
        """In a child after a fork: a thread that isn't there any more may have held the lock."""
        self._lock = threading.Lock()
