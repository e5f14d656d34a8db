"""Moving a message that can't be handed over out of a listener's queue, by management."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from eventing_core.errors import SubscriptionError, UndeliverableError
from eventing_core.provider._messages import Message
from eventing_core.provider.artemis._address import Queue
from eventing_core.provider.artemis._management import Reply
from eventing_core.provider.artemis._session import ArtemisSession

#: Ends the name of the queue for what can't be handed over.
_SUFFIX = ".undeliverable"

#: In the dead letter: where the message is, and the broker's number of it, which it had in the listener's queue.
QUEUE = "eventing_undeliverable_queue"
NUMBER = "eventing_undeliverable_id"

#: How AMQP message ids begin, where management tells them.
_ID = "ID:"


@dataclass(frozen=True, slots=True)
class Aside:
    """A message that was set aside.

    Attributes:
        number: the broker's, in the listener's queue.
        message: what becomes the dead letter.
        failure: why it could not be handed over.
    """

    number: int
    message: Message
    failure: UndeliverableError


@dataclass(frozen=True, slots=True)
class Offender:
    """A message that can't be handed over.

    Attributes:
        number: the broker's.
        message_id: the sender's; empty where there is none.
        why: what is wrong with it.
    """

    number: int
    message_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a queue.

    Attributes:
        ids: the broker's numbers of the first messages, in their order, and the senders' ids; without those that are
            delivered or scheduled.
        rivals: it has consumers.
        delivering: how many messages are delivered.
    """

    ids: dict[int, str]
    rivals: bool
    delivering: int


def aside_queue(queue: Queue) -> Queue:
    """Where messages of a queue go that can't be handed over."""
    name = queue.name + _SUFFIX
    return Queue(name=name, address=name, anycast=True, durable=True)


def list_queue(session: ArtemisSession, queue: Queue, then: Callable[[Listing | str], None]) -> None:
    """See what is in a queue; ``then`` gets why that can't be seen instead."""
    call = session.management.call

    def counted(reply: Reply) -> None:
        rows = cast("list[dict[str, Any]]", reply.object().get("data") or [])
        row = next((row for row in rows if row.get("name") == queue.name), None)
        if reply.kind != "done" or row is None:
            then(reply.why() or "the broker's management lists no such queue")
            return
        consumers, delivering = int(row.get("consumerCount") or 0), int(row.get("deliveringCount") or 0)

        def listed(reply: Reply) -> None:
            messages = _rows(reply.value)
            if reply.kind != "done" or messages is None:
                then(reply.why() or "the broker's management gave no list of messages")
                return
            ids = {int(each["messageID"]): str(each.get("userID") or "").removeprefix(_ID) for each in messages}
            then(Listing(ids, consumers > 0, delivering))

        # It sees the first ones, by default 200 (``management-browse-page-size``), and cuts what is long.
        call(f"queue.{queue.name}", "listMessages", ("",), listed)

    query = json.dumps({"field": "name", "operation": "EQUALS", "value": queue.name})
    call("broker", "listQueues", (query, 1, 10), counted)


def set_aside(session: ArtemisSession, queue: Queue, offender: Offender, then: Callable[[Aside | str], None]) -> None:
    """Move a message, unchanged; ``then`` gets why that can't be done instead, or an empty text: it is gone."""
    target = aside_queue(queue)

    def moved(reply: Reply) -> None:
        if reply.kind != "done":
            then(f"the broker didn't move it: {reply.why()}")
        else:
            then(_aside(queue, target, offender) if reply.value is True else "")

    def ready(error: SubscriptionError | None) -> None:
        if error is not None:
            then(str(error))
        else:
            session.management.call(f"queue.{queue.name}", "moveMessage", (offender.number, target.name), moved)

    session.ensure(target, ready)


def _aside(queue: Queue, target: Queue, offender: Offender) -> Aside:
    number = offender.number
    text = (
        f"{offender.why}. The broker's message {number} of the queue {queue.name!r} was moved, unchanged, to the queue "
        f"{target.name!r}, where the annotation x-opt-ORIG-MESSAGE-ID is {number}: inspect it over AMQP, and move it "
        "back once a listener on AMQP consumes from its queue"
    )
    message = Message(
        b"",
        {QUEUE: target.name, NUMBER: str(number)},
        message_id=offender.message_id or f"{queue.name}/{number}",
        # The same one where it is told twice.
        dedup_id=f"{queue.name}/undeliverable/{number}",
        content_type="",
        durable=True,
    )
    return Aside(number, message, UndeliverableError(text))


def _rows(value: Any) -> list[dict[str, Any]] | None:
    """Messages as management tells them: a list of objects, or one as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if not isinstance(value, Sequence):
        return None
    return [cast("dict[str, Any]", row) for row in value if isinstance(row, dict) and "messageID" in row]
