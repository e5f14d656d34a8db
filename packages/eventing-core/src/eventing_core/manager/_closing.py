"""Taking the steps of an end, all of them, whatever comes between."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

_log = logging.getLogger("eventing")

Step = Callable[[], object]


def take_steps(make: Callable[[Callable[[], float]], Sequence[Step]], deadline: float) -> BaseException | None:
    """Take steps in their order; what interrupted them, if anything did.

    A step that fails doesn't keep the next ones from being taken. One that is interrupted, by Ctrl-C, is taken once
    more, as it may not even have begun, and there is no time any more for it nor for those after it. So a step can be
    taken twice.

    Args:
        make: makes the steps, of a function that tells the deadline, of `time.monotonic`.
        deadline: until when they have time.
    """

    def until() -> float:
        return deadline

    steps: deque[Step] | None = None
    interruption: BaseException | None = None
    interrupted: Step | None = None
    while True:
        try:
            if steps is None:
                steps = deque(make(until))
            while steps:
                _take(steps[0])
                steps.popleft()
        except BaseException as error:  # noqa: BLE001 (KeyboardInterrupt)
            interruption = interruption or error
            deadline = time.monotonic()
            if steps and steps[0] is interrupted:
                steps.popleft()
            interrupted = steps[0] if steps else None
        else:
            return interruption


def _take(step: Step) -> None:
    try:
        step()
    except Exception:  # noqa: BLE001 (the next ones have to be taken as well)
        with contextlib.suppress(Exception):
            _log.exception("an unexpected error while stopping")
