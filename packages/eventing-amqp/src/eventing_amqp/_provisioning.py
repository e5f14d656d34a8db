"""What has to be on the broker: queues, made before they are used; and whether an address has any."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from eventing_amqp import _errors
from eventing_amqp._address import Queue
from eventing_amqp._codec import as_dict, as_list
from eventing_amqp._generation import Generation
from eventing_amqp._loop import Loop
from eventing_amqp._management import Management, Reply
from eventing_core.errors import SubscriptionError

_log = logging.getLogger("eventing.amqp")

#: How often an address without queues is asked about again, in seconds.
_ASK_AGAIN = 1.0

#: ``ready(error)``: the queue is there, or why it is not.
Ready = Callable[[SubscriptionError | None], None]


class Warned:
    """Warnings that were given, over all generations: each is given once."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def once(self, text: str, *arguments: object) -> None:
        """Log a warning, unless it was."""
        message = text % arguments
        if message not in self._known:
            self._known.add(message)
            _log.warning("%s", message)


class Broker:
    """The broker's queues and addresses, in one generation.

    Attributes:
        management: the broker's.
    """

    def __init__(self, generation: Generation, loop: Loop, warned: Warned) -> None:
        self.management = Management(generation, loop)
        self._generation = generation
        self._warned = warned
        self._queues: dict[Queue, list[Ready] | None] = {}
        self._routed: dict[str, bool] = {}
        self._asked: dict[str, float] = {}
        self._waiting: dict[str, list[Callable[[bool], None]]] = {}

    # -- queues -------------------------------------------------------------------------------------------------------

    def ensure(self, queue: Queue, ready: Ready) -> None:
        """Make a queue, unless it was made in this generation."""
        known = self._queues.get(queue, [])
        if known is None:
            ready(None)
            return
        known.append(ready)
        if len(known) == 1:
            self._queues[queue] = known
            self.management.call(
                "broker", "createQueue", (queue.configuration(), True), lambda reply: self._made(queue, reply)
            )

    def forget(self, queue: Queue) -> None:
        """Make the queue again when it is needed next: it was deleted."""
        if self._queues.get(queue) is None:
            self._queues.pop(queue, None)

    def _made(self, queue: Queue, reply: Reply) -> None:
        if reply.kind == "denied":
            self._attach_instead(queue)
        elif reply.kind != "done":
            why = reply.value if reply.kind == "failed" else "no answer"
            self._settle(queue, SubscriptionError(f"queue {queue.name!r} could not be made: {why}"))
        elif "id" in _object(reply.value):
            self._settle(queue, None)
        else:
            # Where the name is taken, the broker says so by leaving the id out, and by nothing else.
            asked = json.dumps({"field": "name", "operation": "EQUALS", "value": queue.name})
            self.management.call("broker", "listQueues", (asked, 1, 10), lambda reply: self._compare(queue, reply))

    def _compare(self, queue: Queue, reply: Reply) -> None:
        rows = as_list(_object(reply.value).get("data")) if reply.kind == "done" else []
        row = next((row for row in map(as_dict, rows) if row.get("name") == queue.name), None)
        if row is None:
            self._settle(queue, None)
        elif row.get("address") != queue.address:
            self._settle(queue, _errors.of_conflict(queue.name, queue.address, str(row.get("address"))))
        else:
            self._mend(queue, row)

    def _mend(self, queue: Queue, row: dict[str, Any]) -> None:
        """The queue was there. Make it stricter where that is asked for; say what can't be had."""
        if _flag(row, "durable") != queue.durable:
            self._differs(queue, "durable", queue.durable)
        changes: dict[str, object] = {}
        if _flag(row, "exclusive") != queue.exclusive:
            if queue.exclusive:
                changes["exclusive"] = True
            else:
                self._differs(queue, "exclusive", wanted=False)
        if queue.single and str(row.get("maxConsumers")) != "1":
            changes["max-consumers"] = 1
        if not changes:
            self._settle(queue, None)
            return

        def updated(reply: Reply) -> None:
            if reply.kind != "done":
                for setting in changes:
                    self._differs(queue, setting, wanted=True)
            self._settle(queue, None)

        self.management.call("broker", "updateQueue", (json.dumps({"name": queue.name, **changes}),), updated)

    def _differs(self, queue: Queue, setting: str, wanted: bool) -> None:  # noqa: FBT001 (a setting's value)
        self._warned.once(
            "the queue %r is there, with another %s than %s: the weaker holds, until the queue is deleted",
            queue.name,
            setting,
            str(wanted).lower(),
        )

    def _attach_instead(self, queue: Queue) -> None:
        self._warned.once(
            "the broker's management is closed to this user (it needs the permissions 'manage' and 'send' on "
            "activemq.management): queues are made by attaching to them. They are durable, and not removed when their "
            "process stays away; two processes of one server name share events unnoticed, and names that belong to "
            "another event are noticed late"
        )
        if queue.anycast:
            _Attachment(self._generation, queue, lambda error: self._settle(queue, error))
        else:
            self._settle(queue, None)

    def _settle(self, queue: Queue, error: SubscriptionError | None) -> None:
        # After a failure it is tried again by whoever needs it next.
        waiting = self._queues.pop(queue, None)
        if error is None:
            self._queues[queue] = None
        for ready in waiting or ():
            ready(error)

    # -- addresses ----------------------------------------------------------------------------------------------------

    def ask_routed(self, address: str, answer: Callable[[bool], None]) -> bool | None:
        """Whether an address has queues. None: it is being asked, and ``answer`` is called; otherwise it is not."""
        routed = self._routed.get(address)
        if routed or (routed is False and time.monotonic() - self._asked[address] < _ASK_AGAIN):
            return routed
        waiting = self._waiting.setdefault(address, [])
        waiting.append(answer)
        if len(waiting) == 1:
            self._asked[address] = time.monotonic()
            self.management.attribute(f"address.{address}", "QueueNames", lambda reply: self._answered(address, reply))
        return self._routed.get(address) if address not in self._waiting else None

    def _answered(self, address: str, reply: Reply) -> None:
        # Who may not ask, or gets no answer, can't be told: taken for routed. An unknown address has no queues.
        routed = reply.kind in {"denied", "silent"} or (reply.kind == "done" and bool(reply.value))
        self._routed[address] = routed
        for answer in self._waiting.pop(address, ()):
            answer(routed)


class _Attachment:
    """Makes a queue by attaching a receiver to it, without credit."""

    def __init__(self, generation: Generation, queue: Queue, ready: Ready) -> None:
        self._generation = generation
        self._queue = queue
        self._ready: Ready | None = ready
        self._link = generation.receiver(queue.address, "queue", self)

    def opened(self) -> None:
        self._tell(None)
        self._generation.close_link(self._link)

    def flowed(self) -> None:
        pass

    def arrived(self) -> None:
        pass

    def closed(self, condition: tuple[str, str] | None) -> None:
        self._tell(_errors.of_attach(self._queue.name, self._queue.address, condition))

    def _tell(self, error: SubscriptionError | None) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready(error)


def _flag(row: dict[str, Any], setting: str) -> bool:
    return str(row.get(setting)).lower() == "true"


def _object(value: Any) -> dict[str, Any]:
    """JSON text of an object, as management's operations return it."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    return as_dict(value)
