"""A plain client of the broker: Proton's own blocking one, which knows nothing of Eventing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, cast

from proton import Message, symbol
from proton.reactor import LinkOption
from proton.utils import BlockingConnection, SyncRequestResponse

from examples.artemis import Artemis

_numbers = itertools.count(1)


class Capability(LinkOption):
    """What a link asks its address to be."""

    def __init__(self, name: str) -> None:
        self._name = name

    def apply(self, link: Any) -> None:
        terminus = link.target if link.is_sender else link.source
        terminus.capabilities.put_object(symbol(self._name))


class PlainClient:
    """One connection. Not thread-safe."""

    def __init__(self, broker: Artemis, timeout: float = 20.0) -> None:
        """Connect; every call fails after ``timeout`` seconds."""
        # Proton is typed in parts, and wrongly in others.
        self._connection: Any = BlockingConnection(
            f"amqp://{broker.host}:{broker.port}",
            timeout=timeout,
            user=broker.user,
            password=broker.password,
            allowed_mechs="PLAIN",
            allow_insecure_mechs=True,
        )
        self._requests: SyncRequestResponse | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def send(self, address: str, message: Message, *, capability: str = "topic") -> None:
        """Send to an event's queues, and wait for the broker's confirmation."""
        name = f"plain-{next(_numbers)}"
        sender = self._connection.create_sender(address, name=name, options=Capability(capability))
        sender.send(message)
        sender.close()

    @contextmanager
    def reading(self, address: str, *, capability: str = "topic") -> Iterator[None]:
        """Consume from a queue, and take nothing."""
        name = f"plain-{next(_numbers)}"
        receiver = self._connection.create_receiver(address, name=name, credit=0, options=Capability(capability))
        yield
        receiver.close()

    def take(self, address: str, *, capability: str = "topic") -> Any:
        """Take the next message from a queue, and remove it."""
        name = f"plain-{next(_numbers)}"
        receiver = self._connection.create_receiver(address, name=name, credit=1, options=Capability(capability))
        message = receiver.receive()
        receiver.accept()
        receiver.close()
        return message

    def take_dead(self, queue: str) -> Any:
        """Take the next dead letter of a listener's queue."""
        return self.take(f"{queue}.dead", capability="queue")

    def queue(self, name: str) -> dict[str, str] | None:
        """What the broker says about a queue; None: it has none of that name."""
        rows = self.queues("name", "EQUALS", name)
        return rows[0] if rows else None

    def count_like(self, part: str) -> int:
        """How many messages are in the queues with that in their names."""
        return sum(int(row["messageCount"]) for row in self.queues("name", "CONTAINS", part))

    def queues(self, field: str, operation: str, value: str) -> list[dict[str, str]]:
        """What the broker says about the queues of which that holds, by its management's own words."""
        query = json.dumps({"field": field, "operation": operation, "value": value})
        [answer] = json.loads(self.manage("broker", "listQueues", query, 1, 1000))
        return cast("list[dict[str, str]]", json.loads(answer)["data"])

    def count(self, name: str) -> int:
        """How many messages are in a queue, those that are out with consumers included."""
        row = self.queue(name)
        assert row is not None, f"the broker has no queue {name}"
        return int(row["messageCount"])

    def manage(self, resource: str, operation: str, *arguments: object) -> str:
        """Call an operation of the broker's management."""
        if self._requests is None:
            self._requests = SyncRequestResponse(self._connection, "activemq.management")
        request = Message(
            body=json.dumps(arguments),
            properties={"_AMQ_ResourceName": resource, "_AMQ_OperationName": operation},
        )
        reply: Any = self._requests.call(request)
        assert reply.properties["_AMQ_OperationSucceeded"], reply.body
        return cast("str", reply.body)
