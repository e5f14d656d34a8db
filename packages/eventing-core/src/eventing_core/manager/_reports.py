"""What the log says of a manager's connection."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable

from eventing_core import provider as spi

_log = logging.getLogger("eventing")


class ConnectionReports:
    """Keeps what the provider tells of its connection until it can be logged. Thread-safe.

    Args:
        provider: whose connection it is.
        is_opening: whether a thread opens it: that one may hold locks, and has it logged afterwards.
    """

    def __init__(self, provider: spi.Provider, is_opening: Callable[[], bool]) -> None:
        self._provider = provider
        self._is_opening = is_opening
        self._observed: deque[tuple[bool, Exception | None]] = deque()
        #: Only for a word in the log: whether it is connected again.
        self._was_connected = False

    def observe(self, connected: bool, error: Exception | None) -> None:  # noqa: FBT001 (the SPI's signature)
        """The provider's observer."""
        self._observed.append((connected, error))
        if not self._is_opening():
            self.log()

    def log(self) -> None:
        """Log what became of the connection. Under no lock: a logging handler may send."""
        while True:
            try:
                connected, error = self._observed.popleft()
            except IndexError:
                return
            with contextlib.suppress(Exception):  # a logging handler's must not reach the provider
                if connected:
                    place = self._provider.health().place
                    again = " again" if self._was_connected else ""
                    _log.info("%s: connected%s%s", self._provider.name, again, f" to {place}" if place else "")
                else:
                    _log.warning("%s: connection lost: %s; reconnecting", self._provider.name, error)
                self._was_connected = True
