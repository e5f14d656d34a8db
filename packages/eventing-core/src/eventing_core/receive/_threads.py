"""The shell for listeners that run on threads."""

from __future__ import annotations

import contextvars
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from functools import partial

from eventing_core.provider import Delivery
from eventing_core.receive._attempts import attempt_of
from eventing_core.receive._incoming import Incoming
from eventing_core.receive._shell import Shell
from eventing_core.receive._stacks import shown
from eventing_core.receive.machine._runs import Run
from eventing_core.runtime._health import StuckRun
from eventing_core.runtime._workers import Workers

#: A listener leaves its thread to others after so much time, in seconds.
_SLICE = 0.02


class ThreadShell(Shell):
    """Runs a plain ``on`` on the pool's threads."""

    def __init__(self, incoming: Incoming, workers: Workers) -> None:
        super().__init__(incoming)
        self._workers = workers
        self._attempt = attempt_of(incoming)
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
            StuckRun(seconds=now - begun, thread=names.get(ident, ""), stack=shown(traceback.format_stack(frame)))
            for ident, begun in late
            if (frame := frames.get(ident)) is not None
        )

    def _at_work(self) -> int:
        return len(self._begun)

    def _start(self, runs: Iterable[Run[Delivery]]) -> None:
        for run in runs:
            self._workers.submit(partial(self._work, run))

    def _work(self, run: Run[Delivery]) -> None:
        """Go on with one run after the other, as long as the machine has one for this thread."""
        attempt, new_context, clock = self._attempt, contextvars.Context, time.monotonic
        ident, begun = threading.get_ident(), self._begun
        following: list[Run[Delivery]] | None
        now = clock()
        leave_at = now + _SLICE
        try:
            while True:
                begun[ident] = now
                try:
                    new_context().run(attempt, run.delivery)
                except BaseException as error:  # noqa: BLE001 (SystemExit in a listener is a failure like any other)
                    following = self._raised(run, error)
                else:
                    following = None if run.further and run.go_on() else self._returned(run)
                if following is not None:
                    if not following:
                        return
                    run = following.pop()
                    if following:
                        self._start(following)
                now = clock()
                if now > leave_at and self._workers.waiting():
                    self._start((run,))
                    return
        finally:
            begun.pop(ident, None)
