"""The queues of a listener: its own, and the one for its dead letters."""

from __future__ import annotations

from eventing_core.declare._listener import EventListenerDescriptor
from eventing_core.provider import Destination


def queue_of(descriptor: EventListenerDescriptor, server_name: str) -> Destination:
    """The listener's own queue."""
    event = descriptor.event
    member = server_name if descriptor.per_process else ""
    return Destination(event.name, descriptor.group, member, "queue", event.durable)


def dead_letters_of(queue: Destination) -> Destination:
    """The queue for the dead letters of a queue."""
    return Destination(queue.topic, queue.group, queue.member, "dead", durable=True)
