"""What goes through a provider: destinations, messages, deliveries, and subscriptions to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

#: What a queue's name ends in that holds another one's dead letters.
DEAD_SUFFIX = ".dead"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where messages go to, or come from; the provider maps it to its own addresses.

    Attributes:
        topic: the event's name.
        group: the listener's name; empty for the topic itself.
        member: the server's name, when each process has a queue of its own.
        kind: ``topic``: to the queues of all listeners; ``queue``: one listener's queue alone;
            ``dead``: the dead letters of that queue.
        durable: the queue survives a restart of the broker. Dead-letter queues always do.
    """

    topic: str
    group: str = ""
    member: str = ""
    kind: Literal["topic", "queue", "dead"] = "topic"
    durable: bool = False

    def __str__(self) -> str:
        text = self.topic
        if self.group:
            text += f"::{self.group}" + (f"-{self.member}" if self.member else "")
        return text + (" (dead letters)" if self.kind == "dead" else "")


def queue_name_of(named: str, destination: Destination) -> str:
    """The name of a listener's queue, or of the one for its dead letters.

    Args:
        named: stands for its event and its listener.
        destination: the queue; its server's name and its kind are added.
    """
    server = f"-{destination.member}" if destination.member else ""
    return named + server + (DEAD_SUFFIX if destination.kind == "dead" else "")


@dataclass(slots=True)
class Message:
    """A message as the transport sees it. Not changed any more once it was handed over.

    Attributes:
        body: the serialised event.
        headers: the headers for the other side; keys and values as `Envelope.set` allows them, and
            the core's own, which begin with ``eventing-`` or ``eventing_``.
        message_id: constant for life, through retries and dead-lettering. Empty when a stranger's
            message has none.
        dedup_id: two sends of one ``dedup_id`` to one destination are one message, where the broker can. The core
            uses it again only while the broker may have stored the message (`SendError.in_doubt`): a rejected send uses
            it up, since brokers may note the id before they refuse the message.
        content_type: media type of the body; empty when a stranger's message doesn't tell.
        durable: the message survives a restart of the broker, in durable queues.
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    message_id: str = ""
    dedup_id: str = ""
    content_type: str = "application/json"
    durable: bool = False


class Delivery(ABC):
    """One message given to this process. Plain data, valid on any thread for any time.

    The core compares deliveries by identity, whatever their class says of equality and hashes: give each message that
    is delivered an object of its own, and expect that very object in `Handle.settle`.

    Attributes:
        generation: of the attachment that it came by, as told with `SubscriptionState.ACTIVE`.
        delivery_count: how often it was given out before and came back in a way that the broker
            counts (see `Capabilities.delivery_count`); 0 for the first time.
    """

    __slots__ = ("delivery_count", "generation")

    generation: int
    delivery_count: int

    @abstractmethod
    def message(self) -> Message:
        """Decode the message. Equal results at each call; never raises.

        Called on the core's threads (workers, event loop, timer) or on the one that stops the manager, by several of
        them at a time; under no lock of the core's, and never within `Subscriber.deliver`, `Subscriber.state` or a
        send's ``done``: so a provider's own thread never decodes.

        Headers that aren't strings arrive as their string form. A message whose transport encoding is
        broken comes as its raw bytes, with the content type ``application/octet-stream``.
        """

    def body(self) -> bytes:
        """The body of `message`.

        To be overridden where it can be had without decoding the rest; what is broken there isn't noticed then.
        """
        return self.message().body


class Outcome(Enum):
    """What becomes of a delivery."""

    #: Done with: the broker forgets it.
    ACCEPT = "accept"
    #: Given back, to be delivered again at once, to this or another process; not counted as a
    #: delivery attempt where `Capabilities.uncounted_release` says so.
    RELEASE = "release"


class SubscriptionState(Enum):
    """What a subscription is doing."""

    #: Its queue (and its dead-letter queue) exists and is attached to in the current generation;
    #: nothing is delivered until `Handle.window` is called in this generation.
    ACTIVE = "active"
    #: Not attached; the provider is at work on it.
    INACTIVE = "inactive"
    #: It can't be had, for the reason given as error. Before it was first active: final.
    #: Afterwards the provider goes on trying.
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What to subscribe to.

    Attributes:
        destination: of kind ``queue``, with a ``member`` where each process has its own copy; or of
            kind ``dead``, to read dead letters.
        dead_letter: of kind ``dead``; None when dead letters themselves are read. Its queue is made, if
            need be, before `SubscriptionState.ACTIVE` in each generation, and is never removed automatically.
        exclusive: one consumer in the cluster gets everything, the others stand by.
    """

    destination: Destination
    dead_letter: Destination | None = None
    exclusive: bool = False
