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
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from eventing_core.provider._messages import (
    Delivery,
    Destination,
    Message,
    Outcome,
    Subscription,
    SubscriptionState,
    queue_name_of,
)
from eventing_core.provider._provider_config import ProviderConfig

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

    def queue_name(self, destination: Destination) -> str:
        """What the broker calls a listener's queue, or the queue for its dead letters, for logs. Never blocks."""
        return queue_name_of(f"{destination.topic}::{destination.group}", destination)

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
