"""The states of a manager, and the transitions between them. Pure.

`docs/architecture.md` shows the table, and a test compares it with this.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from eventing_core.provider._transitions import following, on
from eventing_core.runtime._health import STARTED


class ManagerState(Enum):
    """What an `EventManager` does. Its health and its repr show these words."""

    #: Nothing was started. It may send.
    NEW = "not started"
    #: A thread makes the listeners, connects, and subscribes.
    STARTING = "starting"
    #: The queue of every listener exists; listeners run.
    STARTED = STARTED
    #: Is to stop; no thread closes anything yet. One that starts it notices, and does.
    STOPPING = "stopping"
    #: A thread lets listeners finish, has sends confirmed, and closes everything.
    DRAINING = "draining"
    #: Everything is closed, for good.
    STOPPED = "stopped"


class ManagerInput(Enum):
    """What happens to a manager."""

    #: `EventManager.start` is called.
    START = "start"
    #: Every listener is subscribed.
    READY = "ready"
    #: `EventManager.stop` is called, or a signal came.
    STOP = "stop"
    #: A thread begins to close everything.
    DRAIN = "drain"
    #: Everything is closed.
    CLOSED = "closed"
    #: This is the child of a fork: be as new.
    FORKED = "forked"


#: It is to stop, or has stopped.
ENDING = frozenset({ManagerState.STOPPING, ManagerState.DRAINING, ManagerState.STOPPED})
#: A thread closes everything, or has.
TAKEN = frozenset({ManagerState.DRAINING, ManagerState.STOPPED})


_S, _I = ManagerState, ManagerInput

#: From a state to another (or the same, where nothing changes), and the inputs on which a manager goes there.
MANAGER_TRANSITIONS: Mapping[tuple[ManagerState, ManagerState], frozenset[ManagerInput]] = {
    (_S.NEW, _S.NEW): on(_I.FORKED),
    (_S.NEW, _S.STARTING): on(_I.START),
    (_S.NEW, _S.STOPPING): on(_I.STOP),
    (_S.NEW, _S.STOPPED): on(_I.CLOSED),
    (_S.STARTING, _S.STARTED): on(_I.READY),
    (_S.STARTING, _S.STOPPING): on(_I.STOP),
    (_S.STARTING, _S.DRAINING): on(_I.DRAIN),
    (_S.STARTING, _S.NEW): on(_I.FORKED),
    (_S.STARTED, _S.STOPPING): on(_I.STOP),
    (_S.STARTED, _S.DRAINING): on(_I.DRAIN),
    (_S.STARTED, _S.NEW): on(_I.FORKED),
    (_S.STOPPING, _S.STOPPING): on(_I.STOP),
    (_S.STOPPING, _S.DRAINING): on(_I.DRAIN),
    (_S.STOPPING, _S.NEW): on(_I.FORKED),
    (_S.DRAINING, _S.DRAINING): on(_I.STOP),
    (_S.DRAINING, _S.STOPPED): on(_I.CLOSED),
    (_S.DRAINING, _S.NEW): on(_I.FORKED),
    (_S.STOPPED, _S.STOPPED): on(_I.STOP, _I.CLOSED),
    (_S.STOPPED, _S.NEW): on(_I.FORKED),
}

#: The state of a manager after an input; `TransitionError`, where that can't happen in a state.
manager_after = following("a manager", MANAGER_TRANSITIONS)
