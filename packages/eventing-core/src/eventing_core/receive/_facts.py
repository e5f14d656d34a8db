"""What a machine has to know of a message, and of an exception."""

from __future__ import annotations

from typing import cast

from eventing_core.declare._listener import EventListenerDescriptor
from eventing_core.declare._retry import Retry
from eventing_core.errors import DecodeError, ManagerStoppedError, UndeliverableError
from eventing_core.provider import Capabilities, Delivery
from eventing_core.receive._copies import Failures, redeliveries_of
from eventing_core.receive.machine._actions import Facts, Fault, FaultKind, Rules


def facts_of(delivery: Delivery) -> Facts:
    """Read a delivery's message. Call it on a thread of the core's, under no lock."""
    message = delivery.message()
    failures = Failures.of(message)
    # Nobody promises that a stranger's ids are unique; two messages with one id and one body are the same event.
    event = (message.message_id, hash(message.body)) if message.message_id else None
    return Facts(event, delivery.delivery_count, failures.attempts, failures.uncounted, redeliveries_of(message))


def name_of(event: object) -> str:
    """An event's id, for a log line."""
    return str(event[0]) if isinstance(event, tuple) else "without an id"


def fault_of(error: BaseException, retry: Retry, delivery: Delivery) -> Fault:
    """What kind of failure an exception is."""
    # Not by isinstance, which asks the error itself for its class: that may raise.
    kind = type(error)
    if issubclass(kind, DecodeError):
        why = delivery.explain(cast("DecodeError", error))
        return Fault(FaultKind.UNDELIVERABLE if isinstance(why, UndeliverableError) else FaultKind.UNDECODABLE, why)
    if issubclass(kind, retry.fatal):
        return Fault(FaultKind.REJECTED, error)
    if issubclass(kind, ManagerStoppedError):
        return Fault(FaultKind.STOPPED, error)
    return Fault(FaultKind.FAILED, error)


def rules_of(descriptor: EventListenerDescriptor, retry: Retry, capabilities: Capabilities) -> Rules:
    """A listener's settings and its transport's capabilities."""
    return Rules(
        concurrency=descriptor.concurrency,
        prefetch=descriptor.prefetch,
        ordered=descriptor.ordered,
        max_attempts=retry.max_attempts,
        pause_after=retry.pause_after,
        delay=retry.delay,
        flags=capabilities.delivery_count == "flag",
        can_delay=capabilities.send_delay,
        retains=capabilities.retains,
        exact_window=capabilities.exact_window,
    )
