"""What the log says of a subscription: each change once, however often it is tried."""

from __future__ import annotations

import logging
from enum import Enum, auto

from eventing_core.provider._interface import Destination
from eventing_core.provider.sockets._loop import quietly

_log = logging.getLogger("eventing.sockets")


class _Last(Enum):
    """What was said last."""

    #: Nothing, or that it consumes.
    FINE = auto()
    #: That the broker ended it, or that it waits for its queue.
    INTERRUPTED = auto()
    #: That it can't be had.
    REFUSED = auto()


class Said:
    """The log lines of one subscription. Runs on the I/O thread.

    Args:
        destination: what it consumes, for the lines.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._last = _Last.FINE
        self._has_consumed = False

    def interrupted(self, error: Exception) -> None:
        """The broker detached it; it attaches again at once."""
        if self._last is _Last.FINE:
            self._last = _Last.INTERRUPTED
            with quietly:
                _log.warning("%s: interrupted: %s; attaching again", self._destination, error)

    def waits(self, queue: str, server_name: str, limit: float) -> None:
        """Another consumer has the queue of this server name."""
        if self._last is _Last.FINE:
            self._last = _Last.INTERRUPTED
            with quietly:
                _log.warning(
                    "%s: waits up to %g s for the queue %r: another process with the server_name %r uses it, or the "
                    "broker has not noticed yet that this server's last connection is gone. To run both processes, "
                    "give each its own server_name (EVENTING_SERVER_NAME).",
                    *(self._destination, limit, queue, server_name),
                )

    def refused(self, error: Exception, *, is_told: bool) -> None:
        """It can't be had again, and is tried again. ``is_told``: whoever is told of it logs it."""
        if self._last is not _Last.REFUSED:
            self._last = _Last.REFUSED
            if not is_told:
                with quietly:
                    _log.error("%s: not consuming: %s; trying again", self._destination, error)

    def consumes(self) -> None:
        """It has its queue."""
        if self._last is not _Last.FINE:
            self._last = _Last.FINE
            with quietly:
                _log.info("%s: consuming%s", self._destination, " again" if self._has_consumed else "")
        self._has_consumed = True
