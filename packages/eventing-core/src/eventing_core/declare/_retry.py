"""`Retry`: how often and how fast a failing listener is tried again."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from eventing_core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Exponential backoff with jitter; after the last attempt the event is dead-lettered.

    Attributes:
        max_attempts: total number of attempts, including the first. 1 means no retry.
        initial: wait after the first failure, in seconds.
        factor: each further wait is multiplied by this.
        max_delay: the longest wait, in seconds.
        jitter: the random share of each wait, from 0 (none) to 1.
        fatal: exception types for which the event is dead-lettered immediately, without another attempt.
        pause_after: number of consecutive failed events (nine of ten are enough where it is 10 or more) that open the
            circuit breaker: something that the listener needs is down. The listener pauses then, and probes in rounds,
            after 1, 2, 4, 8 and then every 15 s, until an event succeeds; round *k* tries up to 2^(*k*-1) events, at
            most 256. No failure of a pause counts as an attempt. What can never succeed (undecodable, or fatal) opens
            no circuit breaker. For an ordered listener, 3 is the most. 0 disables it.

    With the defaults, eight attempts span more than 66 s, however the jitter falls: an outage of a minute dead-letters
    nothing.
    """

    max_attempts: int = 8
    initial: float = 0.2
    factor: float = 3.0
    max_delay: float = 60.0
    jitter: float = 0.5
    fatal: tuple[type[BaseException], ...] = ()
    pause_after: int = 5

    def __post_init__(self) -> None:
        flaws = []
        if isinstance(self.max_attempts, bool) or not isinstance(self.max_attempts, int) or self.max_attempts < 1:
            flaws.append("max_attempts must be a whole number, at least 1")
        if isinstance(self.pause_after, bool) or not isinstance(self.pause_after, int) or self.pause_after < 0:
            flaws.append("pause_after must be a whole number, at least 0")
        if not _at_least(0, self.initial):
            flaws.append("initial must be a number of seconds, at least 0")
        if not _at_least(1, self.factor):
            flaws.append("factor must be a number, at least 1")
        if not _at_least(0, self.max_delay):
            flaws.append("max_delay must be a number of seconds, at least 0")
        if not (_at_least(0, self.jitter) and self.jitter <= 1):
            flaws.append("jitter must be a number between 0 and 1")
        if not (
            isinstance(self.fatal, tuple)
            and all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in self.fatal)
        ):
            flaws.append("fatal must be a tuple of exception classes")
        if flaws:
            raise ConfigError("Retry: " + "; ".join(flaws))

    def delay(self, failures: int) -> float:
        """Seconds to wait after the given number of failures (1 or more)."""
        try:
            wait = min(self.initial * self.factor ** (failures - 1), self.max_delay)
        except OverflowError:
            wait = self.max_delay
        return wait * (1 - self.jitter * random.random())  # noqa: S311 (spreads load, guards no secret)


def _at_least(bound: float, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= bound
