"""What an ERROR frame is about, where only its text says so. Runs on the I/O thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from eventing_core.provider.sockets import Send, SendOwner
from eventing_stomp import _errors
from eventing_stomp._frames import Incoming


class StompSendOwner(SendOwner, Protocol):
    """Whose a `Send` is.

    Attributes:
        names: what an ERROR frame may name that is about its sends.
    """

    @property
    def names(self) -> frozenset[str]: ...

    def confirmed(self, send: Send) -> None:
        """The receipt has come."""

    def why_refused(self, text: str) -> str:
        """Why the broker refused a send, by what it said."""
        ...

    def hold_back(self, reason: str) -> None:
        """The broker refused a send of it, and ends the connection for it."""


class SubscriptionHandler(Protocol):
    """Whose a STOMP subscription is.

    Attributes:
        names: what an ERROR frame may name that refuses it.
        gives_back: it has messages that go back to the broker, uncounted, when it ends in order.
    """

    @property
    def names(self) -> frozenset[str]: ...

    @property
    def gives_back(self) -> bool: ...

    def answered(self, subscription: str, error: str | None) -> None:
        """The broker agrees; or it refuses with that text, and ends the connection for it. Called once at most."""

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        """A message came."""


@dataclass(slots=True)
class Asked:
    """A subscription that the broker hasn't agreed to yet.

    Attributes:
        before: the sends that were written before it and had no answer then, by their receipts.
    """

    subscription: str
    handler: SubscriptionHandler
    before: frozenset[bytes]


def named(
    text: str, *, sends: Mapping[bytes, Send], asked: Mapping[str, Asked], sending: bool | None
) -> tuple[list[bytes], list[str]]:
    """Sends or subscriptions without answer that an error names; not both, since it is about one frame.

    Args:
        text: the error's.
        sends: by their receipts; one that may be with the broker all the same is marked as in doubt.
        asked: by their receipts.
        sending: whether it is about a send; None: that isn't known.
    """
    for name in _errors.names_of(text):
        of_sends = [] if sending is False else [key for key, send in sends.items() if _has(send.producer, name)]
        of_asked = [] if sending else [key for key, one in asked.items() if name in one.handler.names]
        if of_sends and of_asked:
            # The broker reads in order: it is about whichever was first.
            if asked[of_asked[0]].before.isdisjoint(of_sends):
                of_sends = []
            else:
                of_asked = []
                # Or it has them, and their receipts are late: RabbitMQ confirms when they are on its disk.
                for key in of_sends:
                    sends[key].in_doubt = True
        if of_sends or of_asked:
            return of_sends, of_asked
    return [], []


def _has(producer: object, name: str) -> bool:
    return name in cast("StompSendOwner", producer).names
