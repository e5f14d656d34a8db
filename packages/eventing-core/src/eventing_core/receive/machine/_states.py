"""The states of a listener and of a delivery, and the transitions between them.

`docs/architecture.md` shows both tables, and a test compares them with these. The exploration of the machine
(`tests/machine`) observes exactly these transitions: no other, and each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    #: The copy could not be stored, or that of another delivery could not; it is tried later, with backoff.
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
    TURN = "turn"
    DRAIN = "drain"
    CUT = "cut"


STOPPING = frozenset({ListenerState.DRAINING, ListenerState.CUT})


def _on(*inputs: Input) -> frozenset[Input]:
    return frozenset(inputs)


_L, _D, _I = ListenerState, DeliveryState, Input
_LOST = _on(_I.GENERATION_ACTIVE, _I.GENERATION_LOST)

#: From a state to another, and the inputs on which a listener goes there.
LISTENER_TRANSITIONS: Mapping[tuple[ListenerState, ListenerState], frozenset[Input]] = {
    (_L.NEW, _L.DETACHED): _on(_I.BEGIN),
    (_L.NEW, _L.CONSUMING): _on(_I.BEGIN),
    (_L.NEW, _L.DRAINING): _on(_I.DRAIN),
    (_L.DETACHED, _L.CONSUMING): _on(_I.GENERATION_ACTIVE),
    (_L.DETACHED, _L.PAUSED): _on(_I.GENERATION_ACTIVE),
    (_L.DETACHED, _L.DRAINING): _on(_I.DRAIN),
    (_L.CONSUMING, _L.DETACHED): _LOST,
    (_L.CONSUMING, _L.BLOCKED): _on(_I.DELIVERED, _I.RETURNED, _I.RAISED, _I.COPY_STORED, _I.TURN),
    (_L.CONSUMING, _L.CLEARING): _on(_I.DELIVERED),
    (_L.CONSUMING, _L.ISOLATING): _on(_I.DELIVERED, _I.RETURNED, _I.RAISED, _I.COPY_STORED, _I.TIMER, _I.TURN),
    (_L.CONSUMING, _L.PAUSED): _on(_I.RAISED),
    (_L.CONSUMING, _L.DRAINING): _on(_I.DRAIN),
    (_L.BLOCKED, _L.DETACHED): _LOST,
    (_L.BLOCKED, _L.CONSUMING): _on(_I.COPY_STORED, _I.TIMER),
    (_L.BLOCKED, _L.PROBING): _on(_I.COPY_STORED),
    (_L.BLOCKED, _L.DRAINING): _on(_I.DRAIN),
    (_L.CLEARING, _L.DETACHED): _LOST,
    (_L.CLEARING, _L.CONSUMING): _on(_I.TIMER),
    (_L.CLEARING, _L.PAUSED): _on(_I.RAISED),
    (_L.CLEARING, _L.PROBING): _on(_I.TIMER),
    (_L.CLEARING, _L.DRAINING): _on(_I.DRAIN),
    (_L.ISOLATING, _L.DETACHED): _LOST,
    (_L.ISOLATING, _L.ISOLATED): _on(_I.TIMER, _I.TURN),
    (_L.ISOLATING, _L.PAUSED): _on(_I.RAISED),
    (_L.ISOLATING, _L.DRAINING): _on(_I.DRAIN),
    (_L.ISOLATED, _L.DETACHED): _LOST,
    (_L.ISOLATED, _L.CONSUMING): _on(_I.RETURNED, _I.RAISED),
    (_L.ISOLATED, _L.PROBING): _on(_I.RETURNED, _I.RAISED),
    (_L.ISOLATED, _L.DRAINING): _on(_I.DRAIN),
    (_L.PAUSED, _L.DETACHED): _LOST,
    (_L.PAUSED, _L.CLEARING): _on(_I.TIMER),
    (_L.PAUSED, _L.PROBING): _on(_I.TIMER),
    (_L.PAUSED, _L.DRAINING): _on(_I.DRAIN),
    (_L.PROBING, _L.DETACHED): _LOST,
    (_L.PROBING, _L.CONSUMING): _on(_I.RETURNED),
    (_L.PROBING, _L.BLOCKED): _on(_I.DELIVERED, _I.RAISED, _I.COPY_STORED, _I.TURN),
    (_L.PROBING, _L.CLEARING): _on(_I.DELIVERED),
    (_L.PROBING, _L.ISOLATING): _on(_I.DELIVERED, _I.RETURNED, _I.RAISED, _I.COPY_STORED, _I.TIMER, _I.TURN),
    (_L.PROBING, _L.PAUSED): _on(_I.RAISED, _I.TIMER),
    (_L.PROBING, _L.DRAINING): _on(_I.DRAIN),
    (_L.DRAINING, _L.CUT): _on(_I.CUT),
}

#: From a state to another, and the inputs on which a delivery goes there.
DELIVERY_TRANSITIONS: Mapping[tuple[DeliveryState, DeliveryState], frozenset[Input]] = {
    (_D.QUEUED, _D.RUNNING): _on(
        _I.DELIVERED, _I.RETURNED, _I.RAISED, _I.COPY_STORED, _I.COPY_REFUSED, _I.TIMER, _I.TURN
    ),
    (_D.QUEUED, _D.SUSPECT): _on(_I.DELIVERED, _I.RETURNED, _I.RAISED, _I.COPY_STORED, _I.TIMER, _I.TURN),
    (_D.QUEUED, _D.COPYING): _on(_I.DELIVERED, _I.RETURNED, _I.RAISED, _I.COPY_STORED, _I.TIMER, _I.TURN, _I.DRAIN),
    (_D.QUEUED, _D.REFUSED): _on(_I.DELIVERED, _I.TURN),
    (_D.QUEUED, _D.RELEASED): _on(_I.DELIVERED, _I.RETURNED, _I.RAISED, _I.COPY_STORED, _I.TIMER, _I.TURN, _I.DRAIN),
    (_D.QUEUED, _D.VOID): _LOST,
    (_D.RUNNING, _D.QUEUED): _on(_I.RAISED),
    (_D.RUNNING, _D.RETURNED): _on(_I.RETURNED),
    (_D.RUNNING, _D.WAITING): _on(_I.RAISED),
    (_D.RUNNING, _D.COPYING): _on(_I.RAISED),
    (_D.RUNNING, _D.REFUSED): _on(_I.RAISED),
    (_D.RUNNING, _D.STUCK): _on(_I.RAISED),
    (_D.RUNNING, _D.RELEASED): _on(_I.RAISED),
    (_D.RUNNING, _D.LEFT): _on(_I.RAISED),
    (_D.RUNNING, _D.VOID): _LOST,
    (_D.RETURNED, _D.ACCEPTED): _on(_I.RETURNED, _I.RAISED, _I.TIMER, _I.DRAIN),
    (_D.RETURNED, _D.VOID): _LOST,
    (_D.WAITING, _D.QUEUED): _on(_I.TIMER),
    (_D.WAITING, _D.COPYING): _on(_I.DRAIN),
    (_D.WAITING, _D.RELEASED): _on(_I.DRAIN),
    (_D.WAITING, _D.VOID): _LOST,
    (_D.SUSPECT, _D.RUNNING): _on(_I.TIMER, _I.TURN),
    (_D.SUSPECT, _D.RELEASED): _on(_I.RAISED, _I.DRAIN),
    (_D.SUSPECT, _D.VOID): _LOST,
    (_D.COPYING, _D.QUEUED): _on(_I.COPY_REFUSED),
    (_D.COPYING, _D.WAITING): _on(_I.COPY_REFUSED),
    (_D.COPYING, _D.REFUSED): _on(_I.COPY_REFUSED),
    (_D.COPYING, _D.ACCEPTED): _on(_I.COPY_STORED),
    (_D.COPYING, _D.RELEASED): _on(_I.COPY_REFUSED),
    (_D.COPYING, _D.LEFT): _on(_I.COPY_REFUSED),
    (_D.COPYING, _D.VOID): _LOST,
    (_D.REFUSED, _D.COPYING): _on(_I.COPY_STORED, _I.TIMER),
    (_D.REFUSED, _D.LEFT): _on(_I.DRAIN),
    (_D.REFUSED, _D.VOID): _LOST,
    (_D.STUCK, _D.LEFT): _on(_I.DRAIN),
    (_D.STUCK, _D.VOID): _LOST,
}
