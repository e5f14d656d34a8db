"""Starting and stopping from a coroutine: on a thread of its own, and to the end also where the task is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future


async def start(start: Callable[[], None], stop: Callable[[], None]) -> None:
    """Start. A cancellation ends the start, and is raised once everything is closed."""
    starting = _on_a_thread(start)
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _finished(_on_a_thread(stop))
        await _finished(starting)
        with contextlib.suppress(Exception):  # what a start raises that was ended, and nobody waits for
            starting.result()
        raise


async def stop(stop: Callable[[], None]) -> None:
    """Stop. A cancellation is raised once everything is closed."""
    stopping = _on_a_thread(stop)
    cancelled = await _finished(stopping)
    stopping.result()
    if cancelled is not None:
        raise cancelled


def _on_a_thread(call: Callable[[], None]) -> asyncio.Future[None]:
    """Not in the loop's executor, whose threads may all wait for what this starts."""
    future: Future[None] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            context.run(call)
        except BaseException as error:  # noqa: BLE001 (it reaches the coroutine)
            future.set_exception(error)
        else:
            future.set_result(None)

    try:
        threading.Thread(target=work, name="eventing-life", daemon=True).start()
    except RuntimeError:  # Python 3.12 starts none while it exits
        work()
    return asyncio.wrap_future(future)


async def _finished(future: asyncio.Future[None]) -> asyncio.CancelledError | None:
    """Wait until it is done; the cancellation that came meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled
