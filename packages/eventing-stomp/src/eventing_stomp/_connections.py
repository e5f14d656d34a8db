"""The connection for each kind of broker."""

from __future__ import annotations

from typing import Any

from eventing_stomp._config import StompConfig
from eventing_stomp._connection import StompConnection
from eventing_stomp._link import StompLink
from eventing_stomp._rabbitmq._connection import RabbitConnection


def of_broker(config: StompConfig) -> StompLink[Any]:
    """A new connection to what the settings say."""
    return RabbitConnection(config) if config.broker == "rabbitmq" else StompConnection(config)
