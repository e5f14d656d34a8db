"""Waiting for the signals that end a process."""

from __future__ import annotations

import contextlib
import signal
import socket
from types import TracebackType
from typing import Self


class SignalWaiter:
    """Waits for SIGINT or SIGTERM, or a call of `wake`.

    The signal's number comes as a byte through a socket (`signal.set_wakeup_fd`). A handler in Python that
    sets an event doesn't do: the signal may come between the last look at it and the wait, and is then
    noticed with the next signal.
    """

    _signals = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._writer.settimeout(0)
        self._handlers = {number: signal.signal(number, lambda _number, _frame: None) for number in self._signals}
        self._wakeup_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def wait(self) -> str:
        """Block until something comes; say what."""
        while True:
            number = self._reader.recv(1)[0]
            if not number:
                return "stop() was called"
            if number in self._signals:
                return signal.Signals(number).name

    def wake(self) -> None:
        """End the wait. Thread-safe; harmless afterwards."""
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def leave(self) -> None:
        """Put everything back. Also in a forked child, which else would wake its parent and ignore the signals."""
        with contextlib.suppress(ValueError):  # not the main thread
            signal.set_wakeup_fd(self._wakeup_fd)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()
