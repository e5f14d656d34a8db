"""Sends to one destination, over STOMP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventing_core.provider import Destination, Message
from eventing_core.provider.artemis import ArtemisProducer
from eventing_core.provider.sockets import next_number
from eventing_stomp._frames import lines
from eventing_stomp._generation import StompGeneration
from eventing_stomp._message import encode, encode_alone, routing

if TYPE_CHECKING:
    from eventing_stomp._connection import StompConnection


class StompProducer(ArtemisProducer[StompGeneration]):
    """SEND frames, each with a receipt of its own: the receipt of a later frame confirms nothing earlier."""

    def __init__(self, connection: StompConnection, destination: Destination) -> None:
        super().__init__(connection, destination)
        self._rights = connection.rights
        self._where = lines(routing(connection.model.node(destination), "destination-type"))

    @property
    def names(self) -> frozenset[str]:
        """Its address."""
        return frozenset((self._node.address.partition("::")[0],))

    def why_refused(self, text: str) -> str:
        """With the right that is missing, or probably missing."""
        return self._rights.why("send", self._node.address.partition("::")[0], text)

    def encode(self, message: Message, delay: float) -> bytes:
        """The message as a SEND frame."""
        write = encode_alone if self.destination.kind == "queue" else encode
        return write(message, self._where, next_number(), delay)

    def can_write(self, generation: StompGeneration) -> bool:
        """Whether not too much waits for the socket already."""
        if generation.has_room:
            return True
        # It is tried again when the socket has taken something.
        self._connection.dirty.add(self)
        return False

    def write(self, generation: StompGeneration, *, unrouted: bool) -> None:
        """Write what there is room for."""
        if not generation.write_sends(self._waiting, unrouted=unrouted):
            self._connection.dirty.add(self)
