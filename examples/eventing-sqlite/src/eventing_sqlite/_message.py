"""Messages as rows, and back. JSON in ASCII stores any text, lone surrogates too."""

import json
from dataclasses import asdict

from eventing_core.provider import Delivery, Destination, Message


def name_of(to: Destination) -> str:
    """Name of a queue; durability is no part of it."""
    return json.dumps((to.topic, to.kind, to.group, to.member))


def properties_of(message: Message) -> str:
    """Everything but the body."""
    properties = asdict(message) | {"headers": dict(message.headers)}
    del properties["body"]
    return json.dumps(properties)


class SqliteDelivery(Delivery):
    """A row that was given out."""

    __slots__ = ("_body", "_properties", "position")

    def __init__(self, generation: int, position: int, count: int, properties: str, body: bytes) -> None:
        self.generation, self.position, self.delivery_count = generation, position, count
        self._properties, self._body = properties, body

    def message(self) -> Message:
        """The message as it was sent."""
        try:
            return Message(body=self._body, **json.loads(self._properties))
        except (TypeError, ValueError):  # somebody else wrote it
            return Message(body=self._body, content_type="application/octet-stream")
