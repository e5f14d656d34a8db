"""Sends to one destination, over RabbitMQ."""

from __future__ import annotations

from eventing_core.errors import CapabilityError
from eventing_core.provider import Destination, Message
from eventing_core.provider.sockets import Carrier, SocketProducer, next_number, of_encoding
from eventing_stomp._frames import lines
from eventing_stomp._generation import StompGeneration
from eventing_stomp._rabbitmq._address import DEFAULT_EXCHANGE, EXCHANGE, RabbitMQ
from eventing_stomp._rabbitmq._message import encode
from eventing_stomp._rabbitmq._session import RabbitSession


class RabbitProducer(SocketProducer[StompGeneration, RabbitSession]):
    """SEND frames, each with a receipt, which RabbitMQ gives when it has the message.

    Args:
        connection: what carries it.
        destination: where it sends to.
        model: what the broker calls that.

    Attributes:
        names: routing key, queue and exchange, as an error may name them.
    """

    def __init__(self, connection: Carrier, destination: Destination, model: RabbitMQ) -> None:
        super().__init__(connection, destination)
        queue = None if destination.kind == "topic" else model.queue(destination)
        self.names = frozenset((queue.name, DEFAULT_EXCHANGE) if queue else (destination.topic, EXCHANGE))
        self._where = lines({"destination": model.target(destination), **dict(queue.settings if queue else ())})

    def why_refused(self, text: str) -> str:
        """What RabbitMQ says, which names the right."""
        fix = ": give the user that permission (rabbitmqctl set_permissions)" if "ACCESS_REFUSED" in text else ""
        return f"refused by the broker ({text}){fix}"

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
