"""Who starts a manager, who stops it, and who waits for whom."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

from eventing_core.errors import ManagerStateError, ManagerStoppedError
from eventing_core.manager._closing import Step, take_steps
from eventing_core.manager._states import ENDING, TAKEN, ManagerInput, ManagerState, manager_after
from eventing_core.runtime._signals import SignalWaiter

#: Between two tries to end a connect that a stop finds under way, in seconds: the first may come before it began.
_AGAIN = 0.1


#: Makes what closes everything, in order, of a function that tells until when there is time; see `take_steps`.
MakeSteps = Callable[[Callable[[], float]], Sequence[Step]]


class ManagerLife:
    """Carries out what `ManagerState` names. Thread-safe, except for `run`.

    A signal handler may raise on the main thread between any two calls. So what has to change together is changed by
    assignments alone, or is repaired by whoever comes next.

    Args:
        end_waiting: ends what the thread that starts waits for, but for a connect. Called once for a stop.
        end_connecting: ends a connect; False: none is under way.
        closing_steps: close everything.
        stopped: called once everything is closed.

    Attributes:
        state: what it does.
    """

    def __init__(
        self,
        *,
        end_waiting: Callable[[], None],
        end_connecting: Callable[[], bool],
        closing_steps: MakeSteps,
        stopped: Callable[[], None],
    ) -> None:
        self.state = ManagerState.NEW
        self._end_waiting = end_waiting
        self._end_connecting = end_connecting
        self._closing_steps = closing_steps
        self._tell_stopped = stopped
        #: Guards the transitions of `state`: two threads never take the same one. It can be taken again by the thread
        #: that has it, whose signal handler may stop the manager.
        self._lock = threading.RLock()
        #: The threads that start or finish this manager: they can't wait for the end of that.
        self._busy: set[int] = set()
        self._stopped = threading.Event()
        self._signals: SignalWaiter | None = None

    # -- starting -----------------------------------------------------------------------------------------------------

    def start(self, begin: Callable[[], None]) -> None:
        """Call ``begin``, which calls `ready`. Where it raises, everything is closed.

        Raises:
            ManagerStateError: it was started or stopped before.
        """
        mine = False
        try:
            with self._lock:
                self._refuse_unless_new()
                self._busy.add(threading.get_ident())
                self.state, mine = manager_after(self.state, ManagerInput.START), True
            begin()
        except BaseException:
            if mine:
                self._finish(time.monotonic())
            raise
        finally:
            self._busy.discard(threading.get_ident())

    def _refuse_unless_new(self) -> None:
        state = self.state
        if state is not ManagerState.NEW:
            msg = f"the event manager is {state.value} and cannot be started a second time; create a new one"
            raise (ManagerStoppedError if state in ENDING else ManagerStateError)(msg)

    def ready(self) -> None:
        """Every listener is subscribed.

        Raises:
            ManagerStoppedError: it was stopped meanwhile.
        """
        with self._lock:
            self.refuse_if_stopping()
            self.state = manager_after(self.state, ManagerInput.READY)

    def refuse_if_stopping(self, cause: Exception | None = None) -> None:
        """Go on only while it isn't to stop.

        Raises:
            ManagerStoppedError: it is, or has.
        """
        if self.state in ENDING:
            msg = "the event manager was stopped in the meantime"
            raise ManagerStoppedError(msg) from cause

    # -- stopping -----------------------------------------------------------------------------------------------------

    def stop(self, limit: float) -> None:
        """Close everything, within so many seconds; or wait so long for the thread that does."""
        with self._lock:
            before = self.state
            self.state = manager_after(before, ManagerInput.STOP)
        # One that was interrupted before it began to finish is gone on with.
        left = before is ManagerState.STOPPING and not self._busy
        if left or before in {ManagerState.NEW, ManagerState.STARTED}:
            self._finish(time.monotonic() + limit)
            return
        deadline = time.monotonic() + limit
        if before is ManagerState.STARTING:
            self._interrupt_start(deadline)
        if threading.get_ident() not in self._busy:
            self._stopped.wait(max(0.0, deadline - time.monotonic()))

    def stop_start(self, stop: Callable[[], None]) -> None:
        """Stop, if this manager is still starting, which isn't waited for; ``stop`` if it is about to start."""
        if self.state is ManagerState.NEW:
            stop()
            return
        with self._lock:
            if self.state is not ManagerState.STARTING:
                return
            self.state = manager_after(self.state, ManagerInput.STOP)
        self._interrupt_start(math.inf)

    def _interrupt_start(self, deadline: float) -> None:
        """End what the thread that starts waits for. It notices that this manager is to stop, and finishes."""
        self._end_waiting()
        while time.monotonic() < deadline and self._end_connecting():
            if self._stopped.wait(min(_AGAIN, max(0.0, deadline - time.monotonic()))):
                return

    def _finish(self, deadline: float) -> None:
        """Close everything, in order, whatever fails or interrupts it; see `take_steps`."""
        mine = False
        interruption: BaseException | None = None
        try:
            with self._lock:
                if self.state in TAKEN:
                    return
                self.state, mine = manager_after(self.state, ManagerInput.DRAIN), True
        except BaseException as error:  # Ctrl-C: it may have come just after that
            if not mine:
                raise
            interruption, deadline = error, time.monotonic()
        over = False
        while not over:
            try:
                interruption = take_steps(self._steps, deadline) or interruption
                over = True
            except BaseException as error:  # noqa: BLE001 (Ctrl-C, just before it or after it)
                interruption, deadline = error, time.monotonic()
        if interruption is not None:
            raise interruption

    def _steps(self, deadline: Callable[[], float]) -> Sequence[Step]:
        return [
            lambda: self._busy.add(threading.get_ident()),
            *self._closing_steps(deadline),
            self._be_stopped,
        ]

    def _be_stopped(self) -> None:
        self.state = manager_after(self.state, ManagerInput.CLOSED)
        self._stopped.set()
        if self._signals is not None:
            self._signals.wake()
        self._tell_stopped()
        self._busy.discard(threading.get_ident())

    # -- both ---------------------------------------------------------------------------------------------------------

    def run(self, start: Callable[[], None], stop: Callable[[], None]) -> str:
        """Start, and wait for SIGINT or SIGTERM, or for a stop; say which. The caller stops.

        Raises:
            ManagerStateError: it was not called on the main thread, the only one that receives signals.
        """
        if threading.current_thread() is not threading.main_thread():
            msg = "run() waits for signals, which only the main thread gets; on other threads use start() and stop()"
            raise ManagerStateError(msg)
        with SignalWaiter() as signals:
            self._signals = signals
            try:
                return self._start_and_wait(signals, start, stop)
            finally:
                self._signals = None

    def _start_and_wait(self, signals: SignalWaiter, start: Callable[[], None], stop: Callable[[], None]) -> str:
        is_new = self.state is ManagerState.NEW
        try:
            if self.state is not ManagerState.STARTED:
                with signals.calling(lambda: self.stop_start(stop)):
                    start()
        except ManagerStoppedError:  # by a signal, or by `stop`, which wakes
            if not is_new:
                raise
        return signals.wait()

    def after_fork(self) -> None:
        """In a child: be as new. What holds a lock there may be a thread that it doesn't have."""
        if self._signals is not None:
            self._signals.leave()
        self.state = manager_after(self.state, ManagerInput.FORKED)
        self._lock = threading.RLock()
        self._busy = set()
        self._stopped = threading.Event()
        self._signals = None
