"""What a queue has to be on Artemis, and what becomes of one that isn't."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventing_core.provider.artemis import Queue
from eventing_core.provider.artemis._attributes import (
    ATTRIBUTES,
    Rule,
    changes,
    configuration,
    differences,
    is_refused,
    of_configuration,
    of_row,
    shares_name,
)

SHARED = Queue(name="L", address="E", durable=True)
OWN = Queue(name="L-a", address="E", single=True, expiry=1.5)
ORDERED = Queue(name="L", address="E", exclusive=True)
DEAD = Queue(name="L.dead", address="L.dead", anycast=True, durable=True)

#: Of Artemis 2.44: what an address setting supplies where `createQueue` leaves it out (QueueConfigurationUtils).
SUPPLIED = {
    *("max-consumers", "exclusive", "group-rebalance", "group-rebalance-pause-dispatch", "group-buckets"),
    *("group-first-key", "last-value", "last-value-key", "non-destructive", "consumers-before-dispatch"),
    *("delay-before-dispatch", "ring-size", "routing-type", "purge-on-no-consumers", "auto-create-address"),
    *("auto-delete", "auto-delete-delay", "auto-delete-message-count"),
}

#: What `listQueues` tells of a queue as it has to be.
ROW: dict[str, Any] = {
    "id": "7",
    "name": "L",
    "address": "E",
    "routingType": "MULTICAST",
    "filter": "",
    "durable": "true",
    "autoDelete": "false",
    "maxConsumers": "-1",
    "exclusive": "false",
    "lastValue": "false",
    "lastValueKey": "",
    "ringSize": "-1",
    "purgeOnNoConsumers": "false",
    "enabled": "true",
    "paused": "false",
    "consumersBeforeDispatch": "0",
    "delayBeforeDispatch": "-1",
    "groupRebalance": "false",
    "groupRebalancePauseDispatch": "false",
    "groupBuckets": "-1",
    "groupFirstKey": "",
}


@pytest.mark.parametrize("queue", [SHARED, OWN, ORDERED, DEAD], ids=lambda queue: queue.name)
def test_everything_is_named_when_a_queue_is_made(queue: Queue):
    named = json.loads(configuration(queue))
    assert named.keys() >= SUPPLIED
    # A broker that answers by what it was told has nothing to be changed.
    assert differences(queue, of_configuration(named)) == []
    assert changes(queue, of_configuration(named)) == {}


def test_what_create_queue_is_told():
    shared = json.loads(configuration(Queue(name="L", address="E")))
    assert (shared["name"], shared["address"]) == ("L", "E")
    assert (shared["routing-type"], shared["durable"], shared["auto-delete"]) == ("MULTICAST", False, False)
    assert (shared["max-consumers"], shared["exclusive"]) == (-1, False)
    own = json.loads(configuration(Queue(name="L", address="E", single=True, expiry=1.5, exclusive=True)))
    assert (own["auto-delete"], own["auto-delete-delay"], own["auto-delete-message-count"]) == (True, 1500, -1)
    assert (own["max-consumers"], own["exclusive"]) == (1, True)
    assert json.loads(configuration(DEAD))["routing-type"] == "ANYCAST"


def test_a_queue_as_it_has_to_be():
    found = of_row(ROW)
    assert differences(SHARED, found) == []
    # Whether it is non-destructive isn't listed: so it is set.
    assert changes(SHARED, found) == {"non-destructive": False}


#: By column: another value, and what becomes of the queue where it can't be changed.
OTHER = {
    "routingType": ("ANYCAST", Rule.REFUSE),
    "filter": ("x='1'", Rule.REFUSE),
    "lastValue": ("true", Rule.REFUSE),
    "lastValueKey": ("k", Rule.REFUSE),
    "ringSize": ("7", Rule.REFUSE),
    "purgeOnNoConsumers": ("true", Rule.REFUSE),
    "enabled": ("false", Rule.REFUSE),
    "paused": ("true", Rule.WARN),
    "maxConsumers": ("3", Rule.WARN),
    "exclusive": ("true", Rule.WARN),
    "consumersBeforeDispatch": ("2", Rule.WARN),
    "delayBeforeDispatch": ("500", Rule.WARN),
    "groupRebalance": ("true", Rule.WARN),
    "groupRebalancePauseDispatch": ("true", Rule.WARN),
    "groupBuckets": ("4", Rule.WARN),
    "groupFirstKey": ("first", Rule.WARN),
    "durable": ("false", Rule.WARN),
    "autoDelete": ("true", Rule.WARN),
}
#: These can't be changed, on a listener's queue that several share.
FIXED = {"routingType", "filter", "lastValue", "lastValueKey", "paused", "exclusive", "durable", "autoDelete"}


@pytest.mark.parametrize("column", OTHER)
def test_one_that_differs(column: str):
    value, rule = OTHER[column]
    found = of_row({**ROW, column: value})
    [difference] = differences(SHARED, found)
    assert difference.attribute.column == column
    assert difference.value == value
    assert is_refused(SHARED, difference) is (rule is Rule.REFUSE)
    assert difference.attribute.name in str(difference)
    assert "{" not in difference.effect
    assert (difference.attribute.name in changes(SHARED, found)) is (column not in FIXED)


def test_the_table_is_tried_whole():
    assert {each.column for each in ATTRIBUTES if each.column} == OTHER.keys()
    assert {each.name for each in ATTRIBUTES if not each.column} == {
        *("non-destructive", "auto-delete-delay", "auto-delete-message-count")
    }


def test_a_last_value_queue_is_one_difference():
    found = of_row({**ROW, "lastValue": "true", "lastValueKey": "_AMQ_LVQ_NAME"})
    assert [each.attribute.name for each in differences(SHARED, found)] == ["last-value"]


def test_an_ordered_listener_needs_an_exclusive_queue():
    found = of_row({**ROW, "durable": "false"})
    [difference] = differences(ORDERED, found)
    assert is_refused(ORDERED, difference)
    assert changes(ORDERED, found)["exclusive"] is True


def test_what_removes_a_process_s_queue_matters_there_alone():
    values = json.loads(configuration(OWN))
    changed = of_configuration({**values, "auto-delete-delay": 9, "auto-delete-message-count": 0})
    assert [each.attribute.name for each in differences(OWN, changed)] == [
        *("auto-delete-delay", "auto-delete-message-count")
    ]
    values = json.loads(configuration(SHARED))
    assert differences(SHARED, of_configuration({**values, "auto-delete-delay": 9})) == []


@pytest.mark.parametrize(
    ("queue", "limit", "consumers", "shares"),
    [
        (SHARED, "1", 0, True),
        (SHARED, "3", 5, False),
        (OWN, "-1", 0, False),
        (OWN, "-1", 1, True),
        (OWN, "1", 1, False),
    ],
)
def test_a_queue_that_is_per_process_for_one_and_shared_for_another(
    queue: Queue, limit: str, consumers: int, shares: bool
):
    assert shares_name(queue, {"max-consumers": limit}, consumers) is shares
    assert not shares_name(queue, {}, consumers)


def test_what_is_not_told_is_no_difference():
    found = of_row({"id": "1", "name": "L", "address": "E"})
    assert differences(SHARED, found) == []
    assert changes(SHARED, found).keys() == {each.name for each in ATTRIBUTES if each.can_change(SHARED)}
