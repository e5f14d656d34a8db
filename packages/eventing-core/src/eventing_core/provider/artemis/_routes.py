"""Whether an address has queues that get what is sent to it: asked of management, and kept true by notifications.

Artemis confirms what it routes to no queue. So it is asked before the first send to an address, and what it said holds
until the broker notifies that a queue has gone. Who may not subscribe to notifications asks again after a while.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from eventing_core.provider.artemis._management import NOTIFICATIONS, Management, Reply
from eventing_core.provider.sockets import Alarm

_log = logging.getLogger("eventing.sockets")

#: How long an answer holds where no notification tells that it has changed, in seconds. With the time that it took to
#: come, and what a busy machine takes to notice, that is less than the five seconds that are promised.
_HOLDS = 4.0

#: When an address is asked about again whose question was not answered, in seconds; nobody waits for that.
_AGAIN = 60.0

#: How long a new anycast queue may be without a consumer before it is warned of, in seconds.
_SETTLES = 1.0

#: Queues of one address that are looked at; more of them are hardly all anycast.
_PAGE = 200

#: How often the queues are listed where the broker fails to.
_TRIES = 3

_ADDED, _REMOVED = "BINDING_ADDED", "BINDING_REMOVED"
_TYPE, _ADDRESS = "_AMQ_NotifType", "_AMQ_Address"

#: ``answer(routed)``
Answer = Callable[[bool], None]


class Warns(Protocol):
    """What gives a warning once."""

    def once(self, text: str, *arguments: object) -> None:
        """Log it, unless it was."""


class Knowledge:
    """What is known of the addresses that are sent to. Pure.

    Attributes:
        routed: those that have queues, or of which that can't be told.
    """

    def __init__(self) -> None:
        self.routed: set[str] = set()
        #: Those of which it can't be told, until an answer tells it.
        self._assumed: set[str] = set()
        self._asking: dict[str, list[Answer]] = {}
        #: Those whose answer, on its way, may be from before a change.
        self._outdated: set[str] = set()

    def ask(self, address: str, answer: Answer) -> bool:
        """Note who wants to know. True: nobody has asked the broker yet."""
        waiting = self._asking.setdefault(address, [])
        waiting.append(answer)
        return len(waiting) == 1

    def answered(self, address: str, *, routed: bool | None) -> bool:
        """Take in what the broker said, None: nothing; tell who wanted to know. False: it has to be asked again."""
        if routed and address in self._outdated:
            self._outdated.discard(address)
            return False
        self._outdated.discard(address)
        if routed is None:
            self._assumed.add(address)
        else:
            self._assumed.discard(address)
        if routed is False:
            self.routed.discard(address)
        else:
            self.routed.add(address)
        for answer in self._asking.pop(address, ()):
            answer(routed is not False)
        return True

    def removed(self, address: str) -> None:
        """The address has lost a queue."""
        if address not in self._assumed:
            self.routed.discard(address)
        if address in self._asking:
            self._outdated.add(address)

    def forget(self) -> None:
        """Whatever was said may have changed."""
        self.routed &= self._assumed
        self._outdated.update(self._asking)

    def lost(self) -> None:
        """The connection is gone: nobody is told any more."""
        self._asking.clear()


class Routes:
    """The routes of the broker's addresses, in one generation. Runs on the I/O thread.

    Notifications are relied on once one has come: the subscription to them is written so that its own beginning is the
    first. A broker that is configured to send them elsewhere, or nowhere, is asked again and again.
    """

    def __init__(self, management: Management, warned: Warns) -> None:
        self._management = management
        self._warned = warned
        self._known = Knowledge()
        self._listened: set[str] = set()
        self._looks: dict[str, Alarm] = {}
        self._unanswered: dict[str, Alarm] = {}
        self._expiry: Alarm | None = None
        self._begun = False
        self._following = False

    def has(self, address: str) -> bool:
        """Whether an address is known to have queues."""
        return address in self._known.routed

    def ask(self, address: str, answer: Answer) -> None:
        """Ask whether an address has queues; ``answer`` is called once, unless the connection is lost."""
        self._follow()
        if self._known.ask(address, answer):
            self._ask(address)

    def removed(self, address: str) -> None:
        """The address may have lost a queue."""
        self._known.removed(address)

    def listen(self, address: str) -> None:
        """Warn where senders to the address miss its listeners' queues: now, and when a queue is made for them."""
        self._follow()
        self._listened.add(address)
        self._look(address)

    def lost(self) -> None:
        """The connection is gone: nobody is told any more."""
        self._known.lost()
        for timer in (self._expiry, *self._looks.values(), *self._unanswered.values()):
            if timer is not None:
                timer.cancel()
        self._looks.clear()
        self._unanswered.clear()

    # -- what the broker is asked --------------------------------------------------------------------------------------

    def _ask(self, address: str) -> None:
        def named(reply: Reply) -> None:
            if reply.kind == "silent":
                self._unanswered[address] = self._management.loop.call_in(_AGAIN, lambda: self._ask(address))
            if reply.kind != "done":
                # An unknown address has no queues. Of what the user has no right to nothing can be told.
                self._answered(address, routed=False if _is_unknown(reply) else None)
            elif not reply.value:
                self._answered(address, routed=False)
            else:
                self._anycast(
                    address, lambda rows: self._answered(address, routed=rows is None or _has_multicast(rows))
                )

        self._management.attribute(f"address.{address}", "QueueNames", named)

    def _anycast(self, address: str, found: Callable[[list[dict[str, Any]] | None], None]) -> None:
        """The queues of an address that routes to a single one, too; None: it doesn't, or they can't be seen."""

        def routing(reply: Reply) -> None:
            if reply.kind == "done" and "ANYCAST" in (reply.value or ()):
                self._list(address, found, _TRIES)
            else:
                found(None)

        self._management.attribute(f"address.{address}", "RoutingTypes", routing)

    def _list(self, address: str, found: Callable[[list[dict[str, Any]] | None], None], tries: int) -> None:
        def listed(reply: Reply) -> None:
            if reply.kind == "failed" and tries > 1:
                # Artemis 2.44 fails where a queue goes while it lists them.
                self._list(address, found, tries - 1)
                return
            rows = _rows(reply.value) if reply.kind == "done" else None
            found(None if rows is None else [row for row in rows if row.get("address") == address])

        query = json.dumps({"field": "address", "operation": "EQUALS", "value": address})
        self._management.call("broker", "listQueues", (query, 1, _PAGE), listed)

    def _answered(self, address: str, *, routed: bool | None) -> None:
        if not self._known.answered(address, routed=routed):
            self._ask(address)
        elif not self._following and (self._expiry is None or self._expiry.is_cancelled):
            self._expiry = self._management.loop.call_in(_HOLDS, self._known.forget)

    def _look(self, address: str) -> None:
        def found(rows: list[dict[str, Any]] | None) -> None:
            text = None if rows is None else flaw_of(address, rows)
            if text is not None:
                self._warned.once("%s", text)

        self._looks.pop(address, None)
        self._anycast(address, found)

    # -- what it notifies of -------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        if not self._begun and not self._management.denied:
            self._begun = True
            self._management.follow(selector_of(self._management.name), self)

    def notified(self, properties: Mapping[str, Any]) -> None:
        """A notification has arrived."""
        if not self._following:
            self._following = True
            # What was asked before may have changed before this subscription was there.
            self._known.forget()
            if self._expiry is not None:
                self._expiry.cancel()
        kind, address = str(properties.get(_TYPE)), str(properties.get(_ADDRESS))
        if kind == _REMOVED:
            self._known.removed(address)
        elif kind == _ADDED and address in self._listened and address not in self._looks:
            self._looks[address] = self._management.loop.call_in(_SETTLES, lambda: self._look(address))

    def unfollowed(self, reason: object) -> None:
        """There are no notifications, or no more."""
        self._following = False
        self._known.forget()
        with contextlib.suppress(Exception):
            _log.debug("the broker's notifications are not available, so it is polled: %s", reason)


def selector_of(name: str) -> str:
    """The notifications that matter to the connection of that name.

    They are of queues that go, and of queues named like their address, as Artemis makes them for senders that name
    anycast. Queues for answers come and go all the time: those of connections like ours, and those of other clients,
    which the broker names by UUIDs. The last line has the subscription to notifications tell of itself.
    """
    return (
        f"((_AMQ_NotifType = '{_REMOVED}' OR (_AMQ_NotifType = '{_ADDED}' AND _AMQ_RoutingName = _AMQ_Address)) "
        "AND _AMQ_Address NOT LIKE 'activemq.%' AND _AMQ_Address NOT LIKE '________-____-____-____-____________') "
        f"OR (_AMQ_NotifType = '{_ADDED}' AND _AMQ_Address = '{NOTIFICATIONS}' AND _AMQ_FilterString LIKE '%{name}%')"
    )


def flaw_of(address: str, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Why what some senders send to an address doesn't reach its listeners; None: nothing is known of such senders.

    The address routes to single queues (anycast), too, and ``rows`` is what management lists of its queues. Where
    somebody consumes from an anycast queue, its senders may well mean that.
    """
    anycast = [row for row in rows if row.get("routingType") == "ANYCAST"]
    unread = [str(row.get("name")) for row in anycast if str(row.get("consumerCount")) in {"0", "None"}]
    change = (
        "Such a sender must use multicast instead: the capability 'topic' over AMQP, a Topic in JMS, "
        "'destination-type:MULTICAST' over STOMP"
    )
    if unread:
        names = ", ".join(repr(name) for name in sorted(unread))
        return (
            f"listeners of {address!r} don't get what is sent to the anycast queue {names}, which nobody reads: it was "
            f"created for a sender that uses anycast (the capability 'queue' over AMQP). {change}. Then move what is "
            "in the queue, and delete it"
        )
    if not anycast and len(rows) < _PAGE:
        return (
            f"the address {address!r} also takes what is sent as anycast, and has no anycast queue: the broker drops "
            "that, and listeners don't get it. A sender that uses anycast (the capability 'queue' over AMQP) creates "
            f"such an address. {change}. Then update the address to multicast alone"
        )
    return None


def _has_multicast(rows: list[dict[str, Any]] | None) -> bool:
    return rows is None or len(rows) >= _PAGE or any(row.get("routingType") == "MULTICAST" for row in rows)


def _rows(value: Any) -> list[dict[str, Any]] | None:
    """What `listQueues` returned; None: something else."""
    try:
        answer = json.loads(value) if isinstance(value, str) else None
    except ValueError:
        return None
    data = cast("dict[str, Any]", answer).get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        return None
    return [cast("dict[str, Any]", row) for row in data if isinstance(row, dict)]


def _is_unknown(reply: Reply) -> bool:
    """Whether management fails because what was asked about isn't there, and not for want of a right (AMQ229032)."""
    return reply.kind == "failed" and "permission" not in str(reply.value)
