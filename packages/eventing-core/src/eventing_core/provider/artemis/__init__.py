"""What providers for Apache Artemis have in common, whatever protocol they speak: addresses, queues, management."""

from eventing_core.declare._reserved import ARTEMIS_PREFIXES
from eventing_core.provider.artemis._address import Artemis, Node, Queue
from eventing_core.provider.artemis._errors import (
    is_consumer_limit,
    is_permanent,
    missing_right,
    of_refusal,
    of_right,
)
from eventing_core.provider.artemis._inspection import Ready, Warned
from eventing_core.provider.artemis._management import (
    ADDRESS,
    NOTIFICATIONS,
    REPLIES,
    SUCCEEDED,
    Call,
    Follower,
    Management,
    Reply,
    equals,
)
from eventing_core.provider.artemis._producer import ArtemisProducer
from eventing_core.provider.artemis._session import ArtemisSession
from eventing_core.provider.artemis._setting_aside import Aside, Listing, Offender, list_queue, set_aside

__all__ = [
    "ADDRESS",
    "ARTEMIS_PREFIXES",
    "NOTIFICATIONS",
    "REPLIES",
    "SUCCEEDED",
    "Artemis",
    "ArtemisProducer",
    "ArtemisSession",
    "Aside",
    "Call",
    "Follower",
    "Listing",
    "Management",
    "Node",
    "Offender",
    "Queue",
    "Ready",
    "Reply",
    "Warned",
    "equals",
    "is_consumer_limit",
    "is_permanent",
    "list_queue",
    "missing_right",
    "of_refusal",
    "of_right",
    "set_aside",
]
