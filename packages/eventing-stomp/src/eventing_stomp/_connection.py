"""What a STOMP connection to Artemis is made of."""

from __future__ import annotations

from eventing_core.provider import Destination, Subscriber, Subscription
from eventing_core.provider.artemis import Artemis, ArtemisSession, Warned
from eventing_stomp._config import StompConfig
from eventing_stomp._consumer import StompConsumer
from eventing_stomp._generation import StompGeneration
from eventing_stomp._link import StompLink
from eventing_stomp._management import Access, StompManagement
from eventing_stomp._producer import StompProducer
from eventing_stomp._rights import Rights
from eventing_stomp._session import StompSession


class StompConnection(StompLink[ArtemisSession]):
    """One life of a `StompProvider` on Artemis.

    Attributes:
        rights: the user's, as far as they are known.
    """

    product = "ActiveMQ-Artemis"

    def __init__(self, config: StompConfig) -> None:
        super().__init__(config)
        self.model = Artemis(config.queue_name, config.member_expiry or None)
        self._warned = Warned()
        self._access = Access()
        self.rights = Rights(config.user)

    def make_known_session(self, generation: StompGeneration) -> ArtemisSession:
        """Queues and addresses of the broker."""
        if not self._access.temporary.given:
            self._warned.once(
                "%s: this user may not have temporary queues: on activemq.management.# it needs the permissions "
                "createAddress, createNonDurableQueue, consume and send. Without them there is no management, and when "
                "the connection breaks Artemis may hold back an unsettled event until it is restarted",
                self.place,
            )
        if not self._access.following:
            self._warned.once(
                "%s: the broker ended the connection, because this user may not consume its notifications: on "
                "activemq.notifications it needs the permissions createNonDurableQueue and consume. Without them "
                "Eventing asks the broker every few seconds whether events have queues",
                self.place,
            )
        management = StompManagement(generation, self.loop, self._access)
        self.rights.ask(management)
        return StompSession(generation, management, self.model, self._warned)

    def make_producer(self, destination: Destination) -> StompProducer:
        """A new producer."""
        return StompProducer(self, destination, node=self.model.node(destination), rights=self.rights)

    def make_consumer(self, subscription: Subscription, subscriber: Subscriber) -> StompConsumer:
        """A new consumer."""
        limit = self.settings.prefetch_bytes
        return StompConsumer(self, subscription, subscriber, limit=limit, rights=self.rights)
