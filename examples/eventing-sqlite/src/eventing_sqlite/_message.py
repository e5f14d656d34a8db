"""Messages as rows, and back. JSON in ASCII stores any text, lone surrogates too."""

import json
from dataclasses import asdict

from eventing_core.provider import Delivery, Destination, Message


def name_of(to: Destination) -> str:
    """Name of a queue; durability is no part of it."""
    return json.dumps((to.topic, to.kind, to.group, to.member))


def encode(message: Message, name: str) -> tuple[str, str, bytes]:
    """What tells a second send to there from others (empty: nothing does), properties, and body."""
    properties = asdict(message) | {"headers": dict(message.headers)}
    body = properties.pop("body")
    return message.dedup_id and json.dumps((name, message.dedup_id)), json.dumps(properties), body


class SqliteDelivery(Delivery):
    """A row that was given out."""

    __slots__ = ("_body", "_properties", "position")

    def __init__(self, generation: int, position: int, count: int, properties: str, body: bytes) -> None:
        self.generation, self.position, self.delivery_count = generation, position, count
        self._properties, self._body = properties, body

    def message(self) -> Message:
        """The message as it was sent."""
        return Message(body=self._body, **json.loads(self._properties))
