"""Messages as rows, and back."""

from __future__ import annotations

import json

from eventing_core.provider import Delivery, Destination, Message

#: Properties, body, and the key by which a second send is known; empty without one.
Row = tuple[str, bytes, str]


def encode(destination: Destination, message: Message) -> Row:
    """A row of a message. JSON in ASCII: any text can be stored, a lone surrogate too."""
    properties = {
        "headers": dict(message.headers),
        "message_id": message.message_id,
        "dedup_id": message.dedup_id,
        "content_type": message.content_type,
        "durable": message.durable,
    }
    parts = (destination.topic, destination.kind, destination.group, destination.member, message.dedup_id)
    return json.dumps(properties), message.body, json.dumps(parts) if message.dedup_id else ""


class SqliteDelivery(Delivery):
    """A row that was given out."""

    __slots__ = ("body", "position", "properties")

    def __init__(self, generation: int, position: int, count: int, properties: str, body: bytes) -> None:
        self.generation = generation
        self.delivery_count = count
        self.position = position
        self.properties = properties
        self.body = body

    def message(self) -> Message:
        """The message as it was sent."""
        try:
            return Message(body=self.body, **json.loads(self.properties))
        except (TypeError, ValueError):  # not written by us
            return Message(body=self.body, content_type="application/octet-stream")
