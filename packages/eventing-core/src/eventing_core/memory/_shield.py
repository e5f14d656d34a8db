"""Calls that no signal handler may interrupt, taken off the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class _Call(Generic[R]):
    """One call, and what came of it."""

    __slots__ = ("_call", "_done", "_error", "_result", "_then")

    def __init__(self, call: Callable[[], R], then: Callable[[R], None] | None) -> None:
        self._call = call
        self._then = then
        self._result: R | None = None
        self._error: BaseException | None = None
        #: Held until the call was made: who waits for its result takes it. It guards nothing else.
        self._done = threading.Lock()
        self._done.acquire()

    def make(self) -> None:
        """Make it, and tell the caller; what then follows isn't waited for."""
        try:
            result = self._result = self._call()
        except BaseException as error:  # noqa: BLE001 (it reaches the caller)
            self._error = error
            self._done.release()
            return
        self._done.release()
        if self._then is not None:
            self._then(result)

    def result(self) -> R:
        """Wait for it; its result, or what it raised."""
        self._done.acquire()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]


class Shield:
    """Makes calls on a thread of its own when it is called on the main thread, and on the caller's else.

    Signal handlers run on the main thread, between any two steps of whatever is under way there, and may raise: Ctrl-C
    does. What changes several things at once would be left half done. Here the main thread only waits meanwhile.

    Args:
        after: called after each call, on the same thread, when its caller waits no more.
        is_over: whether no call is to be expected soon: the thread ends then.
    """

    def __init__(self, after: Callable[[], None], is_over: Callable[[], bool]) -> None:
        self._after = after
        self._is_over = is_over
        self._calls: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        #: Guards `_thread`: there is one at most, which ends only while no call waits for it.
        self._lock = threading.Lock()

    def call(self, function: Callable[[], R], then: Callable[[R], None] | None = None) -> R:
        """Make a call; its result, or what it raises. An exception of a signal handler ends the wait alone.

        ``then`` is called with the result. The main thread doesn't wait for that: it may hold locks that logging
        handlers take.
        """
        if threading.get_ident() == threading.main_thread().ident:
            call = _Call(function, then)
            try:
                self._calls.put(call)
            finally:
                has_thread = self._ensure_thread()
            if not has_thread:  # at the interpreter's exit
                self._run_here()
            return call.result()
        try:
            result = function()
            if then is not None:
                then(result)
        finally:
            self._after()
        return result

    def end(self) -> None:
        """End the thread, if no call is to be expected, and wait for that a moment."""
        with self._lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread() and self._is_over():
            self._calls.put(None)
            thread.join(1.0)

    def _ensure_thread(self) -> bool:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="eventing-memory", daemon=True)
            if self._thread.ident is None:  # also after an interruption
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None
            return self._thread is not None

    def _run_here(self) -> None:
        while not self._calls.empty():
            call = self._calls.get()
            if call is not None:
                call.make()
                self._after()

    def _run(self) -> None:
        while True:
            # Before the first call, too: the thread before this one may have made it, and ended.
            with self._lock:
                if self._calls.empty() and self._is_over():
                    self._thread = None
                    return
            call = self._calls.get()
            if call is not None:
                call.make()
                self._after()
