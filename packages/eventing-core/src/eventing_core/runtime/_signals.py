"""Waiting for the signals that end a process."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import FrameType, TracebackType
from typing import Any, Self

#: Bytes that are no signal's number: `SignalWaiter.wake`, and the end of `SignalWaiter.calling`.
_WOKEN, _ENOUGH = 0, 255


class SignalWaiter:
    """Waits for SIGINT or SIGTERM, or a call of `wake`. On the main thread only.

    The signal's number comes as a byte through a socket (`signal.set_wakeup_fd`). A handler in Python that
    sets an event doesn't do: the signal may come between the last look at it and the wait, and is then
    noticed with the next signal. Nor does one that raises, which it would do between any two steps of other code.
    After the first signal the handlers are as they were before.
    """

    _signals = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> Self:
        self._reason = ""
        self._came = False
        self._handlers: dict[int, Any] = {}
        self._wakeup_fd = -1
        self._reader, self._writer = socket.socketpair()
        try:
            self._writer.settimeout(0)
            # Before the handlers: what they take is then in the socket.
            self._wakeup_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            for number in self._signals:
                self._handlers[number] = signal.getsignal(number)
                signal.signal(number, self._handle)
            if self._came:  # meanwhile: one of them was put in place after that
                self._restore()
        except BaseException:
            self.leave()
            raise
        return self

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in tuple(self._handlers.items()):
            if handler is not None:  # else one of another language, which Python can't put back
                signal.signal(number, handler)

    @contextlib.contextmanager
    def calling(self, call: Callable[[], None]) -> Generator[None, None, None]:
        """Within it, the first signal has ``call`` called, on a thread of its own; the main thread has other work."""

        def watch() -> None:
            self._reason = self.wait()
            if self._came_a_signal:
                call()

        thread = threading.Thread(target=watch, name="eventing-signals", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._send(_ENOUGH)
            thread.join()

    @property
    def _came_a_signal(self) -> bool:
        return self._reason in {signal.Signals(number).name for number in self._signals}

    def wait(self) -> str:
        """Block until something comes, or has come; say what."""
        while not self._reason:
            number = self._reader.recv(1)[0]
            if number == _ENOUGH:
                return ""
            if number == _WOKEN:
                return "stop() was called"
            if number in self._signals:
                return signal.Signals(number).name
        return self._reason

    def wake(self) -> None:
        """End the wait. Thread-safe; harmless afterwards."""
        self._send(_WOKEN)

    def _send(self, what: int) -> None:
        with contextlib.suppress(OSError):
            self._writer.send(bytes([what]))

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
