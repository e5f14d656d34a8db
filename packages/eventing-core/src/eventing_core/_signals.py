"""Waiting for the signals that end a process."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Generator
from types import FrameType, TracebackType
from typing import Self


class Signalled(BaseException):
    """A signal came within `SignalWaiter.raising`; its text is the signal's name."""


class SignalWaiter:
    """Waits for SIGINT or SIGTERM, or a call of `wake`. On the main thread only.

    The signal's number comes as a byte through a socket (`signal.set_wakeup_fd`). A handler in Python that
    sets an event doesn't do: the signal may come between the last look at it and the wait, and is then
    noticed with the next signal. After the first signal the handlers are as they were before.
    """

    _signals = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> Self:
        self._raising = False
        self._reader, self._writer = socket.socketpair()
        self._writer.settimeout(0)
        self._handlers = {number: signal.signal(number, self._handle) for number in self._signals}
        self._wakeup_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def _handle(self, number: int, _: FrameType | None) -> None:
        self._restore()
        if self._raising:
            self._raising = False
            raise Signalled(signal.Signals(number).name)

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            if handler is not None:  # else one of another language, which Python can't put back
                signal.signal(number, handler)

    @contextlib.contextmanager
    def raising(self) -> Generator[None, None, None]:
        """Within it, the first signal raises `Signalled`, wherever the main thread is."""
        self._raising = True
        try:
            yield
        finally:
            self._raising = False

    def wait(self) -> str:
        """Block until something comes, or has come; say what."""
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
            self._restore()
        self._reader.close()
        self._writer.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()
