"""Opening a provider once, whoever comes first, and closing it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum, auto

from eventing_core.errors import ManagerStateError


class OpeningState(Enum):
    """Whether there is a connection to close."""

    #: There is none.
    CLOSED = auto()
    #: A thread connects.
    OPENING = auto()
    #: It has, and looks whether the connection is still wanted.
    CHECKING = auto()
    #: There is one, which may be lost, and which only its end closes.
    OPEN = auto()


#: A thread is at it, and others wait.
_UNDER_WAY = frozenset({OpeningState.OPENING, OpeningState.CHECKING})


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
        self._state = OpeningState.CLOSED
        self._thread = 0
        #: Guards `_state` and `_thread`, and tells who waits of their changes.
        self._changed = threading.Condition(threading.Lock())

    @property
    def is_open(self) -> bool:
        """It was opened, and may be closed since."""
        return self._state is OpeningState.OPEN

    @property
    def under_way(self) -> bool:
        """A thread connects."""
        return self._state is OpeningState.OPENING

    def open(self, connect: Callable[[], None], check: Callable[[], None]) -> None:
        """Return once it is open; ``connect`` is called if nobody has, and may be again after it has raised.

        ``check`` is called after it. Where that raises, having closed the connection, it is not open.

        Raises:
            ManagerStateError: this is called within ``connect``.
        """
        if self._state is OpeningState.OPEN:
            return
        mine, result = False, OpeningState.CLOSED
        try:
            with self._changed:
                while self._state in _UNDER_WAY:
                    if self._thread == threading.get_ident():
                        msg = (
                            "this thread is still connecting, and can't send before it is connected. "
                            "Is a logging handler sending events?"
                        )
                        raise ManagerStateError(msg)
                    self._changed.wait()
                if self.is_open:
                    return
                self._thread = threading.get_ident()
                self._state, mine = OpeningState.OPENING, True
            try:
                connect()
                self._state = OpeningState.CHECKING
                check()
                result = OpeningState.OPEN
            except Exception:
                raise
            except BaseException:  # Ctrl-C: it may have come just after that
                result = OpeningState.OPEN if self._connected() else OpeningState.CLOSED
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
            self._changed.wait_for(lambda: self._state not in _UNDER_WAY, max(0.0, deadline - time.monotonic()))
            is_open = self._state is OpeningState.OPEN
        if is_open:
            close()
