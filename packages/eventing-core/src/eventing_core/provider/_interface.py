"""The provider SPI: what a transport implements, and what it can rely on.

A provider owns connections and their generations, confirmation, resending until the deadline, and
leases. It knows destinations, messages, deliveries and outcomes; nothing of events, codecs or
listeners. What becomes of an event (workers, attempts, retry, dead letters, pipelines, windows) is
decided by the core.

**Threads.** Methods of `Provider`, `Producer` and `Handle` may be called on any thread, at the same
time, and never block except `Provider.open` and `Provider.close`. `Subscriber` methods, a send's
``done`` and the observer given to `Provider.open` are called by the provider, on a thread of its own or
on one that is inside one of its methods, possibly before that method returned: a subscriber may be active
before `Provider.subscribe` has returned its handle. They return at once, never raise and never run user code.
The provider calls them under no lock, and may be called by them; its caller holds no lock that they take: the core
calls providers, and everything else that isn't its own, under no lock at all.

**Generations.** A transport never revives a connection. Each (re)connect makes a new generation:
fresh connection, session and links, numbered upwards from 1. Deliveries, settlements and windows of
an older generation are void: the provider drops them, and the broker redelivers. A subscription that is
attached anew within one connection begins a new generation of its own, too. Sends in doubt are
sent again, before newer ones to the same destination, under their old ids; one that the broker has refused is not.
Where a broker notes an id and refuses the message then, and its answer may be lost with the connection, such a message
must go without the id: sent again, it would be confirmed and not stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from typing import Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from eventing_core.errors import ConfigError

__all__ = [
    "CRASH_LIMIT",
    "SPI_VERSION",
    "Capabilities",
    "Delivery",
    "Destination",
    "Done",
    "Handle",
    "Health",
    "Message",
    "Observer",
    "Outcome",
    "Producer",
    "Provider",
    "ProviderConfig",
    "ProviderSpec",
    "Subscriber",
    "Subscription",
    "SubscriptionState",
]

#: From this delivery count on the core runs a delivery no more: it dead-letters it as a crash loop, or, where this
#: process survived enough of it, replaces it by a copy that the broker counts anew, unless the order matters. So a
#: broker that takes messages away by their counts has to allow more.
CRASH_LIMIT = 8

#: The version of this interface, raised when a provider has to change with it. A plugin made for another one is
#: refused.
SPI_VERSION = 1


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


class Subscriber(Protocol):
    """The core's side of a subscription. Called by the provider; never blocks, never raises."""

    def deliver(self, batch: Sequence[Delivery]) -> None:
        """Take deliveries, in the broker's order."""

    def state(self, state: SubscriptionState, generation: int, error: Exception | None) -> None:
        """Learn what the subscription is doing now."""


class Handle(ABC):
    """A subscription, seen from the core."""

    @abstractmethod
    def settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle deliveries; those of an older generation are dropped without a word to the broker."""

    @abstractmethod
    def window(self, size: int) -> None:
        """Let at most ``size`` deliveries be out, delivered and not yet settled; 0 pauses.

        Holds for the current generation; a new one begins with 0. Lowering it takes back nothing
        that was delivered. A few more than ``size`` may arrive when it is lowered.
        """

    @abstractmethod
    def close(self) -> Future[None]:
        """Unsubscribe. Idempotent.

        What is unsettled goes back to the broker, uncounted where the technology can; settlements made
        before are carried out first. The future is done when the broker has agreed, or the connection is lost.
        """


#: ``done(index, error)``: the send of ``batch[index]`` is confirmed (None) or failed.
Done = Callable[[int, Exception | None], None]


class Producer(ABC):
    """Sends to one destination."""

    @abstractmethod
    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        """Send messages in their order, and tell of each exactly once what became of it.

        Encodes on the caller's thread. Where this raises, nothing of the batch was taken. Confirmed
        means: the broker has it, in every queue that exists, on disk where message and queue are durable.

        Args:
            batch: at least one message.
            done: called in any order of the indexes.
            deadline: of `time.monotonic`, in seconds. By then at the latest an unconfirmed message has
                failed with `SendTimeoutError`; one not yet written to a connection is withdrawn.
            delay: seconds before the broker hands it on; only with `Capabilities.send_delay`.

        Raises:
            CapabilityError: a delay without `Capabilities.send_delay`.
            MessageTooLargeError: a message is beyond `Capabilities.max_message_bytes`.
            HeaderError: a header, or an id, can't be encoded.
            ConnectionLostError: the provider is closed.

        Errors given to ``done``: `SendTimeoutError`, `SendRejectedError`, `ConnectionLostError`, and
        `UnroutedError` (the broker took it and has no queue for it).

        The core acts on two attributes. ``in_doubt``: the broker may have the message; the core sends it again under
        the same ``dedup_id``, else under a fresh one. ``permanent``: the broker can never store the message as it is,
        since its headers are too large or can't be encoded; True only where the broker's own words, or its limits,
        say so. The core sends a dead letter again with fewer headers then, and keeps a retry in the process. False
        where it isn't known: the core drops nothing, and tries again. An error of any other class counts as neither.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the technology can do. Read by the runtime and by the conformance kit alike.

    Attributes:
        durable: queues and messages can survive a restart of the broker.
        per_process: every process can have a queue of its own.
        member_expiry: the queue of a process that stays away is removed after a while.
        exclusive: one consumer of several can be given everything, in order.
        delivery_count: what `Delivery.delivery_count` counts. ``none``: nothing; ``flag``: the broker only tells that
            it was given out before; it is the number in the header `REDELIVERIES` then, and one more for the flag;
            ``delivered``: also messages that were prefetched and never begun; ``failed``: only what was begun. Not each
            lost connection has to be counted: over AMQP, Artemis counts some.
        uncounted_release: `Outcome.RELEASE` doesn't raise the delivery count.
        send_delay: `Producer.send` can delay.
        dedup: the broker drops a second send of one ``dedup_id`` to one topic, or to the dead letters of one queue; to
            a listener's own queue as well, where it can. Messages that it may refuse after it has noted their ids, for
            their large headers, are exempt.
        reports_unroutable: a send to a topic without any queue fails with `UnroutedError`.
        individual_settlement: deliveries can be settled out of order; a log commits a prefix.
        lease: deliveries are lent for a time; the provider renews it while they are unsettled.
        exact_window: what is beyond `Handle.window` stays with the broker, and other consumers can have it. Without it
            the provider may hold some more, bounded in bytes; a window of 1 is exact all the same.
        network: there is a broker at the other end of a connection: it can restart, and the connection can be lost.
        retains: what isn't consumed when the provider is closed is kept for a later one. Where it isn't, a
            manager that stops lets its listeners handle everything first; see `Provider.unhandled`.
        max_message_bytes: the largest body, in bytes; None when there is no bound.
    """

    durable: bool
    per_process: bool
    member_expiry: bool
    exclusive: bool
    delivery_count: Literal["none", "flag", "delivered", "failed"]
    uncounted_release: bool
    send_delay: bool
    dedup: bool
    reports_unroutable: bool
    individual_settlement: bool
    lease: bool
    exact_window: bool
    network: bool
    retains: bool = True
    max_message_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the provider's connection is.

    Attributes:
        connected: there is a connection that was heard from within its heartbeat.
        generation: how many connections were made so far.
        error: why there is no connection, when there is none.
        place: of the broker that is connected to, where there may be several; ``host:port``, for example.
    """

    connected: bool
    generation: int
    error: str = ""
    place: str = ""


#: ``observer(connected, error)``: the connection came (True, None) or went (False, why).
Observer = Callable[[bool, Exception | None], None]


class Provider(ABC):
    """A transport.

    Attributes:
        name: the plugin's name, for messages.
        server_name: this process's name in the cluster; the member of per-process destinations.
        capabilities: constant for life.
    """

    name: str
    server_name: str
    capabilities: Capabilities

    @abstractmethod
    def open(self, observer: Observer) -> None:
        """Connect. Blocks until connected; later losses are mended without end, by new generations.

        Called once, before anything else. Where `close` is called meanwhile, on another thread, it fails as soon as
        it can, or returns with the provider closed.

        Raises:
            BrokerConnectionError: within the connect time limit, saying what is wrong. The provider is
                then as if it had not been opened, and may be opened again.
        """

    @abstractmethod
    def producer(self, destination: Destination) -> Producer:
        """A producer for that destination; the same one for equal destinations."""

    @abstractmethod
    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> Handle:
        """Make the queue, where it doesn't exist, and attach to it, in this and every later generation.

        The subscriber is told `SubscriptionState.ACTIVE`, or `SubscriptionState.FAILED` with a `SubscriptionError`,
        in bounded time. No delivery comes before `Handle.window`.

        Raises:
            ConnectionLostError: the provider is not open, or is closed.
        """

    @abstractmethod
    def health(self) -> Health:
        """How the connection is. Never blocks."""

    def unhandled(self) -> int:
        """How many messages would be lost if the provider were closed now. Never blocks.

        Asked without `Capabilities.retains`, when a manager stops: what waits in this provider's queues, and what is
        delivered and not accepted; no dead letters. A stop waits, while it has time, until there are none.
        """
        return 0

    @abstractmethod
    def close(self, timeout: float) -> None:
        """Close what is open. Idempotent; blocks at most ``timeout`` seconds. No effect before `open`.

        Called while `open` is under way, it ends that; it may be called again and again until it has.
        Settlements made before are carried out first, in-flight sends get their confirmation while
        ``timeout`` allows, and then fail with `ConnectionLostError`. Everything unsettled goes back to the
        broker. Afterwards nothing of the provider is left: no thread, no descriptor.
        """

    @abstractmethod
    def abandon(self) -> None:
        """In a child after ``os.fork``: drop what was inherited, without a word to the peer.

        Descriptors are closed so that the parent's connection doesn't notice; what the driver forbids even to
        close in a child is left alone. Afterwards the provider is as if it had never been opened.
        """


class ProviderConfig(BaseModel):
    """Base of a provider's settings: its table in the configuration file.

    Unknown keys are refused. Give secrets the type ``pydantic.SecretStr``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The settings that a constructor was given.

        Raises:
            ConfigError: one is unknown, or wrong. Holds none of the values.
        """
        try:
            return cls(**settings)
        except ValidationError as error:
            flaws = error.errors(include_input=False, include_url=False, include_context=False)
        # Outside, as an error of pydantic keeps what was put in.
        raise ConfigError(f"{cls.__name__}: " + "; ".join(cls._flaw(flaw["loc"], flaw["msg"]) for flaw in flaws))

    @classmethod
    def _flaw(cls, location: tuple[int | str, ...], text: str) -> str:
        key = ".".join(map(str, location))
        if key and key not in cls.model_fields:
            near = get_close_matches(key.lower(), cls.model_fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the keys are: {', '.join(sorted(cls.model_fields))}"
            return f"unknown key {key!r}; {hint}"
        text = text.removeprefix("Value error, ")
        return f"{key}: {text}" if key else text


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """What a provider plugin offers.

    Attributes:
        name: ``[a-z][a-z0-9]*``; the same as its entry point's.
        config: the model of its settings.
        factory: ``factory(server_name, config)`` makes the provider. Imports the driver no earlier than
            the provider opens a connection.
        spi_version: the `SPI_VERSION` that it was written for, as a number: the name would claim whatever is installed.
    """

    name: str
    config: type[ProviderConfig]
    factory: Callable[[str, Any], Provider]
    spi_version: int
