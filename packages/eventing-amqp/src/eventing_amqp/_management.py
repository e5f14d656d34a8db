"""Questions and orders to the broker's management, over the connection itself (Artemis user manual, "Management")."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from eventing_amqp._codec import BrokenEncodingError, as_list
from eventing_amqp._engine import State
from eventing_amqp._generation import Generation
from eventing_amqp._loop import Loop, Timer
from eventing_amqp._message import Sections, encode_request

_log = logging.getLogger("eventing.amqp")

_ADDRESS = "activemq.management"
_CREDIT = 100
_CORRELATION_ID = 5

#: How long the broker may take for one answer, in seconds.
_PATIENCE = 10.0


class Reply(NamedTuple):
    """An answer.

    Attributes:
        kind: ``done``; ``failed``: the broker says why in ``value``; ``denied``: the user lacks the right, or there
            is no management; ``silent``: no answer in time.
        value: what the operation returned.
    """

    kind: Literal["done", "failed", "denied", "silent"]
    value: Any = None


class _Call:
    """A question on its way."""

    __slots__ = (
        "_management",
        "arguments",
        "data",
        "done",
        "index",
        "number",
        "properties",
        "reply",
        "timer",
        "unrouted",
    )

    def __init__(
        self,
        management: Management,
        number: str,
        properties: dict[str, str],
        arguments: str,
        reply: Callable[[Reply], None],
    ) -> None:
        self._management = management
        self.number = number
        self.properties = properties
        self.arguments = arguments
        self.reply = reply
        self.data = b""
        self.done: Any = _taken
        self.index = 0
        self.unrouted = False
        self.timer: Timer | None = None

    def refused(self, outcome: int, condition: tuple[str, str] | None) -> None:
        """The user may not ask."""
        _log.debug("the broker's management refuses (%s, %s)", outcome, condition)
        self._management.answer(self.number, Reply("denied"))


def _taken(_index: int, _error: Exception | None) -> None:
    """The broker has the question; its answer is another message."""


class _Replies:
    """Handler of the link that answers come by."""

    def __init__(self, management: Management) -> None:
        self._management = management

    def opened(self) -> None:
        self._management.flush()

    def flowed(self) -> None:
        pass

    def arrived(self) -> None:
        self._management.receive()

    def closed(self, condition: tuple[str, str] | None) -> None:
        self._management.close(condition)


class Management:
    """The broker's management, in one generation. Links are attached with the first question."""

    def __init__(self, generation: Generation, loop: Loop) -> None:
        self._generation = generation
        self._loop = loop
        self._numbers = itertools.count(1)
        self._waiting: deque[_Call] = deque()
        self._asked: dict[str, _Call] = {}
        self._requests = 0
        self._replies = 0
        self._denied = False

    def call(self, resource: str, operation: str, arguments: Sequence[Any], reply: Callable[[Reply], None]) -> None:
        """Call an operation; ``reply`` is called once, unless the connection is lost."""
        self._ask({"_AMQ_ResourceName": resource, "_AMQ_OperationName": operation}, arguments, reply)

    def attribute(self, resource: str, name: str, reply: Callable[[Reply], None]) -> None:
        """Read an attribute."""
        self._ask({"_AMQ_ResourceName": resource, "_AMQ_Attribute": name}, (), reply)

    def _ask(self, properties: dict[str, str], arguments: Sequence[Any], reply: Callable[[Reply], None]) -> None:
        if self._denied:
            reply(Reply("denied"))
            return
        call = _Call(self, str(next(self._numbers)), properties, json.dumps(arguments), reply)
        call.timer = self._loop.call_at(time.monotonic() + _PATIENCE, lambda: self.answer(call.number, Reply("silent")))
        self._asked[call.number] = call
        self._waiting.append(call)
        if not self._requests:
            generation = self._generation
            self._requests = generation.sender(_ADDRESS, "", self)
            self._replies = generation.receiver("", "", _Replies(self))
            generation.lib.pn_link_flow(self._replies, _CREDIT)
        self.flush()

    def opened(self) -> None:
        """The link for questions is there; credit comes next."""

    def flowed(self) -> None:
        """There may be credit."""
        self.flush()

    def arrived(self) -> None:
        """Nothing arrives on a sender."""

    def closed(self, condition: tuple[str, str] | None) -> None:
        """The link for questions is gone."""
        self.close(condition)

    def flush(self) -> None:
        """Send what the broker gives credit for."""
        generation = self._generation
        address = generation.remote_address(self._replies) if self._waiting and self._replies else ""
        if not address or not self._requests:
            return
        for _ in range(min(len(self._waiting), generation.lib.pn_link_credit(self._requests))):
            call = self._waiting.popleft()
            call.data = encode_request(call.number, address, call.properties, call.arguments)
            generation.send(self._requests, call)

    def receive(self) -> None:
        """Take answers in."""
        generation = self._generation
        for delivery, raw in generation.receive(self._replies):
            generation.settle(delivery, State.ACCEPTED)
            generation.lib.pn_link_flow(self._replies, 1)
            try:
                sections = Sections(raw)
                body = sections.bodies[0][1]
                answer: Any = json.loads(body) if body else None
            except (BrokenEncodingError, ValueError, IndexError, TypeError):
                continue
            succeeded = sections.application.get("_AMQ_OperationSucceeded") is True
            # Management wraps what it returns in a list.
            values = as_list(answer)
            value = values[0] if len(values) == 1 else answer
            self.answer(sections.field(_CORRELATION_ID), Reply("done" if succeeded else "failed", value))

    def answer(self, number: str, reply: Reply) -> None:
        """Hand an answer over, once."""
        call = self._asked.pop(number, None)
        if call is None:
            return
        if call.timer is not None:
            call.timer.cancel()
        call.reply(reply)

    def close(self, condition: tuple[str, str] | None) -> None:
        """A link is refused, or gone: there is no management in this generation."""
        _log.debug("no access to the broker's management: %s", condition)
        self._denied = True
        # Not answered and not asked again: the generation forgets what was on the link.
        for delivery, send in [*self._generation.sends.items()]:
            if isinstance(send, _Call):
                del self._generation.sends[delivery]
        for number in [*self._asked]:
            self.answer(number, Reply("denied"))
        self._waiting.clear()

    def lost(self) -> None:
        """The connection is gone: nobody is answered any more."""
        for call in self._asked.values():
            if call.timer is not None:
                call.timer.cancel()
        self._asked.clear()
        self._waiting.clear()
