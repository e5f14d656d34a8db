"""What a STOMP connection is made of."""

from __future__ import annotations

import socket

from eventing_core.errors import UnsupportedBrokerError
from eventing_core.provider import Destination, Subscriber, Subscription
from eventing_core.provider.artemis import Artemis, ArtemisSession, Warned
from eventing_core.provider.sockets import Connection
from eventing_stomp import _driver
from eventing_stomp._config import StompConfig
from eventing_stomp._consumer import StompConsumer
from eventing_stomp._generation import StompGeneration
from eventing_stomp._management import Access, StompManagement
from eventing_stomp._producer import StompProducer
from eventing_stomp._session import StompSession

#: What Artemis calls itself. Destinations mean something else on other brokers: sending to them would lose events.
_ARTEMIS = "ActiveMQ-Artemis"


class StompConnection(Connection[StompGeneration, ArtemisSession]):
    """One life of a `StompProvider`.

    Raises:
        ImportError: stomp.py can't be loaded.
    """

    def __init__(self, config: StompConfig) -> None:
        super().__init__(config, f"eventing-stomp-{config.place}")
        _driver.load()
        self.settings = config
        self.model = Artemis(config.queue_name, config.member_expiry or None)
        self._warned = Warned()
        self._access = Access()

    def make_generation(self, sock: socket.socket, number: int) -> StompGeneration:
        """A generation on a connected socket."""
        return StompGeneration(sock, number, config=self.settings, opened=self.session_open)

    def make_session(self, generation: StompGeneration) -> ArtemisSession | None:
        """Queues and addresses of the broker."""
        if not generation.product.startswith(_ARTEMIS):
            name = generation.product or "it doesn't tell its name"
            msg = (
                f"{self.config.place}: the broker speaks STOMP, but its destinations are unknown to eventing-stomp "
                f"({name}); known is Apache Artemis"
            )
            generation.fail(UnsupportedBrokerError(msg))
            return None
        if not self._access.temporary:
            self._warned.once(
                "%s: this user may not have temporary queues: on eventing.replies.# it needs the permissions "
                "createAddress, createNonDurableQueue, consume and send. Without them there is no management, and when "
                "the connection breaks Artemis may hold back an unsettled event until it is restarted",
                self.config.place,
            )
        management = StompManagement(generation, self.loop, self._access)
        return StompSession(generation, management, self.model, self._warned)

    def make_producer(self, destination: Destination) -> StompProducer:
        """A new producer."""
        return StompProducer(self, destination)

    def make_consumer(self, subscription: Subscription, subscriber: Subscriber) -> StompConsumer:
        """A new consumer."""
        return StompConsumer(self, subscription, subscriber)
