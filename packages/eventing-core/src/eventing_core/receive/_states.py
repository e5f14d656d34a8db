"""The states of a listener and of a delivery, and the transitions between them.

`docs/architecture.md` shows both tables, and a test compares them with these. The exploration of the machine
(`tests/machine`) observes exactly these transitions: no other, and each of them.
"""

from __future__ import annotations

from enum import Enum


class ListenerState(Enum):
    """What a listener does."""

    #: Subscribed; `Machine.begin` has not been called, and nothing is delivered.
    NEW = "new"
    #: Not attached to its queue in the current generation.
    DETACHED = "detached"
    #: Runs whatever is queued.
    CONSUMING = "consuming"
    #: Ordered: the first event waits for its next attempt, or for its dead letter to be stored.
    BLOCKED = "blocked"
    #: Starts nothing until the copies that count redeliveries are stored.
    CLEARING = "clearing"
    #: Starts nothing until everything but the suspect has left; then the suspect runs alone.
    ISOLATING = "isolating"
    #: A suspect runs alone.
    ISOLATED = "isolated"
    #: The circuit breaker is open: almost everything failed. Waits for the next round of probes.
    PAUSED = "paused"
    #: The circuit breaker is half-open: a round of probes is tried.
    PROBING = "probing"
    #: Stopping: starts nothing; what runs may finish.
    DRAINING = "draining"
    #: Stopping, out of time: what still runs is given up, and its failure counts nothing.
    CUT = "cut"


class DeliveryState(Enum):
    """Where a delivery is. Those of an ended generation are `VOID`, wherever they were."""

    #: Waits for a free slot.
    QUEUED = "queued"
    #: ``on`` runs.
    RUNNING = "running"
    #: ``on`` returned; the acceptance is sent within 20 ms, together with others.
    RETURNED = "returned"
    #: Failed, and waits in this process for its next attempt.
    WAITING = "waiting"
    #: May have crashed its process before, and waits to run alone.
    SUSPECT = "suspect"
    #: A copy (retry or dead letter) is being stored.
    COPYING = "copying"
    #: The copy could not be stored; it is tried again, with backoff.
    REFUSED = "refused"
    #: An internal error; unsettled until the generation ends.
    STUCK = "stuck"
    #: Accepted: ``on`` returned, or a copy is stored.
    ACCEPTED = "accepted"
    #: Given back to the broker.
    RELEASED = "released"
    #: Unsettled at a stop; the broker redelivers it when the subscription is closed.
    LEFT = "left"
    #: The generation ended; the broker redelivers it.
    VOID = "void"


class Input(Enum):
    """What a machine is told."""

    BEGIN = "begin"
    GENERATION_ACTIVE = "generation active"
    GENERATION_LOST = "generation lost"
    DELIVERED = "delivered"
    RETURNED = "returned"
    RAISED = "raised"
    COPY_STORED = "copy stored"
    COPY_REFUSED = "copy refused"
    TIMER = "timer"
    DRAIN = "drain"
    CUT = "cut"


STOPPING = frozenset({ListenerState.DRAINING, ListenerState.CUT})
