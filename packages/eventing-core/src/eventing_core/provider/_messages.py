"""What goes through a provider: destinations, messages, deliveries, and subscriptions to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from eventing_core.errors import DecodeError

#: What a queue's name ends in that holds another one's dead letters.
DEAD_SUFFIX = ".dead"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where messages are sent to or consumed from. The provider maps it to its own addresses.

    Attributes:
        topic: the event's name.
        group: the listener's name; empty for the topic itself.
        member: the server's name, if each process has its own queue.
        kind: ``topic``: the queues of all listeners; ``queue``: the queue of one listener;
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
    """A message for the transport. It is not changed after it was handed over.

    Attributes:
        body: the serialised event.
        headers: the headers to send: keys and values that `Envelope.set` allows, and the core's own, which begin with
            ``eventing-`` or ``eventing_``.
        message_id: stays the same through retries and dead-lettering. Empty if a message of another sender has none.
        dedup_id: the broker stores two sends with the same ``dedup_id`` to the same destination once, if it supports
            that. The core reuses an id only while the broker may have stored the message (`SendError.in_doubt`): after
            a rejection it uses a new one, because brokers may record the id before they refuse the message.
        content_type: media type of the body; empty if a message of another sender doesn't specify it.
        durable: the message survives a restart of the broker, in durable queues.
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    message_id: str = ""
    dedup_id: str = ""
    content_type: str = "application/json"
    durable: bool = False


class Delivery(ABC):
    """One message that was delivered to this process. Plain data, valid on any thread and indefinitely.

    The core compares deliveries by identity, regardless of ``__eq__`` and ``__hash__``. Create a separate object for
    each delivered message, and expect the same object in `Handle.settle`.

    Attributes:
        generation: the generation that it belongs to, as passed with `SubscriptionState.ACTIVE`.
        delivery_count: number of earlier deliveries that the broker counts (see `Capabilities.delivery_count`); 0 for
            the first one.
    """

    __slots__ = ("delivery_count", "generation")

    generation: int
    delivery_count: int

    @abstractmethod
    def message(self) -> Message:
        """Decode the message. Each call returns an equal result. Never raises.

        Called on threads of the core (workers, event loop, timer) or on the thread that stops the manager, possibly
        concurrently. It is called without holding a lock of the core, and never within `Subscriber.deliver`,
        `Subscriber.state` or the ``done`` of a send, so a provider's own thread never decodes.

        Headers that aren't strings are converted to strings. If the transport encoding is broken, the body contains the
        raw bytes, and the content type is ``application/octet-stream``.
        """

    def body(self) -> bytes:
        """The body of `message`.

        Override it if the transport can extract the body without decoding the rest. Damage in the rest may go
        unnoticed.
        """
        return self.message().body

    def explain(self, error: DecodeError) -> DecodeError:
        """What to say of a body that isn't a valid event, in place of the codec's own words.

        To be overridden where the transport knows why: an `UndeliverableError` says that it can't hand over what the
        broker has, and gives the dead letter the reason ``undeliverable``. Called on the thread that ran the attempt.
        """
        return error


class Outcome(Enum):
    """How a delivery is settled."""

    #: Done with: the broker forgets it.
    ACCEPT = "accept"
    #: Given back, to be delivered again at once, to this or another process; not counted as a
    #: delivery attempt where `Capabilities.uncounted_release` says so.
    RELEASE = "release"


class SubscriptionState(Enum):
    """The state of a subscription."""

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
        destination: of kind ``queue``, with a ``member`` if each process has its own copy; or of kind ``dead``, to read
            dead letters.
        dead_letter: of kind ``dead``; None if dead letters themselves are read. Its queue is created, if necessary,
            before `SubscriptionState.ACTIVE` in each generation, and is never removed automatically.
        exclusive: one consumer in the cluster gets all messages, the others stand by.
    """

    destination: Destination
    dead_letter: Destination | None = None
    exclusive: bool = False
