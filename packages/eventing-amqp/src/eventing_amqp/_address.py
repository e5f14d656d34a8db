"""Where destinations are on a broker. Pure.

Brokers give addresses different meanings. Which model holds is chosen by the peer's ``product`` property; an unknown
one is refused, because an address that means something else on it would lose events without an error.
"""

from __future__ import annotations

import json
import re
import string
from dataclasses import dataclass, replace

from eventing_core.errors import UnsupportedBrokerError
from eventing_core.provider import Destination, Subscription

#: The part of a queue's name that comes from the listener.
QUEUE_NAME = "{listener}"

_FIELDS = {"event", "listener"}


def check_queue_name(template: str) -> str:
    """Return the template.

    Raises:
        ValueError: it has other fields than ``{event}`` and ``{listener}``, or lacks the latter.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        msg = f"{template!r} is no template: {error}"
        raise ValueError(msg) from None
    fields = {field for _, field, _, _ in parts if field is not None}
    if any(spec or conversion for _, _, spec, conversion in parts) or not fields <= _FIELDS or "listener" not in fields:
        msg = f"{template!r} has to hold {{listener}}, and may hold {{event}}; the default is {QUEUE_NAME!r}"
        raise ValueError(msg)
    if re.search(r"::|[?#*,\s]", template):
        msg = f"{template!r} holds characters that addresses can't have"
        raise ValueError(msg)
    return template


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue, and how it has to be.

    Attributes:
        name: unique on the broker.
        address: what it belongs to.
        anycast: its messages are sent to it; otherwise it gets all that is sent to the address.
        durable: survives a restart of the broker.
        exclusive: one consumer gets everything.
        single: takes one consumer at most.
        expiry: seconds without consumer after which the broker removes it; None: never.
    """

    name: str
    address: str
    anycast: bool = False
    durable: bool = False
    exclusive: bool = False
    single: bool = False
    expiry: float | None = None

    def configuration(self) -> str:
        """For the broker's operation ``createQueue`` (Artemis user manual, "Management", QueueConfiguration)."""
        settings: dict[str, object] = {
            "name": self.name,
            "address": self.address,
            "routing-type": "ANYCAST" if self.anycast else "MULTICAST",
            "durable": self.durable,
            "auto-create-address": True,
            "auto-delete": self.expiry is not None,
        }
        if self.expiry is not None:
            settings["auto-delete-delay"] = round(self.expiry * 1000)
            settings["auto-delete-message-count"] = -1
        if self.single:
            settings["max-consumers"] = 1
        if self.exclusive:
            settings["exclusive"] = True
        return json.dumps(settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a link is attached to.

    Attributes:
        address: of the link's source or target.
        capability: symbol that tells the broker how to route.
        topic: address whose queues get what is sent; empty where ``queue`` alone does.
        queue: the one queue behind the address, which has to exist before anything is sent or received; None
            for a topic.
    """

    address: str
    capability: str
    topic: str = ""
    queue: Queue | None = None


class Artemis:
    """Addresses of Apache Artemis: multicast address per event, a queue per listener.

    ``topic`` is always named as capability of event addresses: a sender with ``queue`` makes an address anycast as
    well, and then misses its multicast queues. The dead-letter queue is the other way round.
    """

    product = "apache-activemq-artemis"

    def __init__(self, queue_name: str = QUEUE_NAME, member_expiry: float | None = None) -> None:
        self._queue_name = queue_name
        self._member_expiry = member_expiry

    def node(self, destination: Destination) -> Node:
        """Where a destination is."""
        if destination.kind == "topic":
            return Node(address=destination.topic, capability="topic", topic=destination.topic)
        name = self._queue_name.format(event=destination.topic, listener=destination.group)
        if destination.member:
            name += f"-{destination.member}"
        if destination.kind == "dead":
            name += ".dead"
            return Node(
                address=name, capability="queue", queue=Queue(name=name, address=name, anycast=True, durable=True)
            )
        queue = Queue(
            name=name,
            address=destination.topic,
            # A process's own queue is durable as its events are; it goes when its process stays away.
            durable=destination.durable,
            single=bool(destination.member),
            expiry=self._member_expiry if destination.member else None,
        )
        return Node(address=f"{destination.topic}::{name}", capability="topic", queue=queue)

    def source(self, subscription: Subscription) -> Node:
        """Where a subscription attaches."""
        node = self.node(subscription.destination)
        if node.queue is None:
            msg = f"{subscription.destination} is no queue"
            raise ValueError(msg)
        return replace(node, queue=replace(node.queue, exclusive=True)) if subscription.exclusive else node


def model_of(product: str, queue_name: str, member_expiry: float | None) -> Artemis:
    """The address model of a broker.

    Raises:
        UnsupportedBrokerError: it is not known.
    """
    if product == Artemis.product:
        return Artemis(queue_name, member_expiry)
    name = product or "it doesn't tell its name"
    msg = (
        f"the broker speaks AMQP 1.0, but its addresses are unknown to eventing-amqp ({name}); known is "
        f"Apache Artemis ({Artemis.product})"
    )
    raise UnsupportedBrokerError(msg)
