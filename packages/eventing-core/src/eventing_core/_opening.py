"""Opening a provider once, whoever comes first, and closing it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum

from eventing_core.errors import ManagerStateError


class _State(Enum):
    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"


class Opening:
    """The life of one connection, from outside. Thread-safe.

    One thread opens at a time, and the others wait for it. The lock guards the state alone and isn't held while the
    provider opens or closes: both may log, and call back.

    Args:
        connected: whether there is a connection; asked after an interruption, which tells nothing of what it came
            after.
    """

    def __init__(self, connected: Callable[[], bool]) -> None:
        self._connected = connected
        self._state = _State.CLOSED
        self._thread = 0
        self._changed = threading.Condition(threading.Lock())

    @property
    def is_open(self) -> bool:
        """It was opened, and may be closed since."""
        return self._state is _State.OPEN

    @property
    def under_way(self) -> bool:
        """A thread opens it."""
        return self._state is _State.OPENING

    def open(self, connect: Callable[[], None]) -> None:
        """Return once it is open; ``connect`` is called if nobody has, and may be again after it has raised.

        Raises:
            ManagerStateError: this is called within ``connect``.
        """
        if self._state is _State.OPEN:
            return
        mine, result = False, _State.CLOSED
        try:
            with self._changed:
                while self._state is _State.OPENING:
                    if self._thread == threading.get_ident():
                        msg = "this thread is connecting, and can't send before it has; is it a logging handler's send?"
                        raise ManagerStateError(msg)
                    self._changed.wait()
                if self.is_open:
                    return
                self._thread = threading.get_ident()
                self._state, mine = _State.OPENING, True
            try:
                connect()
                result = _State.OPEN
            except Exception:
                raise
            except BaseException:  # Ctrl-C: it may have come just after that
                result = _State.OPEN if self._connected() else _State.CLOSED
                raise
        finally:
            if mine:
                self._state = result  # first: an interruption must not leave it as it is
                with self._changed:
                    self._changed.notify_all()

    def close(self, close: Callable[[], None], timeout: float) -> None:
        """Call ``close`` if it is open. One that opens is waited for; after ``timeout`` seconds the opener closes."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._changed.wait_for(lambda: self._state is not _State.OPENING, max(0.0, deadline - time.monotonic()))
            is_open = self._state is _State.OPEN
        if is_open:
            close()
