"""The states of a connection and of an attempt to connect, and the transitions between them. Pure.

`docs/architecture.md` shows both tables, and a test compares them with these.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from eventing_core.provider._transitions import following, on


class ConnectionState(Enum):
    """What a `Connection` does, from `open` to the end of its thread."""

    #: Made, and not opened.
    NEW = "new"
    #: Tries to connect for the first time. Once no broker could be reached, it ends.
    CONNECTING = "connecting"
    #: A broker has agreed: messages come and go.
    CONNECTED = "connected"
    #: The connection was lost; tries to connect again until it is back.
    RECONNECTING = "reconnecting"
    #: Is to close, and waits until every send is answered, or most of the time is over.
    DRAINING = "draining"
    #: The same without a connection: tries to connect again for the sends that wait.
    STRANDED = "stranded"
    #: Has said good-bye to the broker, and waits until that agrees.
    CLOSING = "closing"
    #: Gives back everything that it has.
    ENDING = "ending"
    #: Nothing is left of it.
    CLOSED = "closed"


class ConnectionInput(Enum):
    """What happens to a connection."""

    #: `Connection.open` is called.
    OPEN = "open"
    #: A broker has agreed.
    ESTABLISHED = "established"
    #: Each broker was tried once, and none could be had.
    FAILED = "failed"
    #: The connection broke.
    LOST = "lost"
    #: `Connection.close` is called.
    CLOSE = "close"
    #: Every send is answered, or the time for that is over.
    DRAINED = "drained"
    #: The broker agreed to the end.
    GOODBYE = "goodbye"
    #: The time for closing is over.
    CUT = "cut"
    #: Everything was given back.
    RELEASED = "released"
    #: An error in this code or in a transport's that can't be taken for a broken connection.
    CRASHED = "crashed"
    #: This is the child of a fork.
    FORKED = "forked"


class AttemptState(Enum):
    """How far one attempt to connect to one broker is."""

    #: Resolves the host name, connects, encrypts, and has the password fetched, on a thread of its own.
    DIALING = "dialing"
    #: The protocol's handshake is under way.
    HANDSHAKE = "handshake"
    #: The same, and nothing has come: the port is being asked what else it speaks.
    DOUBTED = "doubted"
    #: The same, and the port was asked.
    ASKED = "asked"
    #: The broker ended the connection without a word; the port is being asked what it speaks, to say why.
    UNEXPLAINED = "unexplained"
    #: The broker has agreed.
    OPEN = "open"
    #: It led to nothing.
    FAILED = "failed"


class AttemptInput(Enum):
    """What happens to an attempt to connect."""

    #: There is a socket.
    DIALED = "dialed"
    #: Nothing has come, though a peer that speaks the protocol would have answered.
    QUIET = "quiet"
    #: The port was asked what it speaks.
    ANSWERED = "answered"
    #: The peer ended the connection without a word.
    HUNG_UP = "hung up"
    #: Any other failure.
    FAILED = "failed"
    #: The peer has agreed.
    OPENED = "opened"
    #: Nobody wants it any more.
    CANCELLED = "cancelled"


#: A connection that is to close, or is closed: it takes nothing new.
REFUSING = frozenset(
    {
        ConnectionState.DRAINING,
        ConnectionState.STRANDED,
        ConnectionState.CLOSING,
        ConnectionState.ENDING,
        ConnectionState.CLOSED,
    }
)
#: A broker is there.
UP = frozenset({ConnectionState.CONNECTED, ConnectionState.DRAINING, ConnectionState.CLOSING})
#: Tries to have one.
TRYING = frozenset({ConnectionState.CONNECTING, ConnectionState.RECONNECTING, ConnectionState.STRANDED})
#: Its thread has nothing more to do, but for what ends it.
OVER = frozenset({ConnectionState.ENDING, ConnectionState.CLOSED})

#: The handshake of an attempt is under way.
SHAKING_HANDS = frozenset({AttemptState.HANDSHAKE, AttemptState.DOUBTED, AttemptState.ASKED})


_S, _I = ConnectionState, ConnectionInput
_T, _A = AttemptState, AttemptInput

#: From a state to another (or the same, where nothing changes), and the inputs on which a connection goes there.
CONNECTION_TRANSITIONS: Mapping[tuple[ConnectionState, ConnectionState], frozenset[ConnectionInput]] = {
    (_S.NEW, _S.CONNECTING): on(_I.OPEN),
    (_S.NEW, _S.ENDING): on(_I.CLOSE),
    (_S.NEW, _S.CLOSED): on(_I.FORKED),
    (_S.CONNECTING, _S.CONNECTED): on(_I.ESTABLISHED),
    (_S.CONNECTING, _S.ENDING): on(_I.FAILED, _I.CLOSE, _I.CRASHED),
    (_S.CONNECTING, _S.CLOSED): on(_I.FORKED),
    (_S.CONNECTED, _S.RECONNECTING): on(_I.LOST),
    (_S.CONNECTED, _S.DRAINING): on(_I.CLOSE),
    (_S.CONNECTED, _S.ENDING): on(_I.CRASHED),
    (_S.CONNECTED, _S.CLOSED): on(_I.FORKED),
    (_S.RECONNECTING, _S.CONNECTED): on(_I.ESTABLISHED),
    (_S.RECONNECTING, _S.RECONNECTING): on(_I.FAILED),
    (_S.RECONNECTING, _S.STRANDED): on(_I.CLOSE),
    (_S.RECONNECTING, _S.ENDING): on(_I.CRASHED),
    (_S.RECONNECTING, _S.CLOSED): on(_I.FORKED),
    (_S.DRAINING, _S.DRAINING): on(_I.CLOSE),
    (_S.DRAINING, _S.STRANDED): on(_I.LOST),
    (_S.DRAINING, _S.CLOSING): on(_I.DRAINED),
    (_S.DRAINING, _S.ENDING): on(_I.CUT, _I.CRASHED),
    (_S.DRAINING, _S.CLOSED): on(_I.FORKED),
    (_S.STRANDED, _S.STRANDED): on(_I.CLOSE, _I.FAILED),
    (_S.STRANDED, _S.DRAINING): on(_I.ESTABLISHED),
    (_S.STRANDED, _S.ENDING): on(_I.DRAINED, _I.CUT, _I.CRASHED),
    (_S.STRANDED, _S.CLOSED): on(_I.FORKED),
    (_S.CLOSING, _S.CLOSING): on(_I.CLOSE),
    (_S.CLOSING, _S.ENDING): on(_I.GOODBYE, _I.LOST, _I.CUT, _I.CRASHED),
    (_S.CLOSING, _S.CLOSED): on(_I.FORKED),
    (_S.ENDING, _S.ENDING): on(_I.CLOSE, _I.CUT),
    (_S.ENDING, _S.CLOSED): on(_I.RELEASED, _I.FORKED),
    (_S.CLOSED, _S.CLOSED): on(_I.CLOSE, _I.FORKED),
}

#: The same for an attempt to connect.
ATTEMPT_TRANSITIONS: Mapping[tuple[AttemptState, AttemptState], frozenset[AttemptInput]] = {
    (_T.DIALING, _T.HANDSHAKE): on(_A.DIALED),
    (_T.DIALING, _T.FAILED): on(_A.FAILED, _A.CANCELLED),
    (_T.HANDSHAKE, _T.DOUBTED): on(_A.QUIET),
    (_T.HANDSHAKE, _T.UNEXPLAINED): on(_A.HUNG_UP),
    (_T.HANDSHAKE, _T.OPEN): on(_A.OPENED),
    (_T.HANDSHAKE, _T.FAILED): on(_A.FAILED, _A.CANCELLED),
    (_T.DOUBTED, _T.ASKED): on(_A.ANSWERED),
    (_T.DOUBTED, _T.UNEXPLAINED): on(_A.HUNG_UP),
    (_T.DOUBTED, _T.OPEN): on(_A.OPENED),
    (_T.DOUBTED, _T.FAILED): on(_A.FAILED, _A.CANCELLED),
    (_T.ASKED, _T.OPEN): on(_A.OPENED),
    (_T.ASKED, _T.FAILED): on(_A.HUNG_UP, _A.FAILED, _A.CANCELLED),
    (_T.UNEXPLAINED, _T.FAILED): on(_A.ANSWERED, _A.FAILED, _A.CANCELLED),
    (_T.OPEN, _T.OPEN): on(_A.ANSWERED, _A.CANCELLED),
    (_T.FAILED, _T.FAILED): on(_A.ANSWERED, _A.CANCELLED),
}

#: The state of a connection after an input; `TransitionError`, where that can't happen in a state.
connection_after = following("a connection", CONNECTION_TRANSITIONS)

#: The same for an attempt to connect.
attempt_after = following("an attempt to connect", ATTEMPT_TRANSITIONS)
