"""Where listeners run: a fixed pool of threads, and one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

_log = logging.getLogger("eventing")

Task = Callable[[], None]


class Workers:
    """A fixed pool of daemon threads that run tasks in turn."""

    def __init__(self, count: int, name: str) -> None:
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-worker-{number}", daemon=True) for number in range(count)
        ]
        #: Give a task to the pool; returns at once. Thread-safe.
        self.submit: Callable[[Task], None] = self._tasks.put
        #: How many tasks wait for a thread, roughly.
        self.waiting: Callable[[], int] = self._tasks.qsize

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> None:
        """End the threads that are idle, and those that become so within ``timeout`` seconds."""
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def abandon(self) -> None:
        """In a child after a fork: the thread that made it, if it is one of these, ends after its task."""
        self._tasks = SimpleQueue()
        self._tasks.put(None)
        self.submit, self.waiting = self._tasks.put, self._tasks.qsize

    def owns_current_thread(self) -> bool:
        """Whether the caller runs on one of these threads."""
        return threading.current_thread() in self._threads

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except BaseException:  # noqa: BLE001 (a worker outlives whatever a task does)
                with contextlib.suppress(Exception):
                    _log.exception("an unexpected error in a worker")


#: The loop that a task runs on; known also where it has something done in another thread, by `asyncio.to_thread`.
_home: contextvars.ContextVar[LoopThread | None] = contextvars.ContextVar("eventing_loop", default=None)


class LoopThread:
    """An event loop on a daemon thread of its own, for listeners with ``async def on``."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        context = contextvars.Context()
        context.run(_home.set, self)
        #: A context for one task, with nothing in it of the user's.
        self.new_context: Callable[[], contextvars.Context] = context.copy
        #: Of the thread.
        self.name = f"{name}-loop"
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._stopping = False
        self._abandoned = False
        #: When it was asked whether it runs, as long as it hasn't answered.
        self._asked: float | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def ident(self) -> int:
        """Of the thread; 0 before its start."""
        return self._thread.ident or 0

    def silence(self) -> float:
        """For how many seconds the loop has not answered; asks it again when it has. Never blocks."""
        asked = self._asked
        if asked is not None:
            return time.monotonic() - asked
        if self._thread.is_alive() and not self._stopping:
            self._asked = time.monotonic()
            with contextlib.suppress(RuntimeError):  # it was closed just now
                self.loop.call_soon_threadsafe(self._answer)
        return 0.0

    def _answer(self) -> None:
        self._asked = None

    def owns_current_thread(self) -> bool:
        """Whether the caller runs on the loop's thread."""
        return threading.current_thread() is self._thread

    def owns_current_context(self) -> bool:
        """Whether the caller is one of its tasks, or what a task has done in another thread."""
        return _home.get() is self

    def stop(self, timeout: float) -> None:
        """Cancel what runs, end the loop, and wait for it at most ``timeout`` seconds."""
        if self._thread.ident is None:
            self.loop.close()
            return
        self._stopping = True
        with contextlib.suppress(RuntimeError):  # it was stopped before
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout)

    def abandon(self) -> None:
        """In a child after a fork: the thread, if it made it, ends soon, and leaves the parent's loop alone."""
        self._stopping = self._abandoned = True
        self.loop.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            while not self._stopping:
                try:
                    self.loop.run_forever()
                except BaseException:  # noqa: BLE001 (SystemExit of a task that a listener left behind)
                    if self._abandoned:
                        return
                    with contextlib.suppress(Exception):
                        _log.exception("a task on the event loop of the listeners raised; the loop goes on")
            if self._abandoned:
                return
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            if not self._abandoned:  # else the parent polls by what this would change
                self.loop.close()
