"""STOMP 1.2 transport for Eventing, on Apache Artemis."""

from eventing_stomp._config import StompConfig
from eventing_stomp._provider import StompProvider

__all__ = ["StompConfig", "StompProvider"]
