"""The two kinds of dispatcher: listeners that run on threads, and listeners that run on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, cast

from eventing_core._dispatch import Dispatcher, Incoming
from eventing_core._envelope import Envelope
from eventing_core._health import StuckRun
from eventing_core._loop_watch import LoopWatch
from eventing_core._workers import LoopThread, Workers
from eventing_core.errors import HandlerTimeoutError
from eventing_core.provider import Delivery

#: A token leaves its thread to other listeners after this much time, in seconds.
_SLICE = 0.02

#: Of a stack, the innermost.
_FRAMES = 20


class ThreadDispatcher(Dispatcher):
    """Runs a plain ``on`` on the pool's threads."""

    def __init__(self, incoming: Incoming, workers: Workers) -> None:
        super().__init__(incoming)
        self._workers = workers
        self._attempt = _attempt_of(incoming)
        #: When the run began, by the thread that it is on.
        self._begun: dict[int, float] = {}

    def stuck(self, since: float) -> tuple[StuckRun, ...]:
        """Each with the stack of its thread."""
        late = [(ident, begun) for ident, begun in self._begun.copy().items() if begun < since]
        if not late:
            return ()
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        frames, now = sys._current_frames(), time.monotonic()  # noqa: SLF001 (documented; there is no other way)
        return tuple(
            StuckRun(seconds=now - begun, thread=names.get(ident, ""), stack=_stack(traceback.format_stack(frame)))
            for ident, begun in late
            if (frame := frames.get(ident)) is not None
        )

    def _start_token(self) -> None:
        self._workers.submit(self._run_token)

    def _run_token(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 (an error of our own: the token must not be lost with it)
            self._token_broke(error)

    def _work(self) -> None:
        attempt, new_context, clock = self._attempt, contextvars.Context, time.monotonic
        ident, begun = threading.get_ident(), self._begun
        now = clock()
        leave_at = now + _SLICE
        try:
            while (delivery := self._take()) is not None:
                begun[ident] = now
                try:
                    new_context().run(attempt, delivery)
                except BaseException as error:  # noqa: BLE001 (SystemExit in a listener is a failure like any other)
                    self._failed(delivery, error)
                else:
                    self._succeeded(delivery)
                now = clock()
                if now > leave_at and self._workers.waiting():
                    self._flush()  # it may take long until it is this token's turn again
                    self._workers.submit(self._run_token)
                    return
        finally:
            begun.pop(ident, None)


class LoopDispatcher(Dispatcher):
    """Runs an ``async def on`` on the manager's event loop, each attempt in a task of its own."""

    def __init__(self, incoming: Incoming, loop: LoopThread, watch: LoopWatch) -> None:
        super().__init__(incoming)
        self._watch = watch
        watch.add(self)
        self._loop = loop.loop
        self._new_context = loop.new_context
        self._attempt = _async_attempt_of(incoming)
        self._thread = loop.name
        #: With the time at which it began.
        self._tasks: dict[asyncio.Task[None], tuple[Delivery, float]] = {}
        self._abandoned = False

    def cut_short(self) -> None:
        """Cancel the tasks, too. A cancellation that we ask for counts nothing."""
        super().cut_short()
        self._loop.call_soon_threadsafe(self._cancel)

    def stuck(self, since: float) -> tuple[StuckRun, ...]:
        """Each with the stack of its task."""
        now = time.monotonic()
        return tuple(
            StuckRun(seconds=now - begun, thread=self._thread, stack=_stack(_task_stack(task)))
            for task, (_, begun) in self._tasks.copy().items()
            if begun < since
        )

    def abandon(self) -> None:
        """In a child after a fork: no task goes on, but for the step that is under way."""
        super().abandon()
        self._abandoned = True

    @property
    def label(self) -> str:
        """The listener and its event."""
        return self.descriptor.label

    def has_tasks(self) -> bool:
        """Whether a task runs or waits. Thread-safe."""
        return bool(self._tasks)

    def owns(self, task: asyncio.Task[Any]) -> bool:
        """Whether a task is an attempt of this listener. Thread-safe."""
        return task in self._tasks

    def _cancel(self) -> None:
        for task in [*self._tasks]:
            task.cancel()

    def _start_token(self) -> None:
        self._loop.call_soon_threadsafe(self._run_next, context=contextvars.Context())

    def _run_next(self) -> None:
        try:
            delivery = self._take()
        except BaseException as error:  # noqa: BLE001 (an error of our own: the token must not be lost with it)
            self._token_broke(error)
            return
        if delivery is not None:
            task = self._loop.create_task(self._run(delivery), context=self._new_context())
            self._tasks[task] = delivery, time.monotonic()
            if not self._watch.on:
                self._watch.begin()
            task.add_done_callback(self._finished)

    async def _run(self, delivery: Delivery) -> None:
        try:
            if not self._abandoned:
                await self._attempt(delivery)
        except BaseException as error:  # noqa: BLE001 (a listener's own CancelledError is a failure like any other)
            self._failed(delivery, error)
        else:
            self._succeeded(delivery)
        if self._abandoned:  # in a child: end the loop, before other tasks of the parent have their turn here
            raise SystemExit

    def _finished(self, task: asyncio.Task[None]) -> None:
        delivery, _ = self._tasks.pop(task)
        try:
            if task.cancelled():  # before its first step: `_run` takes whatever comes later
                self._failed(delivery, asyncio.CancelledError())
            else:
                task.result()
        except BaseException as error:  # noqa: BLE001 (an error of our own: the token must not be lost with it)
            self._token_broke(error)
        else:
            self._run_next()


def _attempt_of(incoming: Incoming) -> Callable[[Delivery], None]:
    on, decode, chain, descriptor = incoming.listener.on, incoming.codec.decode, incoming.chain, incoming.descriptor

    def plain(delivery: Delivery) -> None:
        result = on(decode(delivery.body()))
        if result is not None:
            _refuse_what_never_ran(result)

    def piped(delivery: Delivery) -> None:
        message = delivery.message()
        with chain.around(Envelope(message.body, message.headers), descriptor):
            result = on(decode(message.body))
            if result is not None:
                _refuse_what_never_ran(result)

    return piped if chain else plain


def _refuse_what_never_ran(result: object) -> None:
    """A coroutine or a generator that nobody drives has done nothing: accepting the event would lose it."""
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        if inspect.iscoroutine(result):
            result.close()
        msg = f"'on' returned a {type(result).__name__} that nobody runs; write 'async def on', or a plain method"
        raise TypeError(msg)


def _async_attempt_of(incoming: Incoming) -> Callable[[Delivery], Awaitable[None]]:
    decode, chain, descriptor = incoming.codec.decode, incoming.chain, incoming.descriptor
    on = cast("Callable[[Any], Awaitable[object] | None]", incoming.listener.on)

    async def plain(delivery: Delivery) -> None:
        running = on(decode(delivery.body()))
        if running is not None:  # else a decorator has run it already
            await running

    async def piped(delivery: Delivery) -> None:
        message = delivery.message()
        with chain.around(Envelope(message.body, message.headers), descriptor):
            running = on(decode(message.body))
            if running is not None:
                await running

    attempt = piped if chain else plain
    limit = descriptor.timeout
    if limit is None:
        return attempt

    async def limited(delivery: Delivery) -> None:
        running = asyncio.timeout(limit)
        try:
            async with running:
                await attempt(delivery)
        except TimeoutError:
            if not running.expired():  # one of the listener's own
                raise
            msg = f"'on' took longer than its timeout, {limit:g} s"
            raise HandlerTimeoutError(msg) from None

    return limited


def _task_stack(task: asyncio.Task[None]) -> list[str]:
    """Where a task is. It may go on meanwhile: what is told then is where it was, or nothing."""
    places: list[traceback.FrameSummary] = []
    with contextlib.suppress(Exception):
        running: Any = task.get_coro()
        while len(places) < _FRAMES and (frame := getattr(running, "cr_frame", None)) is not None:
            code = frame.f_code
            places.append(traceback.FrameSummary(code.co_filename, frame.f_lineno, code.co_qualname))
            running = running.cr_await
    return traceback.format_list(places)


def _stack(lines: list[str]) -> str:
    return "".join(lines[-_FRAMES:])
