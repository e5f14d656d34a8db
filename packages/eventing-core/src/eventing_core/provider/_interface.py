"""The provider interface: what a transport implements, and what it can rely on.

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
    """Receives deliveries and states. The provider calls it; it never blocks and never raises."""

    def deliver(self, batch: Sequence[Delivery]) -> None:
        """Take deliveries, in the broker's order."""

    def state(self, state: SubscriptionState, generation: int, error: Exception | None) -> None:
        """Take a change of the subscription's state."""


class Handle(ABC):
    """The core's control of a subscription."""

    @property
    def flaw(self) -> str:
        """What is wrong with it, for health and logs, also while it is attached; empty for nothing. Never blocks."""
        return ""

    @abstractmethod
    def settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle deliveries; those of an older generation are ignored."""

    @abstractmethod
    def window(self, size: int) -> None:
        """Set the maximum number of unsettled deliveries; 0 pauses the subscription.

        Applies to the current generation; a new one starts with 0. Lowering it doesn't return deliveries,
        and a few more than ``size`` may arrive at that time.
        """

    @abstractmethod
    def close(self) -> Future[None]:
        """Unsubscribe. Idempotent.

        Earlier settlements are carried out first; then unsettled deliveries are returned to the broker, uncounted if
        the technology supports it. The future is done when the broker has agreed, or the connection is lost.
        """


#: ``done(index, error)``: the send of ``batch[index]`` is confirmed (None) or failed.
Done = Callable[[int, Exception | None], None]


class Producer(ABC):
    """Sends to one destination."""

    @abstractmethod
    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        """Send messages in order, and report the outcome of each exactly once.

        Encodes on the caller's thread. If this raises, no message of the batch was taken. Confirmed means that the
        broker has stored the message in every existing queue, on disk if message and queue are durable.

        Args:
            batch: at least one message.
            done: called once for each index, in any order.
            deadline: in seconds, of `time.monotonic`. An unconfirmed message fails with `SendTimeoutError` by then at
                the latest; one that was not yet written to a connection is withdrawn.
            delay: seconds before the broker delivers the message; only with `Capabilities.send_delay`.

        Raises:
            CapabilityError: a delay without `Capabilities.send_delay`.
            MessageTooLargeError: a message exceeds `Capabilities.max_message_bytes`.
            HeaderError: a header, or an id, can't be encoded.
            ConnectionLostError: the provider is closed.

        Errors passed to ``done``: `SendTimeoutError`, `SendRejectedError`, `ConnectionLostError`, and `UnroutedError`
        (the broker accepted the message, but has no queue for it).

        The core acts on two attributes of these errors. ``in_doubt``: the broker may have the message; the core sends
        it again with the same ``dedup_id``, otherwise with a new one. ``permanent``: the broker can never store the
        message as it is, because its headers are too large or can't be encoded. Set it only if the broker's answer or
        its known limits say so. Then the core sends a dead letter again with fewer headers, and holds a retry in the
        process; otherwise it tries again without changes. An error of any other class has neither attribute.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the technology can do. Both the core and the conformance kit rely on it.

    Attributes:
        durable: queues and messages can survive a restart of the broker.
        per_process: every process can have its own queue.
        member_expiry: the queue of a server that doesn't return is removed after some time.
        exclusive: one of several consumers can get all messages, in order.
        delivery_count: what `Delivery.delivery_count` counts. ``none``: nothing. ``flag``: the broker only flags
            redelivered messages; then it is the number in the header `REDELIVERIES`, plus one for the flag.
            ``delivered``: all deliveries, including prefetched messages that were never started. ``failed``: only
            deliveries that were started. Not every lost connection needs to be counted: over AMQP, Artemis counts some.
        uncounted_release: `Outcome.RELEASE` doesn't raise the delivery count.
        send_delay: `Producer.send` can delay.
        dedup: the broker drops a second send with the same ``dedup_id`` to the same topic, or to the dead letters of
            the same queue; if possible, also to a listener's own queue. Exempt are messages with large headers, which
            the broker may refuse after it has recorded their ids.
        reports_unroutable: a send to a topic without any queue fails with `UnroutedError`.
        individual_settlement: deliveries can be settled out of order; a log commits a prefix.
        lease: deliveries are leased for a limited time; the provider renews the lease while they are unsettled.
        exact_window: messages beyond `Handle.window` stay on the broker, and other consumers can get them. Without it
            the provider may hold more, limited in bytes; a window of 1 is always exact.
        network: the provider is connected to a broker, which can restart, and the connection can be lost.
        retains: messages that are not consumed when the provider is closed are kept. Otherwise, a manager that stops
            lets its listeners handle everything first; see `Provider.unhandled`.
        max_message_bytes: the largest body, in bytes; None means no limit.
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
    """The state of a provider's connection.

    Attributes:
        connected: the provider is connected, and the peer has sent something within its heartbeat interval.
        generation: number of connections so far.
        error: why the provider is not connected; empty if it is.
        place: the broker that is in use, if there may be several; for example ``host:port``.
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
        name: the plugin's name, used in messages.
        server_name: this process's name in the cluster; the member of per-process destinations.
        capabilities: what the provider supports; constant.
    """

    name: str
    server_name: str
    capabilities: Capabilities

    @abstractmethod
    def open(self, observer: Observer) -> None:
        """Connect. Blocks until connected. After later losses the provider reconnects indefinitely, in new generations.

        Called once, before anything else. If `close` is called in the meantime, on another thread, this method fails as
        soon as possible, or returns with the provider closed.

        Raises:
            BrokerConnectionError: within the connect time limit, with the reason. The provider is then in the same
                state as before, and may be opened again.
        """

    @abstractmethod
    def producer(self, destination: Destination) -> Producer:
        """Return a producer for the destination; the same one for equal destinations."""

    @abstractmethod
    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> Handle:
        """Create the queue if it doesn't exist, and attach to it, in this and every later generation.

        The subscriber receives `SubscriptionState.ACTIVE`, or `SubscriptionState.FAILED` with a `SubscriptionError`,
        in bounded time. There are no deliveries before `Handle.window` is called.

        Raises:
            ConnectionLostError: the provider is not open, or is closed.
        """

    @abstractmethod
    def health(self) -> Health:
        """Return the state of the connection. Never blocks."""

    def queue_name(self, destination: Destination) -> str:
        """Return the broker's name of a listener's queue or dead-letter queue, for log lines. Never blocks."""
        return queue_name_of(f"{destination.topic}::{destination.group}", destination)

    def unhandled(self) -> int:
        """Return the number of messages that would be lost if the provider were closed now. Never blocks.

        Called without `Capabilities.retains`, when a manager stops. Count messages that wait in this provider's queues,
        and deliveries that are not accepted, but no dead letters. Within its time limit, a stop waits until it is 0.
        """
        return 0

    @abstractmethod
    def close(self, timeout: float) -> None:
        """Close the connection. Idempotent; blocks for at most ``timeout`` seconds. No effect before `open`.

        If `open` is in progress, this method aborts it, and may be called repeatedly until `open` has ended. Earlier
        settlements are carried out first. Sends in flight may be confirmed within ``timeout``; then they fail with
        `ConnectionLostError`. Unsettled deliveries are returned to the broker. Afterwards no threads and no descriptors
        of the provider remain.
        """

    @abstractmethod
    def abandon(self) -> None:
        """In a child after ``os.fork``: drop inherited resources, without sending anything to the peer.

        Close descriptors without affecting the parent's connection, but don't touch resources that the driver forbids
        to close in a child. Afterwards the provider is in the same state as before `open`.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """What a provider plugin offers.

    Attributes:
        name: ``[a-z][a-z0-9]*``, the same as the name of the entry point.
        config: the model of its settings.
        factory: ``factory(server_name, config)`` creates the provider. The driver must not be imported before the
            provider opens a connection.
        spi_version: the `SPI_VERSION` that it was written for. Write it as a number, because the imported name would
            always equal the installed version.
    """

    name: str
    config: type[ProviderConfig]
    factory: Callable[[str, Any], Provider]
    spi_version: int
