"""The two kinds of dispatcher: listeners that run on threads, and listeners that run on the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from eventing_core._dispatch import Dispatcher, Incoming
from eventing_core._envelope import Envelope
from eventing_core._workers import LoopThread, Workers
from eventing_core.provider import Delivery

_log = logging.getLogger("eventing")

#: Settle at the latest when this much time has passed since the last time, in seconds, or this many are done.
_FLUSH_SECONDS = 0.005
_FLUSH_COUNT = 64

#: A token leaves its thread to other listeners after this much time, in seconds.
_SLICE = 0.02


class ThreadDispatcher(Dispatcher):
    """Runs a plain ``on`` on the pool's threads."""

    def __init__(self, incoming: Incoming, workers: Workers) -> None:
        super().__init__(incoming)
        self._workers = workers
        self._attempt = _attempt_of(incoming)

    def cut_short(self) -> None:
        """A thread can't be cancelled: what it runs stays unsettled."""

    def _start_token(self) -> None:
        self._workers.submit(self._run_token)

    def _run_token(self) -> None:
        done: list[Delivery] = []
        now = time.monotonic()
        flush_at, leave_at = now + _FLUSH_SECONDS, now + _SLICE
        attempt, new_context, clock = self._attempt, contextvars.Context, time.monotonic
        while (delivery := self._take(done)) is not None:
            try:
                new_context().run(attempt, delivery)
            except BaseException as error:  # noqa: BLE001 (SystemExit in a listener is a failure like any other)
                self._failed(delivery, error)
            else:
                done.append(delivery)
            now = clock()
            if now > flush_at or len(done) >= _FLUSH_COUNT:
                if done:
                    self._accept(done)
                    done = []
                flush_at = now + _FLUSH_SECONDS
                if now > leave_at and self._workers.waiting():
                    self._workers.submit(self._run_token)
                    return


class LoopDispatcher(Dispatcher):
    """Runs an ``async def on`` on the manager's event loop, each attempt in a task of its own."""

    def __init__(self, incoming: Incoming, loop: LoopThread) -> None:
        super().__init__(incoming)
        self._loop = loop.loop
        self._attempt = _async_attempt_of(incoming)
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: list[Delivery] = []
        self._cut = False

    def cut_short(self) -> None:
        """Cancel the tasks. A cancellation that we ask for counts nothing."""
        self._cut = True
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _start_token(self) -> None:
        self._loop.call_soon_threadsafe(self._run_next)

    def _run_next(self) -> None:
        delivery = self._take([])
        if delivery is not None:
            task = self._loop.create_task(self._run(delivery), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    async def _run(self, delivery: Delivery) -> None:
        try:
            await self._attempt(delivery)
        except BaseException as error:  # noqa: BLE001 (a listener's own CancelledError is a failure like any other)
            if not self._cut:
                self._failed(delivery, error)
        else:
            self._done.append(delivery)
            if len(self._done) == 1:
                self._loop.call_soon(self._flush)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s: an unexpected error; its delivery stays unsettled", self.descriptor.label, exc_info=error)
        self._run_next()

    def _flush(self) -> None:
        done, self._done = self._done, []
        self._accept(done)


def _attempt_of(incoming: Incoming) -> Callable[[Delivery], None]:
    on, decode, chain, descriptor = incoming.listener.on, incoming.codec.decode, incoming.chain, incoming.descriptor

    def plain(delivery: Delivery) -> None:
        on(decode(delivery.message().body))

    def piped(delivery: Delivery) -> None:
        message = delivery.message()
        with chain.around(Envelope(message.body, message.headers), descriptor):
            on(decode(message.body))

    return piped if chain else plain


def _async_attempt_of(incoming: Incoming) -> Callable[[Delivery], Awaitable[None]]:
    decode, chain, descriptor = incoming.codec.decode, incoming.chain, incoming.descriptor
    on = cast("Callable[[Any], Awaitable[None]]", incoming.listener.on)

    async def plain(delivery: Delivery) -> None:
        await on(decode(delivery.message().body))

    async def piped(delivery: Delivery) -> None:
        message = delivery.message()
        with chain.around(Envelope(message.body, message.headers), descriptor):
            await on(decode(message.body))

    return piped if chain else plain
