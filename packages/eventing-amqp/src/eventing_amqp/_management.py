"""Artemis's management over AMQP: a link for questions, one for answers, and one for notifications."""

from __future__ import annotations

from typing import Any

from eventing_amqp._codec import BrokenEncodingError
from eventing_amqp._generation import AmqpGeneration
from eventing_amqp._message import Sections, encode_request
from eventing_amqp._proton import Link
from eventing_core.provider.artemis import (
    ADDRESS,
    NOTIFICATIONS,
    REPLIES,
    SUCCEEDED,
    Call,
    Follower,
    Management,
    Reply,
)
from eventing_core.provider.sockets import Loop

_CREDIT = 100
_CORRELATION_ID = 5


class _Question:
    """A call as it is on the link: what the generation has to know of it."""

    __slots__ = ("call", "data", "done", "index", "management", "unrouted")

    def __init__(self, management: AmqpManagement, call: Call, data: bytes) -> None:
        self.management = management
        self.call = call
        self.data = data
        self.done: Any = _taken
        self.index = 0
        self.unrouted = False

    def refused(self) -> None:
        """The user may not ask."""
        self.management.answer(self.call.number, Reply("denied"))


def _taken(_index: int, _error: Exception | None) -> None:
    """The broker has the question; its answer is another message."""


class _Replies:
    """Handler of the link that answers come by."""

    def __init__(self, management: AmqpManagement) -> None:
        self._management = management

    def opened(self) -> None:
        self._management.answering = True
        self._management.flush()

    def flowed(self) -> None:
        pass

    def arrived(self) -> None:
        self._management.receive()

    def closed(self, condition: tuple[str, str] | None) -> None:
        self._management.closed(condition)


class _Notifications:
    """Handler of the link that notifications come by."""

    def __init__(self, generation: AmqpGeneration, selector: str, follower: Follower) -> None:
        self._follower = follower
        self._link = generation.receiver(NOTIFICATIONS, "topic", self, selector)
        self._link.flow(_CREDIT)

    def opened(self) -> None:
        pass

    def flowed(self) -> None:
        pass

    def arrived(self) -> None:
        for number, raw in self._link.receive():
            self._link.accept(number)
            self._link.flow(1)
            try:
                properties = Sections(raw).application
            except (BrokenEncodingError, ValueError):
                continue
            self._follower.notified(properties)

    def closed(self, condition: tuple[str, str] | None) -> None:
        self._follower.unfollowed(condition)


class AmqpManagement(Management):
    """The broker's management, in one generation. Links are attached with the first question.

    Attributes:
        answering: the link for answers is there.
    """

    def __init__(self, generation: AmqpGeneration, loop: Loop) -> None:
        super().__init__(loop)
        self._generation = generation
        self._requests: Link | None = None
        self._replies: Link | None = None
        self.answering = False

    def follow(self, selector: str, follower: Follower) -> None:
        """Attach a link for notifications."""
        _Notifications(self._generation, selector, follower)

    def opened(self) -> None:
        """The link for questions is there; credit comes next."""

    def flowed(self) -> None:
        """There may be credit."""
        self.flush()

    def arrived(self) -> None:
        """Nothing arrives on a sender."""

    def closed(self, condition: tuple[str, str] | None) -> None:
        """A link is refused, or gone."""
        # Not answered and not asked again: the generation forgets what was on the link.
        for delivery, send in [*self._generation.sends.items()]:
            if isinstance(send, _Question):
                del self._generation.sends[delivery]
        self.deny(condition)

    def flush(self) -> None:
        """Send what the broker gives credit for."""
        generation, requests = self._generation, self._requests
        if requests is None:
            self._requests = requests = generation.sender(ADDRESS, "", self)
            self._replies = generation.receiver(REPLIES, "topic", _Replies(self), self.selector)
            self._replies.flow(_CREDIT)
        if not self.answering:
            return
        for _ in range(min(len(self.waiting), requests.credit())):
            call = self.waiting.popleft()
            data = encode_request(call.number, REPLIES, call.headers, call.body)
            requests.send(_Question(self, call, data))

    def receive(self) -> None:
        """Take answers in."""
        replies = self._replies
        if replies is None:
            return
        for number, raw in replies.receive():
            replies.accept(number)
            replies.flow(1)
            try:
                sections = Sections(raw)
                body: Any = sections.bodies[0][1]
            except (BrokenEncodingError, ValueError, IndexError):
                continue
            succeeded = sections.application.get(SUCCEEDED) is True
            if body is None or isinstance(body, str | bytes):
                self.answered(sections.field(_CORRELATION_ID), body or "", succeeded=succeeded)
