"""The shell for listeners that run on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Iterable
from typing import Any

from eventing_core.provider import Delivery
from eventing_core.receive._attempts import async_attempt_of
from eventing_core.receive._incoming import Incoming
from eventing_core.receive._shell import Shell
from eventing_core.receive._stacks import shown, task_stack
from eventing_core.receive.machine._runs import Run
from eventing_core.runtime._health import StuckRun
from eventing_core.runtime._loop_watch import LoopWatch
from eventing_core.runtime._workers import LoopThread


class LoopShell(Shell):
    """Runs an ``async def on`` on the manager's event loop, each attempt in a task of its own."""

    def __init__(self, incoming: Incoming, loop: LoopThread, watch: LoopWatch) -> None:
        super().__init__(incoming)
        self._watch = watch
        watch.add(self)
        self._loop = loop.loop
        self._new_context = loop.new_context
        self._attempt = async_attempt_of(incoming)
        self._thread = loop.name
        #: With the run, and the time at which it began.
        self._tasks: dict[asyncio.Task[BaseException | None], tuple[Run[Delivery], float]] = {}

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

    def cut_short(self) -> None:
        """Cancel the tasks, too. A cancellation that we ask for counts nothing."""
        super().cut_short()
        self._loop.call_soon_threadsafe(self._cancel)

    def stuck(self, since: float) -> tuple[StuckRun, ...]:
        """Each with the stack of its task."""
        now = time.monotonic()
        return tuple(
            StuckRun(seconds=now - begun, thread=self._thread, stack=shown(task_stack(task)))
            for task, (_, begun) in self._tasks.copy().items()
            if begun < since
        )

    def _at_work(self) -> int:
        return len(self._tasks)

    def _cancel(self) -> None:
        for task in [*self._tasks]:
            task.cancel()

    def _start(self, runs: Iterable[Run[Delivery]]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nothing runs any more
            for run in runs:
                self._loop.call_soon_threadsafe(self._begin, run, context=contextvars.Context())

    def _begin(self, run: Run[Delivery]) -> None:
        task = self._loop.create_task(self._run(run.delivery), context=self._new_context())
        self._tasks[task] = run, time.monotonic()
        if not self._watch.on:
            self._watch.begin()
        task.add_done_callback(self._finished)

    async def _run(self, delivery: Delivery) -> BaseException | None:
        """What the attempt raised; None when it returned."""
        failure: BaseException | None = None
        try:
            if not self._abandoned:
                await self._attempt(delivery)
        except BaseException as error:  # noqa: BLE001 (a listener's own CancelledError is a failure like any other)
            failure = error
        if self._abandoned:  # in a child: end the loop, before other tasks of the parent have their turn here
            raise SystemExit
        return failure

    def _finished(self, task: asyncio.Task[BaseException | None]) -> None:
        run, _ = self._tasks.pop(task)
        # Cancelled is what never made its first step: `_run` takes whatever comes later.
        failure = asyncio.CancelledError() if task.cancelled() else task.result()
        if failure is not None:
            self._begin_all(self._raised(run, failure))
        else:
            self._begin_all([run] if run.go_on() else self._returned(run))

    def _begin_all(self, runs: Iterable[Run[Delivery]]) -> None:
        for run in runs:
            self._begin(run)
