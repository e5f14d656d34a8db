"""Noticing that something blocks the event loop of the asynchronous listeners, and saying what and where."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
import traceback
from types import FrameType
from typing import Any, Protocol

from eventing_core.provider._timer import Timer
from eventing_core.runtime._workers import LoopThread

_log = logging.getLogger("eventing")

#: Between two looks, in seconds. Two in a row that find the same task without an answer of the loop are enough.
_LOOK = 1.0

#: A place is warned of again once nothing has blocked the loop for so many seconds.
_QUIET = 60.0

#: Of a stack, the innermost.
_FRAMES = 20

#: Whose frames lead to the user's: on the loop's thread, from the outermost on.
_OURS = ("threading", "asyncio", __name__.partition(".")[0], "contextlib")


class Watched(Protocol):
    """Who runs tasks on the loop."""

    @property
    def label(self) -> str:
        """Its name, for messages."""
        ...

    def has_tasks(self) -> bool:
        """Whether something of it runs on the loop."""
        ...

    def owns(self, task: asyncio.Task[Any]) -> bool:
        """Whether that task runs its listener."""
        ...


class LoopWatch:
    """Looks on the timer's thread, and only while something runs on the loop: an idle loop costs nothing.

    Attributes:
        on: it looks, now and then.
    """

    def __init__(self, timer: Timer, loop: LoopThread) -> None:
        self.on = False
        self._timer = timer
        self._loop = loop
        self._watched: list[Watched] = []
        #: What ran at the last look, if the loop hadn't answered by then.
        self._suspect: asyncio.Task[Any] | None = None
        self._warned: set[tuple[str, int]] = set()
        self._blocked_at = 0.0

    def add(self, watched: Watched) -> None:
        """Take in who runs tasks on the loop."""
        self._watched.append(watched)

    def begin(self) -> None:
        """A task was made: look until there is none any more. Call it on the loop's thread, when it isn't `on`."""
        self.on = True
        self._loop.silence()  # asks
        self._timer.call_later(_LOOK, self._look)

    def _look(self) -> None:
        if not any(each.has_tasks() for each in self._watched):
            self._suspect = None
            self.on = False  # first, as the loop may make one just now
            if not any(each.has_tasks() for each in self._watched):
                return
            self.on = True
        self._timer.call_later(_LOOK, self._look)
        now, silence = time.monotonic(), self._loop.silence()
        if silence < _LOOK / 2:
            self._suspect = None
            if now - self._blocked_at > _QUIET:
                self._warned.clear()
            return
        suspect, before = asyncio.current_task(self._loop.loop), self._suspect
        self._suspect = suspect
        if suspect is not None and suspect is before:
            self._blocked_at = now
            self._warn(suspect, silence)

    def _warn(self, task: asyncio.Task[Any], seconds: float) -> None:
        frames = self._users_frames()
        if not frames:
            return
        summary = traceback.StackSummary.extract(((frame, frame.f_lineno) for frame in frames), lookup_lines=False)
        place = (summary[0].filename, summary[0].lineno or 0)
        if place in self._warned:
            return
        self._warned.add(place)
        owners = [each.label for each in self._watched if each.owns(task)]
        who = owners[0] if owners else f"the task {task.get_name()!r}, which a listener started,"
        with contextlib.suppress(Exception):  # a logging handler's
            _log.warning(
                "%s: has blocked the event loop for %.0f s, so no other 'async def on' runs. Await what takes "
                "long: by an async library or 'await asyncio.to_thread(...)'; a plain 'def on' may block. It is at:\n"
                "%s",
                who, seconds, "".join(traceback.format_list(summary[-_FRAMES:])).rstrip(),
            )  # fmt: skip

    def _users_frames(self) -> list[FrameType]:
        """What the loop's thread is at, without what leads there; the outermost first."""
        frame = sys._current_frames().get(self._loop.ident)  # noqa: SLF001 (documented; there is no other way)
        frames: list[FrameType] = []
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        frames.reverse()
        at = 0
        while at < len(frames) and frames[at].f_globals.get("__name__", "").partition(".")[0] in _OURS:
            at += 1
        return frames[at:]
