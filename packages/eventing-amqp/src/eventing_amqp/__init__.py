"""AMQP 1.0 transport for Eventing, on Apache Artemis."""

from eventing_amqp._config import AmqpConfig
from eventing_amqp._provider import AMQProvider

__all__ = ["AMQProvider", "AmqpConfig"]
