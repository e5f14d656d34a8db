"""What goes into a machine and what comes out of it: rules, facts, faults; actions.

``D`` is a delivery. The machine never looks into one, and never compares two of them but by identity.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from eventing_core.provider import Outcome
from eventing_core.receive.machine._limit import Share

D = TypeVar("D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A listener's settings and its transport's capabilities.

    Attributes:
        concurrency: runs at a time.
        prefetch: the largest window, in deliveries.
        ordered: one at a time, in the broker's order, retries in place.
        max_attempts: failures after which an event is dead-lettered.
        pause_after: consecutive failed events that open the circuit breaker; 0 disables it.
        delay: seconds to wait after so many failures, jitter included.
        flags: the broker only flags redeliveries; copies count them.
        can_delay: the broker can delay a copy.
        retains: what is in the broker outlives this process.
        exact_window: what is beyond the window stays with the broker.
        lease: deliveries that a run may be lent; 0 disables it.
        flush_count: what has returned is accepted when there is so much of it, or after 20 ms.
    """

    concurrency: int = 1
    prefetch: int = 500
    ordered: bool = False
    max_attempts: int = 8
    pause_after: int = 5
    delay: Callable[[int], float] = lambda failures: min(0.2 * 3.0 ** (failures - 1), 60.0)
    flags: bool = False
    can_delay: bool = True
    retains: bool = True
    exact_window: bool = True
    lease: int = 63
    flush_count: int = 64


@dataclass(frozen=True, slots=True)
class Facts:
    """What a delivery says of its event.

    Attributes:
        event: the same in every copy and redelivery of an event; None when unknown.
        count: how often the delivery was given out before, as the provider counts.
        attempts: failures that earlier copies recorded.
        uncounted: failures during a pause that earlier copies recorded.
        crashes: redeliveries that earlier copies recorded.
    """

    event: Hashable = None
    count: int = 0
    attempts: int = 0
    uncounted: int = 0
    crashes: int = 0


class FaultKind(Enum):
    """Why a run did not return."""

    #: May succeed later.
    FAILED = "failed"
    #: Never succeeds: the listener says so.
    REJECTED = "rejected"
    #: Never succeeds: the body can't be decoded.
    UNDECODABLE = "undecodable"
    #: Never succeeds: the transport can't hand the event over.
    UNDELIVERABLE = "undeliverable"
    #: Because this process stops.
    STOPPED = "stopped"
    #: An internal error: nothing is known of the event.
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a run did not return, and the exception, which the machine only passes on."""

    kind: FaultKind
    cause: object = None


class CopyKind(Enum):
    """What a copy is for."""

    #: Another attempt, later.
    RETRY = "retry"
    DEAD_LETTER = "dead letter"
    #: Has the redeliveries counted: by the broker from 0 again, or, where it only flags, in a header.
    RECOUNT = "recount"
    #: Makes room for a suspect, which is to run alone.
    ASIDE = "aside"


class Reason(Enum):
    """Why an event is dead-lettered. The values stand in the dead letter's headers."""

    FAILED = "failed"
    REJECTED = "fatal"
    UNDECODABLE = "undecodable"
    UNDELIVERABLE = "undeliverable"
    CRASH_LOOP = "crash-loop"


@dataclass(slots=True)
class Settle(Generic[D]):
    """Settle these deliveries."""

    batch: Sequence[D]
    outcome: Outcome


@dataclass(slots=True, eq=False)
class Store(Generic[D]):
    """Have a copy stored, and report the answer with this same object.

    Attributes:
        delay: seconds before the broker hands the copy on.
        crashes: redeliveries, for a `CopyKind.RECOUNT` and for the dead letter of a crash loop.
        first_failed: when the first attempt here failed, in the machine's time; None when none has.
        copy: the shell's: the copy that was made, so that a second try sends the same one.
        error: the shell's: why the last try failed.
    """

    delivery: D
    event: Hashable
    kind: CopyKind
    reason: Reason | None = None
    fault: Fault | None = None
    attempts: int = 0
    uncounted: int = 0
    crashes: int = 0
    delay: float = 0.0
    first_failed: float | None = None
    copy: object = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """Let at most this many deliveries be unsettled."""

    size: int


class Notice(Enum):
    """What is reported."""

    RETRY = "retry"
    DEAD_LETTER = "dead letter"
    COPY_REFUSED = "copy refused"
    COPY_WAIVED = "copy waived"
    MANY_REJECTED = "many rejected"
    PAUSED = "paused"
    RESUMED = "resumed"
    SUSPECT = "suspect"


@dataclass(frozen=True, slots=True)
class Report(Generic[D]):
    """Log it, and tell observers.

    Attributes:
        event: as in `Facts`.
        attempts: failures that count, so far.
        wait: seconds until the next attempt, try or round.
        first: the event has not failed before.
        error: why a copy was not stored.
    """

    notice: Notice
    delivery: D
    event: Hashable
    fault: Fault | None = None
    reason: Reason | None = None
    attempts: int = 0
    wait: float = 0.0
    first: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """Tell the machine with this share that a slot is kept for it."""

    share: Share
