"""What a STOMP connection to RabbitMQ is made of."""

from __future__ import annotations

from eventing_core.provider import Destination, Subscriber, Subscription
from eventing_stomp._config import StompConfig
from eventing_stomp._generation import StompGeneration
from eventing_stomp._link import StompLink
from eventing_stomp._rabbitmq._address import QUEUE_NAME, RabbitMQ
from eventing_stomp._rabbitmq._consumer import RabbitConsumer
from eventing_stomp._rabbitmq._producer import RabbitProducer
from eventing_stomp._rabbitmq._session import RabbitSession


class RabbitConnection(StompLink[RabbitSession]):
    """One life of a `StompProvider` on RabbitMQ."""

    product = "RabbitMQ"

    def __init__(self, config: StompConfig) -> None:
        super().__init__(config)
        template = config.queue_name if "queue_name" in config.model_fields_set else QUEUE_NAME
        self.model = RabbitMQ(template, config.member_expiry or None)

    def make_known_session(self, generation: StompGeneration) -> RabbitSession:
        """Queues of the broker."""
        return RabbitSession(generation, self.loop)

    def make_producer(self, destination: Destination) -> RabbitProducer:
        """A new producer."""
        return RabbitProducer(self, destination, self.model)

    def make_consumer(self, subscription: Subscription, subscriber: Subscriber) -> RabbitConsumer:
        """A new consumer."""
        return RabbitConsumer(self, subscription, subscriber, self.model.queue(subscription.destination))
