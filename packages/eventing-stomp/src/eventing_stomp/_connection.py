"""What a STOMP connection to Artemis is made of."""

from __future__ import annotations

from eventing_core.provider import Destination, Handle, Subscriber, Subscription
from eventing_core.provider.artemis import Artemis, ArtemisSession, Warned
from eventing_core.provider.sockets import Apart, ApartHandle
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
        self._apart = Apart()

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

    # -- listeners on connections of their own ------------------------------------------------------------------------

    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> Handle:
        """A new consumer, which can move to a connection of its own.

        Raises:
            ConnectionLostError: the provider is closed.
        """
        self.refuse_when_closing()
        consumer = self.make_consumer(subscription, subscriber)
        backoff = (self.config.backoff_initial, self.config.backoff_max)
        handle = ApartHandle(consumer, self._make_home, backoff)
        consumer.move = handle.move
        self._apart.add(handle)
        self.welcome(consumer)
        return handle

    def _make_home(self) -> StompConnection:
        home = StompConnection(self.settings)
        home._warned, home._access = self._warned.copy(), self._access.copy()
        return home

    def adopt(self, consumer: StompConsumer) -> StompConsumer:
        """Carry on a consumer of another connection, by one of its own; it isn't attached yet."""
        successor = self.make_consumer(consumer.subscription, consumer.subscriber)
        successor.succeed(consumer)
        return successor

    def close(self, timeout: float) -> None:
        """Close in order, the other listeners' connections too."""
        self._apart.end(timeout)
        super().close(timeout)

    def abandon(self) -> None:
        """In a forked child: drop everything."""
        self._apart.abandon()
        super().abandon()
