"""Artemis's management over STOMP: what is learnt of the user's rights, through several connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from eventing_core.provider.artemis import Reply
from eventing_core.provider.sockets import Loop
from eventing_stomp._frames import Incoming
from eventing_stomp._management import Access, StompManagement

#: As Artemis 2.44 says it, whatever the reason is.
NOT_SENT = "AMQ339011 Error sending message"
NOT_SUBSCRIBED = "AMQ339016 Error creating subscription 7"
NO_RIGHT = "AMQ229032: User: u does not have permission='CREATE_ADDRESS' on address activemq.management.eventing"


class Line:
    """A connection, as management sees it."""

    def __init__(self, loop: Loop, access: Access) -> None:
        self.handlers: list[Any] = []
        self.asked: list[Callable[[str | None], None]] = []
        self.numbers: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.replies: list[Reply] = []
        self.management = StompManagement(self, loop, access)  # type: ignore[arg-type]

    def subscribe(self, handler: Any, headers: Mapping[str, str]) -> str:
        self.handlers.append(handler)
        self.headers.append(headers)
        return "7"

    def request(self, command: str, headers: Mapping[str, str], then: Callable[[str | None], None], body: bytes) -> str:
        self.asked.append(then)
        self.numbers.append(headers["correlation-id"])
        return headers["correlation-id"]

    def ask(self) -> None:
        self.management.call("broker", "listQueues", (), self.replies.append)

    def answer(self) -> None:
        self.asked[-1](None)
        head = b"MESSAGE\ncorrelation-id:%b\n_AMQ_OperationSucceeded:true\n" % self.numbers[-1].encode()
        self.handlers[0].arrived("7", Incoming(b"MESSAGE", head, b"[1]"))

    @property
    def kinds(self) -> list[str]:
        return [reply.kind for reply in self.replies]


@pytest.fixture
def connect() -> Iterator[Callable[[], Line]]:
    """Each call is the next connection of one user."""
    loop, access = Loop(), Access()
    yield lambda: Line(loop, access)
    loop.close()


def refuse_asking(line: Line) -> None:
    line.handlers[0].answered("7", None)
    line.ask()
    line.asked[-1](NOT_SENT)


def refuse_replies(line: Line, error: str = NOT_SUBSCRIBED) -> None:
    line.ask()
    line.handlers[0].answered("7", error)


@pytest.mark.parametrize("refuse", [refuse_asking, refuse_replies])
def test_a_refusal_without_a_reason_is_not_taken_for_a_missing_right(
    connect: Callable[[], Line], refuse: Callable[[Line], None]
):
    for _ in range(2):
        line = connect()
        refuse(line)
        # The connection has ended, and nobody is told that there is no management.
        assert line.kinds == []
        assert not line.management.denied
    line = connect()
    line.handlers[0].answered("7", None)
    line.ask()
    line.answer()
    assert line.kinds == ["done"]
    # It counts from the beginning.
    for _ in range(2):
        line = connect()
        refuse(line)
        assert not line.management.denied


@pytest.mark.parametrize("refuse", [refuse_asking, refuse_replies])
def test_refusals_in_a_row_are_taken_for_a_missing_right(connect: Callable[[], Line], refuse: Callable[[Line], None]):
    for _ in range(2):
        refuse(connect())
    line = connect()
    refuse(line)
    assert line.kinds == ["denied"]
    line = connect()
    line.ask()
    assert line.kinds == ["denied"]
    assert line.asked == []
    # Who may not ask may have the queue all the same.
    assert len(line.handlers) == (1 if refuse is refuse_asking else 0)


def test_a_right_that_is_named_is_known_at_once(connect: Callable[[], Line]):
    line = connect()
    refuse_replies(line, NO_RIGHT)
    assert line.kinds == ["denied"]
    assert connect().handlers == []


def test_connections_share_an_address_for_answers_and_each_takes_its_own(connect: Callable[[], Line]):
    one, other = connect(), connect()
    for line in (one, other):
        line.ask()
    assert one.headers[0]["destination"] == other.headers[0]["destination"] == "activemq.management.eventing"
    for line in (one, other):
        begin = line.numbers[0].partition("-")[0]
        assert line.headers[0]["selector"] == f"JMSCorrelationID LIKE '{begin}-%'"
    assert one.headers[0]["selector"] != other.headers[0]["selector"]


class Followed:
    def __init__(self) -> None:
        self.notifications: list[Mapping[str, str]] = []
        self.ends: list[object] = []

    def notified(self, properties: Mapping[str, str]) -> None:
        self.notifications.append(properties)

    def unfollowed(self, reason: object) -> None:
        self.ends.append(reason)


def test_notifications_are_read_from_headers(connect: Callable[[], Line]):
    line, followed = connect(), Followed()
    line.management.follow("x = 'y'", followed)
    assert line.headers[-1]["destination"] == "activemq.notifications"
    assert line.headers[-1]["selector"] == "x = 'y'"
    line.handlers[-1].answered("7", None)
    head = b"MESSAGE\n_AMQ_Address:Order\\cPlaced\n_AMQ_NotifType:BINDING_REMOVED\n"
    line.handlers[-1].arrived("7", Incoming(b"MESSAGE", head, b""))
    assert followed.notifications == [{"_AMQ_NotifType": "BINDING_REMOVED", "_AMQ_Address": "Order:Placed"}]
    assert followed.ends == []


def test_notifications_that_are_refused_cost_one_connection_and_no_more(connect: Callable[[], Line]):
    line, followed = connect(), Followed()
    line.management.follow("x = 'y'", followed)
    line.handlers[-1].answered("7", NOT_SUBSCRIBED)
    assert followed.ends == [NOT_SUBSCRIBED]
    line = connect()
    before = len(line.handlers)
    line.management.follow("x = 'y'", followed)
    assert len(followed.ends) == 2
    assert len(line.handlers) == before
