"""What MESSAGE frames of all brokers have in common. Pure."""

from __future__ import annotations

from eventing_core.provider import REDELIVERIES, RESERVED_HEADERS, Delivery, count_in
from eventing_stomp._frames import Incoming

#: Headers that have a meaning of their own in SEND or MESSAGE frames: no event sets them.
PROTOCOLS_OWN = RESERVED_HEADERS - {"id"}

_REDELIVERIES = REDELIVERIES.encode()


class FrameDelivery(Delivery):
    """A frame and a number; holds nothing of the connection. A broker's own says how to decode it.

    Attributes:
        number: unique in the process's life, so that a stale settlement finds nothing.
        frame: as it came.
    """

    __slots__ = ("frame", "number")

    def __init__(self, frame: Incoming, number: int, generation: int) -> None:
        self.frame = frame
        self.number = number
        self.generation = generation
        head = frame.head
        # The first: a property of the sender's may be named so.
        self.delivery_count = 1 if head.startswith(b"\nredelivered:true\n", head.find(b"\nredelivered:")) else 0
        if _REDELIVERIES in head:  # hardly ever
            self.delivery_count += count_in(frame.header(_REDELIVERIES))

    def body(self) -> bytes:
        """The body: the headers, which are most of the work, aren't read for it."""
        return self.frame.body
