"""What providers for Apache Artemis have in common, whatever protocol they speak: addresses, queues, management."""

from eventing_core.provider.artemis._address import Artemis, Node, Queue
from eventing_core.provider.artemis._errors import is_consumer_limit, is_permanent, of_refusal
from eventing_core.provider.artemis._management import ADDRESS, SUCCEEDED, Call, Management, Reply, equals
from eventing_core.provider.artemis._producer import ArtemisProducer
from eventing_core.provider.artemis._session import ArtemisSession, Ready, Warned

__all__ = [
    "ADDRESS",
    "SUCCEEDED",
    "Artemis",
    "ArtemisProducer",
    "ArtemisSession",
    "Call",
    "Management",
    "Node",
    "Queue",
    "Ready",
    "Reply",
    "Warned",
    "equals",
    "is_consumer_limit",
    "is_permanent",
    "of_refusal",
]
