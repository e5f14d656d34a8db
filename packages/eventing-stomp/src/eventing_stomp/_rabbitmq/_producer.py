"""Sends to one destination, over RabbitMQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventing_core.errors import CapabilityError
from eventing_core.provider import Destination, Message
from eventing_core.provider.sockets import SocketProducer, next_number, of_encoding
from eventing_stomp._frames import lines
from eventing_stomp._generation import StompGeneration
from eventing_stomp._rabbitmq._address import DEFAULT_EXCHANGE, EXCHANGE
from eventing_stomp._rabbitmq._message import encode
from eventing_stomp._rabbitmq._session import RabbitSession

if TYPE_CHECKING:
    from eventing_stomp._rabbitmq._connection import RabbitConnection


class RabbitProducer(SocketProducer[StompGeneration, RabbitSession]):
    """SEND frames, each with a receipt, which RabbitMQ gives when it has the message.

    Attributes:
        names: routing key, queue and exchange, as an error may name them.
    """

    def __init__(self, connection: RabbitConnection, destination: Destination) -> None:
        super().__init__(connection, destination)
        queue = None if destination.kind == "topic" else connection.model.queue(destination)
        self.names = frozenset((queue.name, DEFAULT_EXCHANGE) if queue else (destination.topic, EXCHANGE))
        self._where = lines(
            {"destination": connection.model.target(destination), **dict(queue.settings if queue else ())}
        )

    def encode(self, message: Message, delay: float) -> bytes:
        """The message as a SEND frame."""
        if delay > 0:
            msg = "RabbitMQ can't delay messages"
            raise CapabilityError(msg)
        try:
            return encode(message, self._where, next_number())
        except UnicodeEncodeError as error:
            raise of_encoding(self.destination, message, error) from None

    def flush(self) -> None:
        """Write what there is room for."""
        generation = self._generation
        if not self._waiting or generation is None or self.must_wait():
            return
        if not generation.write_sends(self._waiting, unrouted=False):
            self._connection.dirty.add(self)
