"""Queues on Artemis, with a management that says what a test wants."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from eventing_core.errors import SubscriptionError
from eventing_core.provider import Destination, Subscription
from eventing_core.provider.artemis import Artemis, ArtemisSession, Follower, Management, Queue, Ready, Reply, Warned
from eventing_core.provider.artemis._attributes import ATTRIBUTES, configuration
from eventing_core.provider.artemis._errors import of_unmanaged

QUEUE = Destination("Order", "Billing", kind="queue", durable=True)
SUBSCRIPTION = Subscription(destination=QUEUE)
WANTED = Queue(name="Billing", address="Order", durable=True)


class Said:
    """A management: ``answers`` by operation; of several, each but the last one once."""

    def __init__(self, **answers: Reply | list[Reply]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.name = "name"
        self.denied = False
        self.arguments: list[Sequence[Any]] = []

    def call(self, resource: str, operation: str, arguments: Sequence[Any], reply: Callable[[Reply], None]) -> None:
        assert len(self.asked) < 20, "no end"
        if operation == "getAddressSettingsAsJSON":
            reply(self._answer(operation, Reply("denied")))
            return
        self.asked.append(operation)
        self.arguments.append(arguments)
        reply(self._answer(operation))

    def attribute(self, resource: str, name: str, reply: Callable[[Reply], None]) -> None:
        reply(self._answer(name, Reply("denied")))

    def _answer(self, operation: str, default: Reply | None = None) -> Reply:
        answer = self.answers.get(operation, default)
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        assert answer is not None, operation
        return answer

    def follow(self, selector: str, follower: Follower) -> None:
        follower.unfollowed("denied")


class Session(ArtemisSession):
    def __init__(self, said: Said, warned: Warned | None = None) -> None:
        super().__init__(cast("Management", said), Artemis(), warned or Warned())

    def make_by_attaching(self, queue: Queue, ready: Ready) -> None:
        ready(None)


def listed(**columns: str) -> Reply:
    """What the broker lists of the queue, as it has to be but for these."""
    row = {
        **{each.column: as_text(each.wanted(WANTED)) for each in ATTRIBUTES if each.column},
        "id": "1",
        "name": WANTED.name,
        "address": WANTED.address,
        "consumerCount": "0",
    }
    return Reply("done", json.dumps({"data": [{**row, **columns}]}))


def as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def made(**attributes: object) -> Reply:
    """What the broker answers to `createQueue` and `updateQueue`: the queue as it has to be but for these."""
    return Reply("done", json.dumps({"id": 1, **json.loads(configuration(WANTED)), **attributes}))


EXISTS = Reply("done", json.dumps({"name": "Billing"}))
REFUSED = Reply("failed", "AMQ229032: no permission")


def start(said: Said, warned: Warned | None = None, subscription: Subscription = SUBSCRIPTION) -> str:
    """Why a listener's queue can't be used; empty where it can."""
    told: list[SubscriptionError | None] = []
    session = Session(said, warned)
    session.prepare(subscription, told.append)
    [error] = told
    if error is None:
        session.attached(session.source(subscription)[1])
    return str(error or "")


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
    told = [record for record in caplog.records if "max-delivery-attempts =" in record.getMessage()]
    assert len(told) == warns


# -- queues that are there, and that were just made --------------------------------------------------------------------


def test_a_queue_that_was_just_made_is_read_back():
    said = Said(createQueue=made(), listQueues=listed())
    assert start(said) == ""
    assert said.asked == ["createQueue", "listQueues"]


def test_one_that_was_made_otherwise_is_changed_or_refused():
    """By a plugin of the broker, say."""
    said = Said(createQueue=made(), listQueues=listed(ringSize="7"), updateQueue=made())
    assert start(said) == ""
    assert said.asked == ["createQueue", "listQueues", "updateQueue"]
    assert "only the last message" in start(Said(createQueue=made(), listQueues=listed(lastValue="true")))
    # What isn't listed is in the first answer.
    said = Said(createQueue=made(**{"non-destructive": True}), listQueues=listed(), updateQueue=made())
    assert start(said) == ""
    assert json.loads(said.arguments[2][0]) == {"name": "Billing", "non-destructive": False}


def test_one_that_was_made_and_can_not_be_listed_is_taken_as_the_broker_answered():
    assert start(Said(createQueue=made(), listQueues=REFUSED)) == ""
    assert "only the last message" in start(Said(createQueue=made(**{"last-value": True}), listQueues=REFUSED))


def test_an_existing_queue_is_asked_for_what_is_not_listed_once():
    warned, said = Warned(), Said(createQueue=EXISTS, listQueues=listed(), updateQueue=made())
    assert [start(said, warned), start(said, warned)] == ["", ""]
    assert said.asked == ["createQueue", "listQueues", "updateQueue", "createQueue", "listQueues"]
    # One that was made anew meanwhile isn't known.
    said = Said(createQueue=EXISTS, listQueues=listed(id="2"), updateQueue=made(id=2))
    assert start(said, warned) == ""
    assert said.asked == ["createQueue", "listQueues", "updateQueue"]


def test_what_can_not_be_changed_refuses_or_warns(caplog: pytest.LogCaptureFixture):
    purge = Said(createQueue=EXISTS, listQueues=listed(purgeOnNoConsumers="true"), updateQueue=REFUSED)
    assert "is emptied whenever it has no consumer" in start(purge)
    slow = Said(createQueue=EXISTS, listQueues=listed(consumersBeforeDispatch="2"), updateQueue=REFUSED)
    assert start(slow) == ""
    assert "consumers-before-dispatch 2 instead of 0" in caplog.text
    assert "its non-destructive can't be checked: AMQ229032" in caplog.text


def test_what_management_says_it_did_and_did_not_is_refused():
    said = Said(createQueue=EXISTS, listQueues=listed(), updateQueue=made(**{"non-destructive": True}))
    assert "delivers them again and again" in start(said)


def test_an_answer_without_a_configuration_is_believed():
    said = Said(createQueue=EXISTS, listQueues=listed(ringSize="7"), updateQueue=Reply("done"))
    assert start(said) == ""


def test_a_filter_outlives_a_change_where_it_was_accepted():
    warned = Warned()
    warned.accept(WANTED, None)
    said = Said(
        createQueue=EXISTS, listQueues=listed(filter="x", ringSize="7"), updateQueue=made(**{"filter-string": "x"})
    )
    assert start(said, warned) == ""
    assert json.loads(said.arguments[2][0])["filter-string"] == "x"


LOSING = {
    "lastValue": "true",
    "lastValueKey": "k",
    "filter": "x",
    "routingType": "ANYCAST",
    "purgeOnNoConsumers": "true",
    "ringSize": "7",
    "enabled": "false",
    "maxConsumers": "1",
}


@pytest.mark.parametrize("column", LOSING)
def test_a_reconnect_is_not_refused_for_what_the_start_accepted(column: str, caplog: pytest.LogCaptureFixture):
    warned = Warned()
    # At the start nothing could be seen.
    assert start(Said(createQueue=Reply("denied")), warned) == ""
    said = Said(createQueue=EXISTS, listQueues=listed(**{column: LOSING[column]}), updateQueue=REFUSED)
    for _ in range(2):
        assert start(said, warned) == ""
    [text] = {each.getMessage() for each in caplog.records if "can't be changed" in each.getMessage()}
    assert "Billing" in text
    # Another process starts anew.
    assert start(said) != ""


def test_a_reconnect_is_refused_for_what_was_changed_since():
    warned = Warned()
    assert start(Said(createQueue=made(), listQueues=listed()), warned) == ""
    assert "has the filter 'x'" in start(Said(createQueue=EXISTS, listQueues=listed(filter="x")), warned)


def test_what_one_listener_accepted_another_one_does_not():
    warned = Warned()
    assert start(Said(createQueue=Reply("denied")), warned) == ""
    own = Subscription(destination=Destination("Order", "Bill", "ing", "queue", durable=True))
    [_, queue] = Session(Said()).source(own)
    row = listed(name=queue.name, maxConsumers="-1", consumerCount="1")
    assert "per-process" in start(Said(createQueue=EXISTS, listQueues=row), warned, own)


def test_an_ordered_listener_is_refused_where_its_queue_can_not_be_exclusive():
    ordered = Subscription(destination=QUEUE, exclusive=True)
    said = Said(createQueue=EXISTS, listQueues=listed(), updateQueue=REFUSED)
    assert "exclusive false instead of true" in start(said, subscription=ordered)


def test_without_management_one_warning_names_all_that_is_known(caplog: pytest.LogCaptureFixture):
    warned, said = Warned(), Said(createQueue=Reply("denied"))
    dead = Destination("Order", "Billing", kind="dead", durable=True)
    for _ in range(2):
        assert start(said, warned, Subscription(destination=QUEUE, dead_letter=dead)) == ""
        other = Destination("Order", "Shipping", kind="queue", durable=True)
        assert start(said, warned, Subscription(destination=other)) == ""
    [record] = caplog.records
    for part in ("'Billing'", "'Billing.dead'", "ring-size", "purge-on-no-consumers"):
        assert part in record.getMessage()


def test_a_hundred_queues_are_named_in_part():
    text = of_unmanaged([f"Queue{number:03}" for number in range(100)])
    assert "'Queue000'" in text
    assert "and 80 more" in text


def test_an_address_that_the_broker_may_delete_is_told_of_where_it_was_made_by_hand(caplog: pytest.LogCaptureFixture):
    settings = Reply("done", json.dumps({"configDeleteAddresses": "FORCE"}))
    for origin, told in ((Reply("done", value=True), 0), (REFUSED, 0), (Reply("done", value=False), 1)):
        said = Said(createQueue=made(), listQueues=listed(), getAddressSettingsAsJSON=settings, AutoCreated=origin)
        assert start(said) == ""
        assert caplog.text.count("config-delete-addresses = FORCE") == told
