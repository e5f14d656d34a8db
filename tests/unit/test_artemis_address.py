"""Destinations and what they are on Artemis."""

from __future__ import annotations

import pytest

from eventing_core.provider import Destination, Subscription
from eventing_core.provider.artemis import Artemis, Node, Queue
from eventing_core.provider.sockets import check_queue_name

COMPETING = Destination("Order", "Billing", kind="queue", durable=True)
OWN = Destination("Order", "Cache", "web-1", "queue")


def test_an_event_is_a_multicast_address():
    assert Artemis().node(Destination("Order", durable=True)) == Node(address="Order", topic="Order")


def test_a_listener_has_a_queue_on_it():
    node = Artemis(member_expiry=60).node(COMPETING)
    assert (node.address, node.anycast, node.topic) == ("Order::Billing", False, "")
    assert node.queue == Queue(name="Billing", address="Order", durable=True)


def test_a_process_has_a_queue_of_its_own_that_expires():
    node = Artemis(member_expiry=60).node(OWN)
    assert node.address == "Order::Cache-web-1"
    assert node.queue == Queue(name="Cache-web-1", address="Order", single=True, expiry=60)


def test_dead_letters_have_an_anycast_address_of_the_queues_name():
    for queue, name in ((COMPETING, "Billing.dead"), (OWN, "Cache-web-1.dead")):
        dead = Destination(queue.topic, queue.group, queue.member, "dead")
        node = Artemis(member_expiry=60).node(dead)
        assert (node.address, node.anycast, node.topic) == (name, True, "")
        assert node.queue == Queue(name=name, address=name, anycast=True, durable=True)


def test_the_template_names_queues_and_their_dead_letters():
    model = Artemis("{event}.{listener}", 60)
    assert model.node(COMPETING).address == "Order::Order.Billing"
    assert model.node(OWN).address == "Order::Order.Cache-web-1"
    assert model.node(Destination("Order", "Billing", kind="dead")).address == "Order.Billing.dead"


def test_braces_in_names_are_no_template():
    assert Artemis().node(Destination("{event}", "{0}", kind="queue")).address == "{event}::{0}"


def test_only_queues_are_consumed_from():
    assert Artemis().source(Subscription(destination=COMPETING)).queue == Artemis().node(COMPETING).queue
    exclusive = Artemis().source(Subscription(destination=COMPETING, exclusive=True)).queue
    assert exclusive == Queue(name="Billing", address="Order", durable=True, exclusive=True)
    with pytest.raises(ValueError, match="is not a queue"):
        Artemis().source(Subscription(destination=Destination("Order")))


@pytest.mark.parametrize("template", ["{listener}", "{event}.{listener}", "app-{listener}-{event}"])
def test_templates_that_are_taken(template: str):
    assert check_queue_name(template) == template


REFUSED = [
    "x",
    "{event}",
    "{listener}{",
    "{listener!r}",
    "{listener:>9}",
    "{}",
    "{x}{listener}",
    "a::{listener}",
    "#{listener}",
    "{listener.__class__}",
]


@pytest.mark.parametrize("template", ["", "{listener} x", *REFUSED])
def test_templates_that_are_refused(template: str):
    with pytest.raises(ValueError, match=r"\S"):
        check_queue_name(template)
