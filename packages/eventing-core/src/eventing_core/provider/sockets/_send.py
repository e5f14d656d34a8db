"""One message on its way out."""

from __future__ import annotations

import logging
from typing import Protocol

from eventing_core.errors import SendError
from eventing_core.provider._interface import Destination, Done
from eventing_core.provider.sockets._loop import quietly

_log = logging.getLogger("eventing.sockets")


class SendOwner(Protocol):
    """Whose a `Send` is.

    Attributes:
        destination: where it sends to.
    """

    destination: Destination


class Send:
    """One message, from the call of `Producer.send` to its answer.

    Attributes:
        producer: whose it is.
        data: encoded.
        done: the callback, called once.
        index: the index to pass to it.
        deadline: of `time.monotonic`.
        sent: it was written, in this generation or an earlier one, and may have arrived.
        in_doubt: it was written in an earlier generation, whose answer never came.
        unrouted: the address had no queue when it was written.
    """

    __slots__ = ("data", "deadline", "done", "in_doubt", "index", "producer", "sent", "unrouted")

    def __init__(self, producer: SendOwner, data: bytes, done: Done, index: int, deadline: float) -> None:
        self.producer = producer
        self.data = data
        self.done = done
        self.index = index
        self.deadline = deadline
        self.sent = False
        self.in_doubt = False
        self.unrouted = False

    def tell(self, error: SendError | None) -> None:
        """Report the outcome. An exception of the callback must not end the I/O thread."""
        try:
            self.done(self.index, error)
        except Exception:  # noqa: BLE001 (see above)
            with quietly:
                _log.exception("the outcome of a send could not be delivered to its sender")
