"""Where destinations are on RabbitMQ, by its STOMP plugin (its documentation, "STOMP Plugin"). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from eventing_core.provider import Destination
from eventing_core.provider.sockets import queue_name

#: Where events go to; every virtual host has it. Names hold none of its wildcards, so that it routes by equal keys; and
#: it is the one whose keys a user may be given rights to one by one.
EXCHANGE = "amq.topic"

#: What an error names where something was sent to one queue.
DEFAULT_EXCHANGE = "amq.default"

#: Queue names are the listener's with the event's: RabbitMQ would bind an existing queue to a second event, unnoticed.
QUEUE_NAME = "{event}::{listener}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue, and how it is made: by subscribing to it.

    Attributes:
        name: unique in its virtual host.
        source: what to subscribe to.
        target: what to send to, so that it reaches this queue alone; the first send of a connection makes the queue.
        settings: headers that say how the queue is made.
        lock: a queue that only one connection can have, where only one process may consume; else empty.
        names: of what it takes rights to, to consume: queue, routing key and exchange.
    """

    name: str
    source: str
    target: str
    settings: tuple[tuple[str, str], ...] = ()
    lock: str = ""
    names: frozenset[str]


class RabbitMQ:
    """An event is a routing key of ``amq.topic``, a listener's queue is bound to it.

    Dead letters are in a queue of the default exchange.
    """

    def __init__(self, template: str = QUEUE_NAME, member_expiry: float | None = None) -> None:
        self._template = template
        self._member_expiry = member_expiry

    def target(self, destination: Destination) -> str:
        """Where to send to."""
        return self._topic(destination) if destination.kind == "topic" else self.queue(destination).target

    def queue(self, destination: Destination) -> Queue:
        """A listener's queue, or its dead letters'."""
        if destination.kind == "topic":
            msg = f"{destination} is not a queue"
            raise ValueError(msg)
        name = queue_name(self._template, destination)
        if destination.kind == "dead":
            place = f"/queue/{quoted(name)}"
            return Queue(name=name, source=place, target=place, names=frozenset((name,)))
        settings = {
            "durable": str(destination.durable).lower(),
            "auto-delete": "false",
            "exclusive": "false",
        }
        if destination.member and self._member_expiry:
            settings["x-expires"] = str(round(self._member_expiry * 1000))
        return Queue(
            name=name,
            source=self._topic(destination),
            target=f"/queue/{quoted(name)}",
            settings=tuple(settings.items()),
            lock=f"{name}.owner" if destination.member else "",
            names=frozenset((name, destination.topic, EXCHANGE)),
        )

    @staticmethod
    def _topic(destination: Destination) -> str:
        return f"/exchange/{EXCHANGE}/{quoted(destination.topic)}"


def quoted(name: str) -> str:
    """A name as a part of a destination."""
    return name.replace("/", "%2F")
