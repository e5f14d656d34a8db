"""Where destinations are on Apache Artemis, whatever protocol it is spoken to. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eventing_core.provider._interface import Destination, Subscription
from eventing_core.provider.sockets import QUEUE_NAME, queue_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue, with its required properties.

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

    @property
    def routing(self) -> str:
        """How its address routes to it."""
        return "ANYCAST" if self.anycast else "MULTICAST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A target of sends, or a source of messages.

    Attributes:
        address: its address; that of a listener's queue is fully qualified, ``<address>::<queue>``.
        anycast: messages to it go to its one queue; otherwise to all its queues, or the named one.
        topic: address whose queues get what is sent; empty where ``queue`` alone does.
        queue: the one queue behind the address, which has to exist before anything is sent or received; None
            for a topic.
    """

    address: str
    anycast: bool = False
    topic: str = ""
    queue: Queue | None = None


class Artemis:
    """Addresses of Apache Artemis: multicast address per event, a queue per listener.

    The routing type is always named: a sender that asks for the other one makes an address both, and then misses its
    multicast queues. The dead-letter queue is anycast.
    """

    def __init__(self, template: str = QUEUE_NAME, member_expiry: float | None = None) -> None:
        self._template = template
        self._member_expiry = member_expiry

    def node(self, destination: Destination) -> Node:
        """The address of a destination."""
        if destination.kind == "topic":
            return Node(address=destination.topic, topic=destination.topic)
        name = queue_name(self._template, destination)
        if destination.kind == "dead":
            return Node(address=name, anycast=True, queue=Queue(name=name, address=name, anycast=True, durable=True))
        queue = Queue(
            name=name,
            address=destination.topic,
            # A process's own queue is durable as its events are; it goes when its process stays away.
            durable=destination.durable,
            single=bool(destination.member),
            expiry=self._member_expiry if destination.member else None,
        )
        return Node(address=f"{destination.topic}::{name}", queue=queue)

    def source(self, subscription: Subscription) -> Node:
        """Where a subscription attaches."""
        node = self.node(subscription.destination)
        if node.queue is None:
            msg = f"{subscription.destination} is not a queue"
            raise ValueError(msg)
        return replace(node, queue=replace(node.queue, exclusive=True)) if subscription.exclusive else node
