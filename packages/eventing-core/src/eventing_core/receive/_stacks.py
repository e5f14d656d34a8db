"""Where a run is, as a traceback shows it."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from typing import Any

#: Of a stack, the innermost.
_FRAMES = 20


def task_stack(task: asyncio.Task[Any]) -> list[str]:
    """Where a task is. It may go on meanwhile: what is told then is where it was, or nothing."""
    places: list[traceback.FrameSummary] = []
    with contextlib.suppress(Exception):
        running: Any = task.get_coro()
        while len(places) < _FRAMES and (frame := getattr(running, "cr_frame", None)) is not None:
            code = frame.f_code
            places.append(traceback.FrameSummary(code.co_filename, frame.f_lineno, code.co_qualname))
            running = running.cr_await
    return traceback.format_list(places)


def shown(lines: list[str]) -> str:
    return "".join(lines[-_FRAMES:])
