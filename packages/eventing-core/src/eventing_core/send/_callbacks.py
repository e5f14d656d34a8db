"""Futures whose callbacks run on a thread of their own."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue

_log = logging.getLogger("eventing")


class SendFuture(Future[None]):
    """A future whose callbacks run on a thread of their own, never on the provider's."""

    def __init__(self, callbacks: CallbackThread) -> None:
        super().__init__()
        self._callbacks = callbacks

    def add_done_callback(self, fn: Callable[[Future[None]], object]) -> None:
        self._callbacks.start()
        super().add_done_callback(lambda future: self._callbacks.run(lambda: fn(future)))


class CallbackThread:
    """Runs the callbacks that users hang on futures. Thread-safe."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        # Guards both fields below, and that nothing is queued behind the end. No callback runs under it.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Start the thread, unless it runs; now, as it may be too late when the first callback is due.

        While the interpreter exits, Python 3.12 starts none any more. Callbacks then run where they are due.
        """
        with self._lock:
            if self._stopped:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="eventing-callbacks", daemon=True)
            if self._thread.ident is None:  # also after an interruption
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None

    def owns_current_thread(self) -> bool:
        """Whether the caller is a callback."""
        return threading.current_thread() is self._thread

    def run(self, task: Callable[[], object]) -> None:
        """Run a callback soon; never blocks. Without the thread, so also after `stop`, on the caller's."""
        with self._lock:
            queued = self._thread is not None and not self._stopped
            if queued:
                self._tasks.put(task)
        if not queued:
            self._call(task)

    def stop(self, timeout: float) -> None:
        """Run what is there, then end the thread."""
        with self._lock:
            self._stopped = True
            self._tasks.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._call(task)

    @staticmethod
    def _call(task: Callable[[], object]) -> None:
        try:
            contextvars.Context().run(task)
        except BaseException:  # noqa: BLE001 (SystemExit, too: it would end the thread, and with it all callbacks)
            with contextlib.suppress(Exception):
                _log.exception("a callback of a send's future raised")
