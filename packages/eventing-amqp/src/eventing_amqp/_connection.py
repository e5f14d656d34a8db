"""What an AMQP connection is made of."""

from __future__ import annotations

import os
import secrets
import socket

from eventing_amqp import _engine
from eventing_amqp._config import AmqpConfig
from eventing_amqp._consumer import AmqpConsumer
from eventing_amqp._generation import AmqpGeneration
from eventing_amqp._management import AmqpManagement
from eventing_amqp._producer import AmqpProducer
from eventing_amqp._session import AmqpSession
from eventing_core.errors import UnsupportedBrokerError
from eventing_core.provider import Destination, Subscriber, Subscription
from eventing_core.provider.artemis import Artemis, ArtemisSession, Warned
from eventing_core.provider.sockets import Connection

#: What Artemis calls itself. Addresses mean something else on other brokers: sending to them would lose events.
_ARTEMIS = "apache-activemq-artemis"


class AmqpConnection(Connection[AmqpGeneration, ArtemisSession]):
    """One life of an `AMQProvider`.

    Raises:
        ImportError: Proton can't be loaded.
    """

    def __init__(self, config: AmqpConfig, server_name: str) -> None:
        super().__init__(config, f"eventing-amqp-{config.place}")
        self._engine = _engine.load()
        self._container = f"eventing-{server_name}-{os.getpid()}-{secrets.token_hex(4)}"
        self._warned = Warned()

    def make_generation(self, sock: socket.socket, number: int, config: AmqpConfig) -> AmqpGeneration:
        """A generation on a connected socket."""
        return AmqpGeneration(
            self._engine,
            sock,
            number,
            config=config,
            container=self._container,
            introduced=self._check,
            opened=self.session_open,
        )

    def _check(self, generation: AmqpGeneration) -> None:
        """The broker tells its name; one that opens the connection only to refuse it tells none."""
        if generation.product:
            self._refuse_unknown(generation)

    def _refuse_unknown(self, generation: AmqpGeneration) -> bool:
        if generation.product == _ARTEMIS:
            return False
        name = generation.product or "it doesn't report its name"
        fix = "connect to Apache Artemis"
        if "rabbit" in name.lower():
            fix = 'set provider = "stomp", with broker = "rabbitmq" and the port of its STOMP plugin (61613)'
        msg = (
            f"{self.place}: the broker speaks AMQP 1.0, but eventing-amqp doesn't support its addresses ({name}): {fix}"
        )
        generation.fail(UnsupportedBrokerError(msg))
        return True

    def make_session(self, generation: AmqpGeneration) -> ArtemisSession | None:
        """Queues and addresses of the broker."""
        if self._refuse_unknown(generation):
            return None
        model = Artemis(self.config.queue_name, self.config.member_expiry or None)
        return AmqpSession(generation, AmqpManagement(generation, self.loop), model, self._warned)

    def make_producer(self, destination: Destination) -> AmqpProducer:
        """A new producer."""
        return AmqpProducer(self, destination)

    def make_consumer(self, subscription: Subscription, subscriber: Subscriber) -> AmqpConsumer:
        """A new consumer."""
        return AmqpConsumer(self, subscription, subscriber)
