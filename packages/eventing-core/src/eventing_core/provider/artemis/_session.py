"""What has to be on the broker: queues, made before they are used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from eventing_core.errors import SubscriptionError
from eventing_core.provider._interface import Destination, Subscription
from eventing_core.provider.artemis import _errors
from eventing_core.provider.artemis._address import Artemis, Node, Queue
from eventing_core.provider.artemis._address_settings import Use, asks_for_origin, drops_when_full, warnings_of
from eventing_core.provider.artemis._attributes import configuration
from eventing_core.provider.artemis._inspection import Inspector, Ready, Warned
from eventing_core.provider.artemis._management import Management, Reply
from eventing_core.provider.artemis._routes import Routes
from eventing_core.provider.artemis._stalls import StallWatch


class ArtemisSession(ABC):
    """The broker's queues and addresses, in one generation. Runs on the I/O thread.

    Attributes:
        management: the broker's.
        routes: which addresses have queues.
        stalls: watches consumers that wait.
        delays_redelivery: the address setting ``redelivery-delay`` holds for what a broken connection had.
    """

    delays_redelivery = False

    def __init__(self, management: Management, model: Artemis, warned: Warned) -> None:
        self.management = management
        self._model = model
        self._warned = warned
        #: As their subscriptions want them, which know more than producers do.
        self._wanted: dict[str, Queue] = {}
        #: Who waits for a queue, and whether it attaches to it by itself; None: the queue was made.
        self._queues: dict[Queue, list[tuple[Ready, bool]] | None] = {}
        self._attached: set[str] = set()
        self.routes = Routes(management, warned)
        self._looked_at: set[tuple[str, Use]] = set()
        self._inspector = Inspector(management, warned)
        self.stalls = StallWatch(management)

    @abstractmethod
    def make_by_attaching(self, queue: Queue, ready: Ready) -> None:
        """Create an anycast queue without management, and prevent its removal."""

    def attached(self, queue: Queue) -> None:
        """A consumer of this connection is attached, so the queue exists and belongs to its address."""
        self._attached.add(queue.name)
        self._warned.accept(queue, None)

    def lost(self) -> None:
        """The connection is lost: no callbacks from now on."""
        self.management.lost()
        self.routes.lost()
        self.stalls.lost()
        self._queues.clear()

    # -- where things are ---------------------------------------------------------------------------------------------

    def node(self, destination: Destination) -> Node:
        """The address of a destination."""
        return self._model.node(destination)

    def source(self, subscription: Subscription) -> tuple[Node, Queue]:
        """Where a subscription attaches, and the queue there."""
        node = self._model.source(subscription)
        if node.queue is None:  # pragma: no cover (`Artemis.source` refuses it)
            raise AssertionError
        return node, node.queue

    # -- queues -------------------------------------------------------------------------------------------------------

    def prepare(self, subscription: Subscription, ready: Ready) -> None:
        """Create the queues of a subscription, first the one for dead letters."""
        _, queue = self.source(subscription)
        self._wanted[queue.name] = queue
        if not queue.anycast:
            self.routes.listen(queue.address)
        dead = self.node(subscription.dead_letter).queue if subscription.dead_letter else None
        if dead is None:
            self._ensure(queue, ready, attaching=True)
        else:
            self.ensure(dead, lambda error: ready(error) if error else self._ensure(queue, ready, attaching=True))

    def warn_of_settings(self, address: str, use: Use) -> None:
        """Warn about the broker's settings for an address that break a guarantee, once for each of its uses."""
        if (address, use) in self._looked_at:
            return
        self._looked_at.add((address, use))

        def warn(settings: Mapping[str, Any]) -> None:
            for warning in warnings_of(address, settings, use):
                self._warned.once("%s", warning)

        def told(reply: Reply) -> None:
            settings = reply.object() if reply.kind == "done" else {}
            if asks_for_origin(settings):
                # No answer where there is no such address: then it is made by us.
                self.management.attribute(
                    f"address.{address}", "AutoCreated", lambda origin: warn({**settings, "autoCreated": origin.value})
                )
            elif settings:
                warn(settings)

        self.management.call("broker", "getAddressSettingsAsJSON", (address,), told)

    def ask_whether_it_drops(self, address: str, told: Callable[[bool], None]) -> None:
        """Ask whether the broker drops what it confirms, once the address is full; False where that is unknown."""

        def answered(reply: Reply) -> None:
            told(reply.kind == "done" and drops_when_full(reply.object()))

        self.management.call("broker", "getAddressSettingsAsJSON", (address,), answered)

    def forget(self, subscription: Subscription) -> None:
        """Create the queues again when they are needed next: one may have been deleted."""
        for destination in (subscription.destination, subscription.dead_letter):
            queue = self.node(destination).queue if destination else None
            if queue is not None:
                self.forget_queue(queue)
                self._attached.discard(queue.name)

    def ensure(self, queue: Queue, ready: Ready) -> None:
        """Create a queue, unless it was created in this generation."""
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
        self.warn_of_settings(queue.address, Use.of(queue, delayed=self.delays_redelivery))
        arguments = (configuration(queue), True)
        self.management.call("broker", "createQueue", arguments, lambda reply: self._made(queue, reply, again=again))

    def forget_queue(self, queue: Queue) -> None:
        """Create a queue again when it is needed next."""
        self.look_again(queue)
        self.routes.removed(queue.address)

    def look_again(self, queue: Queue) -> None:
        """Look at a queue again when it is needed next: it may have been changed."""
        for known in [known for known in self._queues if known.name == queue.name]:
            if self._queues[known] is None:
                del self._queues[known]

    def _made(self, queue: Queue, reply: Reply, *, again: bool) -> None:
        if reply.kind == "denied":
            self._attach_instead(queue)
            return
        if reply.kind != "done":
            self._settle(queue, SubscriptionError(f"queue {queue.name!r} could not be created: {reply.why()}"))
            return
        # Where the name is taken, the broker says so by leaving the id out, and by nothing else.
        answer = reply.object()
        self._inspector.inspect(
            queue,
            answer if "id" in answer else {},
            lambda error: self._settle(queue, error),
            # It went in between.
            None if again else lambda: self._create(queue, again=True),
        )

    def consumers(self, queue: Queue, answer: Callable[[int], None]) -> None:
        """The number of consumers of a queue; 0 if it is not known."""
        self._inspector.consumers(queue, answer)

    def _attach_instead(self, queue: Queue) -> None:
        if queue.exclusive:
            self._settle(queue, _errors.of_unmanaged_order(queue))
            return
        names = {queue.name, *(each.name for each in self._queues), *self._wanted}
        self._warned.once("%s", _errors.of_unmanaged(names), about="management")
        if queue.anycast:
            self.make_by_attaching(queue, lambda error: self._attached_instead(queue, error))
            return
        # Who consumes from it makes it, and learns by that whether it is the address's own. Who sends would not learn.
        for ready, attaching in self._queues.pop(queue, None) or ():
            known = attaching or queue.name in self._attached
            ready(None if known else _errors.of_unmanaged_sending(queue))

    def _attached_instead(self, queue: Queue, error: SubscriptionError | None) -> None:
        if error is None:
            self._warned.accept(queue, None)
        self._settle(queue, error)

    def _settle(self, queue: Queue, error: SubscriptionError | None) -> None:
        # After a failure it is tried again by whoever needs it next.
        waiting = self._queues.pop(queue, None)
        if error is None:
            self._queues[queue] = None
        for ready, _ in waiting or ():
            ready(error)
