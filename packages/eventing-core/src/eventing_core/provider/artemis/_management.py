"""Questions and orders to Artemis's management, over the connection itself (Artemis user manual, "Management")."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import secrets
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, cast

from eventing_core.provider.sockets import Alarm, Loop

_log = logging.getLogger("eventing.sockets")

#: Where questions are sent to.
ADDRESS = "activemq.management"

#: Where answers come: one address for all connections, each of which selects its own. It is below that of management,
#: so that rights on ``activemq.management.#`` are enough.
REPLIES = "activemq.management.eventing"

#: Where the broker notifies of changes.
NOTIFICATIONS = "activemq.notifications"

#: In an answer: whether the operation succeeded.
SUCCEEDED = "_AMQ_OperationSucceeded"

#: How long the broker may take for one answer, in seconds.
_PATIENCE = 10.0

_SILENT = (
    f"the broker's management did not answer within {_PATIENCE:g} s. Address settings "
    "default-consumers-before-dispatch and default-delay-before-dispatch of all addresses hold its answers back, too: "
    "give them to fewer addresses"
)


def equals(key: str, value: str) -> str:
    """A filter, in the broker's own syntax, for messages with that property."""
    quoted = value.replace("'", "''")
    return f"{key}='{quoted}'"


def found_any(browsed: Any) -> bool:
    """Whether what the operation ``browse`` returned holds a message: one list, under the name of its type."""
    return isinstance(browsed, dict) and any(cast("dict[str, Any]", browsed).values())


class Reply(NamedTuple):
    """An answer.

    Attributes:
        kind: ``done``; ``failed``: the broker says why in ``value``; ``denied``: the user has no permission, or there
            is no management; ``silent``: no answer in time.
        value: what the operation returned.
    """

    kind: Literal["done", "failed", "denied", "silent"]
    value: Any = None

    def why(self) -> str:
        """Why the operation failed; empty if it succeeded."""
        if self.kind == "failed":
            return str(self.value)
        return {"done": "", "denied": "no permission to ask", "silent": _SILENT}[self.kind]

    def object(self) -> dict[str, Any]:
        """The JSON text of an object, as operations return it; empty if it is something else."""
        value = self.value
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                value = None
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


class Call:
    """A request to the broker's management.

    Attributes:
        number: names it, and its answer.
        headers: what is asked.
        body: the operation's arguments, as JSON.
    """

    __slots__ = ("body", "headers", "number", "reply", "timer")

    def __init__(self, number: str, headers: dict[str, str], body: str, reply: Callable[[Reply], None]) -> None:
        self.number = number
        self.headers = headers
        self.body = body
        self.reply = reply
        self.timer: Alarm | None = None


class Follower(Protocol):
    """Receives the broker's notifications."""

    def notified(self, properties: Mapping[str, Any]) -> None:
        """A notification has arrived."""

    def unfollowed(self, reason: object) -> None:
        """Notifications are not available, or no longer. Called at most once, and not if the connection is lost."""


class Management(ABC):
    """The broker's management, in one generation. Runs on the I/O thread.

    Attributes:
        loop: of the connection.
        name: unique; the numbers of its questions begin so.
        waiting: questions that are to be sent.
    """

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.name = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._asked: dict[str, Call] = {}
        self._denied = False
        self.waiting: deque[Call] = deque()

    @property
    def denied(self) -> bool:
        """There is no management for us in this generation."""
        return self._denied

    @abstractmethod
    def flush(self) -> None:
        """Send what is `waiting`, as soon as the broker takes it."""

    @abstractmethod
    def follow(self, selector: str, follower: Follower) -> None:
        """Subscribe to those of the broker's notifications that the selector lets through."""

    @property
    def selector(self) -> str:
        """What lets through the answers to our own questions."""
        return f"JMSCorrelationID LIKE '{self.name}-%'"

    def call(self, resource: str, operation: str, arguments: Sequence[Any], reply: Callable[[Reply], None]) -> None:
        """Call an operation; ``reply`` is called once, unless the connection is lost."""
        self._ask({"_AMQ_ResourceName": resource, "_AMQ_OperationName": operation}, arguments, reply)

    def attribute(self, resource: str, name: str, reply: Callable[[Reply], None]) -> None:
        """Read an attribute."""
        self._ask({"_AMQ_ResourceName": resource, "_AMQ_Attribute": name}, (), reply)

    def _ask(self, headers: dict[str, str], arguments: Sequence[Any], reply: Callable[[Reply], None]) -> None:
        if self._denied:
            reply(Reply("denied"))
            return
        call = Call(f"{self.name}-{next(self._numbers)}", headers, json.dumps(arguments), reply)
        call.timer = self.loop.call_at(time.monotonic() + _PATIENCE, lambda: self.answer(call.number, Reply("silent")))
        self._asked[call.number] = call
        self.waiting.append(call)
        self.flush()

    def answered(self, number: str, body: str | bytes, *, succeeded: bool) -> None:
        """An answer has arrived. One that can't be read is ignored, and ends as ``silent``."""
        try:
            answer: Any = json.loads(body) if body else None
        except ValueError:
            return
        # Management wraps what it returns in a list.
        value = answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
        self.answer(number, Reply("done" if succeeded else "failed", value))

    def answer(self, number: str, reply: Reply) -> None:
        """Hand an answer over, once."""
        call = self._asked.pop(number, None)
        if call is None:
            return
        if call.timer is not None:
            call.timer.cancel()
        call.reply(reply)

    def deny(self, reason: object) -> None:
        """There is no management for us in this generation."""
        self._denied = True
        self.waiting.clear()
        for number in [*self._asked]:
            self.answer(number, Reply("denied"))
        with contextlib.suppress(Exception):
            _log.debug("no access to the broker's management: %s", reason)

    def lost(self) -> None:
        """The connection is lost: no callbacks from now on."""
        for call in self._asked.values():
            if call.timer is not None:
                call.timer.cancel()
        self._asked.clear()
        self.waiting.clear()
