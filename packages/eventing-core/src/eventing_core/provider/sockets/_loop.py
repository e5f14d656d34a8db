"""What drives the I/O thread: its inbox, its timers, and the selector that it sleeps in."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from eventing_core.provider._timer import Alarm

_log = logging.getLogger("eventing.sockets")

#: Around what is logged, once everything else is done: a logging handler that raises must not stop the I/O thread.
quietly = contextlib.suppress(Exception)


class Loop:
    """Runs on one thread. Only `post`, `hand_over` and `finish_posted` may be called on others.

    There is no polling: without input, output or a timer the thread sleeps.

    Attributes:
        closed: nobody carries out what is posted from now on.
    """

    def __init__(self) -> None:
        self.closed = False
        #: Held by whoever carries out what was posted too late. It guards nothing else, and nobody waits for it: others
        #: leave theirs to that one.
        self._finishing = threading.Lock()
        self._inbox: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._sleeping = False
        self._timers: list[tuple[float, int, Alarm]] = []
        self._numbers = itertools.count()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.settimeout(0)
        self._wake_in.settimeout(0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._watched: socket.socket | None = None
        self._mask = 0

    def post(self, call: Callable[[Any], None], argument: Any = None) -> None:
        """Call ``call(argument)`` on the I/O thread. Thread-safe; never blocks; in order."""
        try:
            self._inbox.append((call, argument))
        finally:  # also when a signal handler raises just now: nobody else might wake the sleeper up for a while
            # The sleeper sets its flag before it looks into the inbox a last time, so one of the two sees the other.
            # The flag is taken down here, so that one byte is written however many post: in one step with that, as
            # there is no call between, after which a signal handler could run.
            if self._sleeping:
                try:
                    self._sleeping = False
                    self._wake_in.send(b"\0")
                except OSError:  # full: it wakes up anyway; closed: nobody is there
                    pass

    def hand_over(self, call: Callable[[Any], None], argument: Any) -> bool:
        """Like `post`. Once the loop is closed, the call is made here, or by who is at it, and this is False."""
        self.post(call, argument)
        if self.closed:
            self.finish_posted()
            return False
        return True

    def call_at(self, when: float, call: Callable[[], None]) -> Alarm:
        """Call at a time of `time.monotonic`."""
        alarm = Alarm(call)
        heapq.heappush(self._timers, (when, next(self._numbers), alarm))
        return alarm

    def call_in(self, delay: float, call: Callable[[], None]) -> Alarm:
        """Call after a number of seconds."""
        return self.call_at(time.monotonic() + delay, call)

    def watch(self, sock: socket.socket | None, *, writing: bool = False) -> None:
        """Wake up for input on this socket, and when it can be written to; None: forget the one that was watched."""
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        if sock is self._watched:
            if sock is not None and mask != self._mask:
                self._selector.modify(sock, mask)
        else:
            if self._watched is not None:
                self._selector.unregister(self._watched)
            if sock is not None:
                self._selector.register(sock, mask)
            self._watched = sock
        self._mask = mask

    def sleep(self, limit: float | None) -> bool:
        """Sleep until there is something to do, at most ``limit`` seconds. True: the watched socket is ready."""
        timers = self._timers
        while timers and timers[0][2].is_cancelled:  # no reason to wake up
            heapq.heappop(timers)
        if timers:
            rest = timers[0][0] - time.monotonic()
            limit = rest if limit is None else min(limit, rest)
        self._sleeping = True
        events = self._selector.select(0 if self._inbox else limit if limit is None else max(0.0, limit))
        self._sleeping = False
        ready = False
        for key, _ in events:
            if key.fileobj is self._wake_out:
                with contextlib.suppress(BlockingIOError):
                    self._wake_out.recv(4096)
            else:
                ready = True
        return ready

    def run_posted(self) -> None:
        """Carry out what was posted so far."""
        inbox = self._inbox
        # What calls post meanwhile waits for the next turn, so that the socket is not starved.
        for _ in range(len(inbox)):
            try:
                call, argument = inbox.popleft()
            except IndexError:  # a command carried out the rest itself
                return
            try:
                call(argument)
            except Exception:  # noqa: BLE001 (one command must not end the thread)
                with quietly:
                    _log.exception("a command failed")

    def run_timers(self) -> None:
        """Fire the timers that are due."""
        timers = self._timers
        now = time.monotonic()
        while timers and timers[0][0] <= now:
            heapq.heappop(timers)[2].fire()

    def finish_posted(self) -> None:
        """Carry out what was posted while the loop was closed, or after. Thread-safe.

        One thread at a time does. What is called may come here again, and a thread that finds another one at it leaves.
        """
        # Looked at again after it was given back: another thread may have posted and gone its way.
        while self._inbox and self._finishing.acquire(blocking=False):
            try:
                self.run_posted()
            finally:
                self._finishing.release()

    def close(self) -> None:
        """Close the descriptors. What is posted from now on is carried out by `finish_posted`."""
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
        self.closed = True

    def abandon(self) -> None:
        """In a forked child: close the descriptors; their counterparts are the parent's."""
        # It may be held by a thread that isn't there any more.
        self._finishing = threading.Lock()
        # An epoll instance is shared with the parent: closing it is fine, unregistering would reach the parent's.
        self.close()
        self._inbox.clear()
