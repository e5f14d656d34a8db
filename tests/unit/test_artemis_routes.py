"""Whether addresses have queues, with a management that answers when a test says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from eventing_core.provider.artemis import Follower, Management, Reply, Warned
from eventing_core.provider.artemis._routes import Knowledge, Routes, flaw_of
from eventing_core.provider.sockets import Loop, _loop

ADDRESS = "OrderPlaced"
#: What the subscription to notifications tells of itself.
OWN = {"_AMQ_NotifType": "BINDING_ADDED", "_AMQ_Address": "activemq.notifications"}
GONE = {"_AMQ_NotifType": "BINDING_REMOVED", "_AMQ_Address": ADDRESS}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Asked:
    """A management: questions wait for their answers."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.name = "name"
        self.denied = False
        self.waiting: list[tuple[str, Callable[[Reply], None]]] = []
        self.count = 0
        self.follower: Follower | None = None

    def attribute(self, resource: str, name: str, reply: Callable[[Reply], None]) -> None:
        assert resource == f"address.{ADDRESS}"
        self.count += 1
        self.waiting.append((name, reply))

    def call(self, resource: str, operation: str, arguments: Sequence[Any], reply: Callable[[Reply], None]) -> None:
        assert resource == "broker"
        assert json.loads(arguments[0])["value"] == ADDRESS
        self.count += 1
        self.waiting.append((operation, reply))

    def follow(self, selector: str, follower: Follower) -> None:
        assert self.follower is None, "once in a generation"
        assert "%name%" in selector
        self.follower = follower

    def answer(self, what: str, value: Any, kind: str = "done") -> None:
        name, reply = self.waiting.pop(0)
        assert name == what
        reply(Reply(cast("Any", kind), value))

    def tell(self, properties: Mapping[str, str]) -> None:
        assert self.follower is not None
        self.follower.notified(properties)


class World:
    def __init__(self, loop: Loop, clock: Clock) -> None:
        self.clock = clock
        self.loop = loop
        self.management = Asked(loop)
        self.routes = Routes(cast("Management", self.management), Warned())
        self.answers: list[bool] = []

    def ask(self) -> None:
        self.routes.ask(ADDRESS, self.answers.append)

    def learn(self) -> None:
        """It has a queue, and nothing else."""
        self.ask()
        self.management.answer("QueueNames", ["Billing"])
        self.management.answer("RoutingTypes", ["MULTICAST"])

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.loop.run_timers()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    clock = Clock()
    monkeypatch.setattr(_loop, "time", SimpleNamespace(monotonic=clock.monotonic))
    loop = Loop()
    yield World(loop, clock)
    loop.close()


def test_an_answer_holds_while_notifications_come(world: World):
    world.ask()
    world.management.tell(OWN)
    world.management.answer("QueueNames", ["Billing"])
    world.management.answer("RoutingTypes", ["MULTICAST"])
    # It may be from before the subscription: asked again.
    assert world.answers == []
    world.management.answer("QueueNames", ["Billing"])
    world.management.answer("RoutingTypes", ["MULTICAST"])
    assert world.answers == [True]
    world.wait(3600)
    assert world.routes.has(ADDRESS)
    world.management.tell(GONE | {"_AMQ_Address": "Other"})
    assert world.routes.has(ADDRESS)
    world.management.tell(GONE)
    assert not world.routes.has(ADDRESS)


def test_without_notifications_an_answer_holds_for_less_than_five_seconds_and_idleness_asks_nothing(world: World):
    for _ in range(3):
        world.learn()
        world.wait(3.9)
        assert world.routes.has(ADDRESS)
        world.wait(0.9)
        assert not world.routes.has(ADDRESS)
        before = world.management.count
        world.wait(3600)
        assert world.management.count == before
        assert world.loop.sleep(0) is False
        assert world.loop._timers == []


def test_a_subscription_that_has_not_told_of_itself_is_not_relied_on(world: World):
    world.learn()
    assert world.management.follower is not None
    world.wait(4.1)
    assert not world.routes.has(ADDRESS)


def test_after_the_loss_of_the_subscription_it_is_asked_again_and_again(world: World):
    world.ask()
    world.management.answer("QueueNames", [])
    world.management.tell(OWN)
    world.learn()
    assert world.management.follower is not None
    world.management.follower.unfollowed("queue deleted")
    assert not world.routes.has(ADDRESS)
    world.learn()
    assert world.routes.has(ADDRESS)
    world.wait(4.1)
    assert not world.routes.has(ADDRESS)


def test_an_answer_that_a_removal_overtook_is_not_believed(world: World):
    world.ask()
    world.management.tell(OWN)
    for _ in range(2):
        world.management.answer("QueueNames", ["Billing"])
        world.management.tell(GONE)
        world.management.answer("RoutingTypes", ["MULTICAST"])
        assert world.answers == []
    world.management.answer("QueueNames", [])
    assert world.answers == [False]
    assert not world.routes.has(ADDRESS)


def test_who_asks_meanwhile_gets_the_same_answer(world: World):
    world.ask()
    world.ask()
    world.management.answer("QueueNames", [])
    assert world.answers == [False, False]
    assert world.management.waiting == []


@pytest.mark.parametrize(
    ("kind", "value"),
    [("denied", None), ("silent", None), ("failed", "AMQ229032: User: u does not have permission='MANAGE'")],
)
def test_who_gets_no_answer_waits_for_none_again(world: World, kind: str, value: Any):
    world.ask()
    world.management.answer("QueueNames", value, kind)
    assert world.answers == [True]
    world.wait(3600)
    world.management.tell(OWN)
    world.management.tell(GONE)
    assert world.routes.has(ADDRESS)


def test_a_broker_that_did_not_answer_is_asked_again_and_nobody_waits_for_it(world: World):
    world.ask()
    world.management.answer("QueueNames", None, "silent")
    assert world.answers == [True]
    world.wait(61)
    assert world.routes.has(ADDRESS)
    world.management.answer("QueueNames", None, "silent")
    world.wait(61)
    world.management.answer("QueueNames", [])
    assert not world.routes.has(ADDRESS)
    world.wait(3600)
    assert world.management.waiting == []
    # With the connection that ends.
    world.ask()
    world.management.answer("QueueNames", None, "silent")
    world.routes.lost()
    world.wait(3600)
    assert world.management.waiting == []


def test_an_address_that_management_does_not_know_has_no_queues(world: World):
    world.ask()
    world.management.answer("QueueNames", "AMQ229203: Address Does Not Exist", "failed")
    assert world.answers == [False]


@pytest.mark.parametrize(("routing", "routed"), [("ANYCAST", False), ("MULTICAST", True)])
def test_what_is_sent_to_an_event_reaches_no_anycast_queue(world: World, routing: str, routed: bool):
    world.ask()
    world.management.answer("QueueNames", [ADDRESS])
    world.management.answer("RoutingTypes", ["MULTICAST", "ANYCAST"])
    # A queue went while they were listed.
    world.management.answer("listQueues", "q is null", "failed")
    rows = [{"name": ADDRESS, "address": ADDRESS, "routingType": routing}]
    world.management.answer("listQueues", json.dumps({"data": rows}))
    assert world.answers == [routed]


def test_after_the_loss_of_the_connection_nobody_is_told_and_nothing_is_due(world: World):
    world.learn()
    world.ask()
    world.routes.lost()
    world.management.answer("QueueNames", ["Billing"])
    world.management.answer("RoutingTypes", ["MULTICAST"])
    assert world.answers == [True]


# -- senders that name anycast ----------------------------------------------------------------------------------------


def row(consumers: int, routing: str = "ANYCAST") -> dict[str, str]:
    return {"name": ADDRESS, "address": ADDRESS, "routingType": routing, "consumerCount": str(consumers)}


def test_a_queue_that_comes_later_is_looked_at_once_and_not_at_once(world: World, caplog: pytest.LogCaptureFixture):
    world.routes.listen(ADDRESS)
    world.management.answer("RoutingTypes", ["MULTICAST"])
    world.management.tell(OWN)
    for address in (ADDRESS, ADDRESS, "Other"):
        world.management.tell({"_AMQ_NotifType": "BINDING_ADDED", "_AMQ_Address": address})
    assert world.management.waiting == []
    world.wait(1.1)
    world.management.answer("RoutingTypes", ["MULTICAST", "ANYCAST"])
    world.management.answer("listQueues", json.dumps({"data": [row(0)]}))
    assert world.management.waiting == []
    assert "which nobody reads" in caplog.text


def test_a_look_ends_with_the_connection(world: World):
    world.routes.listen(ADDRESS)
    world.management.answer("RoutingTypes", ["MULTICAST"])
    world.management.tell({"_AMQ_NotifType": "BINDING_ADDED", "_AMQ_Address": ADDRESS})
    world.routes.lost()
    world.wait(2)
    assert world.management.waiting == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row(0)], "which nobody reads"),
        ([row(0), row(1, "MULTICAST")], "which nobody reads"),
        ([row(1, "MULTICAST")], "drops"),
        ([], "drops"),
        ([row(1)], None),
        ([row(1), row(0, "MULTICAST")], None),
        # There may be one among those that were not listed.
        ([row(1, "MULTICAST")] * 200, None),
    ],
)
def test_senders_that_miss_listeners_are_told_from_others(rows: list[dict[str, str]], words: str | None):
    text = flaw_of(ADDRESS, rows)
    assert (text is None) == (words is None)
    if text is not None:
        assert words is not None
        assert words in text
        assert ADDRESS in text
        assert "'topic'" in text


def test_knowledge_is_asked_for_once():
    knowledge = Knowledge()
    assert knowledge.ask("a", lambda _: None)
    assert not knowledge.ask("a", lambda _: None)
    assert knowledge.ask("b", lambda _: None)
    assert knowledge.answered("a", routed=True)
    assert knowledge.ask("a", lambda _: None)
    assert knowledge.routed == {"a"}
