"""Queues on Artemis, with a management that says what a test wants."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from eventing_core.errors import SubscriptionError
from eventing_core.provider import Destination, Subscription
from eventing_core.provider.artemis import Artemis, ArtemisSession, Follower, Management, Queue, Ready, Reply, Warned

QUEUE = Destination("Order", "Billing", kind="queue", durable=True)
SUBSCRIPTION = Subscription(destination=QUEUE)


class Said:
    """A management: ``answers`` by operation."""

    def __init__(self, **answers: Reply) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.name = "name"
        self.denied = False

    def call(self, resource: str, operation: str, arguments: Sequence[Any], reply: Callable[[Reply], None]) -> None:
        assert len(self.asked) < 20, "no end"
        if operation == "getAddressSettingsAsJSON":
            reply(self.answers.get(operation, Reply("denied")))
            return
        self.asked.append(operation)
        reply(self.answers[operation])

    def attribute(self, resource: str, name: str, reply: Callable[[Reply], None]) -> None:
        reply(Reply("denied"))

    def follow(self, selector: str, follower: Follower) -> None:
        follower.unfollowed("denied")


class Session(ArtemisSession):
    def __init__(self, said: Said) -> None:
        super().__init__(cast("Management", said), Artemis(), Warned())

    def make_by_attaching(self, queue: Queue, ready: Ready) -> None:
        raise AssertionError


def asked_for(session: Session) -> SubscriptionError | None:
    """What who wants to send to the queue is told."""
    told: list[SubscriptionError | None] = []
    queue = session.node(QUEUE).queue
    assert queue is not None
    session.ensure(queue, told.append)
    return told[0]


def test_a_sender_that_the_broker_closed_forgets_no_consumer() -> None:
    session = Session(Said(createQueue=Reply("denied")))
    session.prepare(SUBSCRIPTION, lambda _: None)
    _, queue = session.source(SUBSCRIPTION)
    assert isinstance(asked_for(session), SubscriptionError)
    session.attached(queue)
    assert asked_for(session) is None
    session.forget_queue(queue)
    assert asked_for(session) is None
    session.forget(SUBSCRIPTION)
    assert isinstance(asked_for(session), SubscriptionError)


def test_a_queue_that_is_taken_and_not_listed_is_asked_for_twice() -> None:
    said = Said(createQueue=Reply("done", "{}"), listQueues=Reply("done", '{"data":[]}'))
    errors: list[SubscriptionError | None] = []
    Session(said).prepare(SUBSCRIPTION, errors.append)
    assert said.asked == ["createQueue", "listQueues"] * 2
    assert "lists no queue of that name" in str(errors[0])


@pytest.mark.parametrize(("limit", "warns"), [(10, False), (9, False), (8, True), (1, True), (-1, False), (0, False)])
def test_a_broker_that_takes_events_away_too_early_is_told_of_once(
    caplog: pytest.LogCaptureFixture, limit: int, warns: bool
) -> None:
    settings = Reply("done", json.dumps({"maxDeliveryAttempts": limit}))
    session = Session(
        Said(createQueue=Reply("done", "{}"), listQueues=Reply("silent"), getAddressSettingsAsJSON=settings)
    )
    for _ in range(2):
        session.prepare(SUBSCRIPTION, lambda _: None)
        session.forget(SUBSCRIPTION)
    told = [record for record in caplog.records if "max-delivery-attempts" in record.getMessage()]
    assert len(told) == warns
