"""What STOMP connections have in common, whatever the broker."""

from __future__ import annotations

import socket
from abc import abstractmethod
from typing import ClassVar, TypeVar

from eventing_core.errors import UnsupportedBrokerError
from eventing_core.provider.sockets import Connection, Session
from eventing_stomp import _driver
from eventing_stomp._config import StompConfig
from eventing_stomp._generation import StompGeneration

S = TypeVar("S", bound=Session)


class StompLink(Connection[StompGeneration, S]):
    """One life of a `StompProvider`.

    Attributes:
        product: how the broker's name has to begin. Destinations mean something else on other brokers: sending to them
            would lose events.

    Raises:
        ImportError: stomp.py can't be loaded.
    """

    product: ClassVar[str]

    def __init__(self, config: StompConfig) -> None:
        super().__init__(config, f"eventing-stomp-{config.place}")
        _driver.load()
        self.settings = config

    @abstractmethod
    def make_known_session(self, generation: StompGeneration) -> S:
        """What goes with an open generation, on a broker of that product."""

    def make_generation(self, sock: socket.socket, number: int, config: StompConfig) -> StompGeneration:
        """A generation on a connected socket."""
        return StompGeneration(sock, number, config=config, opened=self.session_open)

    def make_session(self, generation: StompGeneration) -> S | None:
        """What goes with an open generation."""
        if generation.product.startswith(self.product):
            return self.make_known_session(generation)
        name = generation.product or "it doesn't report its name"
        known = {"ActiveMQ-Artemis": "artemis", "RabbitMQ": "rabbitmq"}
        right = next((broker for product, broker in known.items() if name.startswith(product)), "")
        fix = f'set broker = "{right}"' if right else "connect to Apache Artemis or RabbitMQ"
        msg = f"{self.place}: the broker speaks STOMP, but is not {self.product} as configured ({name}): {fix}"
        generation.fail(UnsupportedBrokerError(msg))
        return None
