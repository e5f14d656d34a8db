"""What has to be on the broker: queues, made before they are used; and whether an address has any."""

from __future__ import annotations

import contextlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

from eventing_core.errors import SubscriptionError
from eventing_core.provider._interface import CRASH_LIMIT, Destination, Subscription
from eventing_core.provider.artemis import _errors
from eventing_core.provider.artemis._address import Artemis, Node, Queue
from eventing_core.provider.artemis._management import Management, Reply

_log = logging.getLogger("eventing.sockets")

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
            with contextlib.suppress(Exception):  # a logging handler that raises must not keep a queue from being had
                _log.warning("%s", message)


class ArtemisSession(ABC):
    """The broker's queues and addresses, in one generation. Runs on the I/O thread.

    Attributes:
        management: the broker's.
    """

    def __init__(self, management: Management, model: Artemis, warned: Warned) -> None:
        self.management = management
        self._model = model
        self._warned = warned
        #: As their subscriptions want them, which know more than producers do.
        self._wanted: dict[str, Queue] = {}
        #: Who waits for a queue, and whether it attaches to it by itself; None: the queue was made.
        self._queues: dict[Queue, list[tuple[Ready, bool]] | None] = {}
        self._attached: set[str] = set()
        self._routed: set[str] = set()
        self._asking: dict[str, list[Callable[[bool], None]]] = {}

    @abstractmethod
    def make_by_attaching(self, queue: Queue, ready: Ready) -> None:
        """Make an anycast queue without management, and keep it from being removed."""

    def attached(self, queue: Queue) -> None:
        """A consumer of this connection has the queue: it is there, and belongs to its address."""
        self._attached.add(queue.name)

    def lost(self) -> None:
        """The connection is gone: nobody is called any more."""
        self.management.lost()
        self._queues.clear()
        self._asking.clear()

    # -- where things are ---------------------------------------------------------------------------------------------

    def node(self, destination: Destination) -> Node:
        """Where a destination is."""
        return self._model.node(destination)

    def source(self, subscription: Subscription) -> tuple[Node, Queue]:
        """Where a subscription attaches, and the queue there."""
        node = self._model.source(subscription)
        if node.queue is None:  # pragma: no cover (`Artemis.source` refuses it)
            raise AssertionError
        return node, node.queue

    # -- queues -------------------------------------------------------------------------------------------------------

    def prepare(self, subscription: Subscription, ready: Ready) -> None:
        """Make the queues of a subscription, the dead letters' first."""
        _, queue = self.source(subscription)
        self._wanted[queue.name] = queue
        self._look_at_attempts(queue.address)
        dead = self.node(subscription.dead_letter).queue if subscription.dead_letter else None
        if dead is None:
            self._ensure(queue, ready, attaching=True)
        else:
            self.ensure(dead, lambda error: ready(error) if error else self._ensure(queue, ready, attaching=True))

    def _look_at_attempts(self, address: str) -> None:
        """Warn where the broker would take events away before the core does something about them."""

        def told(reply: Reply) -> None:
            limit = _object(reply.value).get("maxDeliveryAttempts") if reply.kind == "done" else None
            if isinstance(limit, int) and 0 < limit <= CRASH_LIMIT:
                self._warned.once(
                    "the broker takes messages of %r away after %d deliveries (max-delivery-attempts), also those "
                    "of broken connections: set it to more than %d, or to -1",
                    *(address, limit, CRASH_LIMIT),
                )

        self.management.call("broker", "getAddressSettingsAsJSON", (address,), told)

    def ask_policy(self, address: str, told: Callable[[str], None]) -> None:
        """Ask what becomes of sends to a full address: ``BLOCK``, ``FAIL``, ``PAGE``, ``DROP``; empty: unknown."""

        def answered(reply: Reply) -> None:
            settings = _object(reply.value) if reply.kind == "done" else {}
            told(_text(settings, "addressFullMessagePolicy"))

        self.management.call("broker", "getAddressSettingsAsJSON", (address,), answered)

    def forget(self, subscription: Subscription) -> None:
        """Make them again when they are needed next: one may have been deleted."""
        for destination in (subscription.destination, subscription.dead_letter):
            queue = self.node(destination).queue if destination else None
            if queue is not None:
                self.forget_queue(queue)
                self._attached.discard(queue.name)

    def ensure(self, queue: Queue, ready: Ready) -> None:
        """Make a queue, unless it was made in this generation."""
        self._ensure(queue, ready, attaching=False)

    def _ensure(self, queue: Queue, ready: Ready, *, attaching: bool) -> None:
        wanted = self._wanted.get(queue.name)
        if wanted is not None and wanted.address == queue.address:
            queue = wanted
        known = self._queues.get(queue, [])
        if known is None:
            ready(None)
            return
        known.append((ready, attaching))
        if len(known) == 1:
            self._queues[queue] = known
            self._create(queue)

    def _create(self, queue: Queue, *, again: bool = False) -> None:
        arguments = (queue.configuration(), True)
        self.management.call("broker", "createQueue", arguments, lambda reply: self._made(queue, reply, again=again))

    def forget_queue(self, queue: Queue) -> None:
        """Make a queue again when it is needed next."""
        for known in [known for known in self._queues if known.name == queue.name]:
            if self._queues[known] is None:
                del self._queues[known]
        self._routed.discard(queue.address)

    def _made(self, queue: Queue, reply: Reply, *, again: bool) -> None:
        if reply.kind == "denied":
            self._attach_instead(queue)
        elif reply.kind != "done":
            self._settle(queue, SubscriptionError(f"queue {queue.name!r} could not be made: {_why(reply)}"))
        elif "id" in _object(reply.value):
            self._settle(queue, None)
        else:
            # Where the name is taken, the broker says so by leaving the id out, and by nothing else.
            self._look(queue, lambda row, why: self._there(queue, row, why, again=again))

    def consumers(self, queue: Queue, answer: Callable[[int], None]) -> None:
        """How many consumers a queue has; 0 where that can't be told."""
        self._look(queue, lambda row, _: answer(int(_text(row, "consumerCount") or 0)))

    def _look(self, queue: Queue, found: Callable[[dict[str, Any], str], None]) -> None:
        """What the broker tells of a queue: nothing, where there is none; or why it tells nothing."""
        query = json.dumps({"field": "name", "operation": "EQUALS", "value": queue.name})

        def listed(reply: Reply) -> None:
            if reply.kind != "done":
                found({}, _why(reply))
                return
            data = _object(reply.value).get("data")
            rows = [cast("dict[str, Any]", row) for row in cast("list[Any]", data or ()) if isinstance(row, dict)]
            found(next((row for row in rows if row.get("name") == queue.name), {}), "")

        self.management.call("broker", "listQueues", (query, 1, 10), listed)

    def _there(self, queue: Queue, row: dict[str, Any], why: str, *, again: bool) -> None:
        if why:
            self._settle(queue, _errors.of_unseen(queue, why))
        elif row:
            self._compare(queue, row)
        elif again:
            self._settle(queue, _errors.of_unseen(queue, "the broker lists no queue of that name"))
        else:
            # It went in between.
            self._create(queue, again=True)

    def _compare(self, queue: Queue, row: dict[str, Any]) -> None:
        """The queue was there. Refuse what would lose events; make it stricter; say what can't be had."""
        error = _flaw(queue, row)
        if error is not None:
            self._settle(queue, error)
            return
        if _flag(row, "durable") != queue.durable:
            self._differs(queue, "durable", wanted=queue.durable)
        if _flag(row, "autoDelete") and queue.expiry is None:
            self._differs(queue, "auto-delete", wanted=False)
        changes: dict[str, object] = {}
        if _flag(row, "exclusive") != queue.exclusive:
            if queue.exclusive:
                changes["exclusive"] = True
            else:
                self._differs(queue, "exclusive", wanted=False)
        if queue.single and _text(row, "maxConsumers") != "1":
            changes["max-consumers"] = 1
        if _flag(row, "purgeOnNoConsumers"):
            changes["purge-on-no-consumers"] = False
        if changes:
            self._change(queue, changes)
        else:
            self._settle(queue, None)

    def _change(self, queue: Queue, changes: dict[str, object]) -> None:
        def changed(reply: Reply) -> None:
            if reply.kind == "done":
                self._settle(queue, None)
                return
            if "purge-on-no-consumers" in changes:
                self._settle(queue, _errors.of_lossy(queue, "is emptied whenever it has no consumer"))
                return
            for setting in changes:
                self._differs(queue, setting, wanted=True)
            self._settle(queue, None)

        self.management.call("broker", "updateQueue", (json.dumps({"name": queue.name, **changes}),), changed)

    def _differs(self, queue: Queue, setting: str, *, wanted: bool) -> None:
        self._warned.once(
            "the queue %r is there, with another %s than %s: the weaker holds, until the queue is deleted",
            queue.name,
            setting,
            str(wanted).lower(),
        )

    def _attach_instead(self, queue: Queue) -> None:
        if queue.exclusive:
            self._settle(queue, _errors.of_unmanaged_order(queue))
            return
        if queue.anycast:
            self.make_by_attaching(queue, lambda error: self._settle(queue, error))
            return
        self._warned.once(
            "the broker's management is closed to this user (it needs the permissions 'manage' and 'send' on "
            "activemq.management): queues are made by attaching to them, %r among them. Whether the broker removes "
            "them while nobody consumes is up to its setting auto-delete-queues: with it, events of that time are "
            "lost. Two processes of one server name share events unnoticed, and names that belong to another event "
            "are noticed late",
            queue.name,
        )
        # Who consumes from it makes it, and learns by that whether it is the address's own. Who sends would not learn.
        for ready, attaching in self._queues.pop(queue, None) or ():
            known = attaching or queue.name in self._attached
            ready(None if known else _errors.of_unmanaged_sending(queue))

    def _settle(self, queue: Queue, error: SubscriptionError | None) -> None:
        # After a failure it is tried again by whoever needs it next.
        waiting = self._queues.pop(queue, None)
        if error is None:
            self._queues[queue] = None
            if not queue.anycast:
                self._routed.add(queue.address)
        for ready, _ in waiting or ():
            ready(error)

    # -- addresses ----------------------------------------------------------------------------------------------------

    def is_routed(self, address: str) -> bool:
        """Whether an address is known to have queues."""
        return address in self._routed

    def ask_routed(self, address: str, answer: Callable[[bool], None]) -> None:
        """Ask whether an address has queues; ``answer`` is called once, unless the connection is lost."""
        waiting = self._asking.setdefault(address, [])
        waiting.append(answer)
        if len(waiting) == 1:
            self.management.attribute(f"address.{address}", "QueueNames", lambda reply: self._answered(address, reply))

    def _answered(self, address: str, reply: Reply) -> None:
        # Who gets no answer can't be told: taken for routed. An unknown address has no queues.
        if bool(reply.value) if reply.kind == "done" else not _is_unknown(reply):
            self._routed.add(address)
        for answer in self._asking.pop(address, ()):
            answer(address in self._routed)


def _why(reply: Reply) -> str:
    return str(reply.value) if reply.kind == "failed" else "no answer" if reply.kind == "silent" else "no right to ask"


def _is_unknown(reply: Reply) -> bool:
    """Whether management fails because what was asked about isn't there, and not for want of a right (AMQ229032)."""
    return reply.kind == "failed" and "permission" not in str(reply.value)


def _flaw(queue: Queue, row: dict[str, Any]) -> SubscriptionError | None:
    """Why an existing queue can't be used."""
    if row.get("address") != queue.address:
        return _errors.of_conflict(queue, repr(row.get("address")))
    if _text(row, "routingType") != queue.routing:
        return _errors.of_lossy(queue, f"routes {_text(row, 'routingType')} where it has to be {queue.routing}")
    if _text(row, "filter"):
        return _errors.of_lossy(queue, f"has the filter {_text(row, 'filter')!r}")
    if _flag(row, "lastValue"):
        return _errors.of_lossy(queue, "keeps only the last message of a key")
    limited, consumers = _text(row, "maxConsumers") == "1", _text(row, "consumerCount")
    if (limited and not queue.single) or (queue.single and not limited and consumers not in {"", "0"}):
        return _errors.of_sharing(queue)
    return None


def _text(row: dict[str, Any], setting: str) -> str:
    value = row.get(setting)
    return "" if value is None else str(value)


def _flag(row: dict[str, Any], setting: str) -> bool:
    return _text(row, setting).lower() == "true"


def _object(value: Any) -> dict[str, Any]:
    """JSON text of an object, as management's operations return it."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
