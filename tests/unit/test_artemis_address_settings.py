"""Address settings of Artemis that break a promise."""

from __future__ import annotations

from typing import Any

import pytest

from eventing_core.provider.artemis._address import Queue
from eventing_core.provider.artemis._address_settings import Use, asks_for_origin, warnings_of

SENT, CONSUMED, DEAD, ORDERED = Use("sent"), Use("consumed"), Use("dead"), Use("consumed", ordered=True)
EVERYWHERE = (SENT, CONSUMED, DEAD, ORDERED)

#: What `artemis create` writes, as its management tells it.
USUAL: dict[str, Any] = {
    "addressFullMessagePolicy": "PAGE",
    "maxSizeBytes": -1,
    "pageLimitBytes": -1,
    "pageLimitMessages": -1,
    "redeliveryDelay": 0,
    "deadLetterAddress": "DLQ",
    "expiryAddress": "ExpiryQueue",
    "slowConsumerThresholdMeasurementUnit": "MESSAGES_PER_SECOND",
    "autoCreateQueues": True,
    "autoDeleteQueues": False,
    "autoCreateAddresses": True,
    "autoDeleteAddresses": False,
}

CASES: list[tuple[dict[str, Any], str, tuple[Use, ...]]] = [
    ({"addressFullMessagePolicy": "DROP"}, "address-full-policy", EVERYWHERE),
    ({"pageFullMessagePolicy": "DROP", "pageLimitBytes": 0}, "page-full-policy", EVERYWHERE),
    ({"pageFullMessagePolicy": "DROP", "pageLimitMessages": 10}, "page-full-policy", EVERYWHERE),
    ({"expiryDelay": 0}, "expiry-delay", EVERYWHERE),
    ({"expiryDelay": 5}, "expiry-delay", EVERYWHERE),
    ({"maxExpiryDelay": 5}, "max-expiry-delay", EVERYWHERE),
    ({"minExpiryDelay": 5}, "min-expiry-delay", EVERYWHERE),
    ({"noExpiry": True, "expiryDelay": 5, "minExpiryDelay": 5, "maxExpiryDelay": 5}, "no-expiry", EVERYWHERE),
    ({"maxDeliveryAttempts": 8}, "max-delivery-attempts", (CONSUMED, DEAD, ORDERED)),
    ({"maxDeliveryAttempts": 1}, "max-delivery-attempts", (CONSUMED, DEAD, ORDERED)),
    ({"redeliveryDelay": 1}, "redelivery-delay", (ORDERED,)),
    ({"slowConsumerPolicy": "KILL", "slowConsumerThreshold": 1}, "slow-consumer-policy", (CONSUMED, ORDERED)),
    ({"configDeleteAddresses": "FORCE", "autoCreated": False}, "config-delete-addresses", EVERYWHERE),
]


@pytest.mark.parametrize("use", EVERYWHERE)
@pytest.mark.parametrize(("settings", "element", "uses"), CASES, ids=lambda value: str(value)[:40])
def test_one_warning_for_whom_it_concerns(settings: dict[str, Any], element: str, uses: tuple[Use, ...], use: Use):
    found = warnings_of("Order", {**USUAL, **settings}, use)
    assert len(found) == (use in uses)
    for text in found:
        assert text.startswith(f"address setting {element} = ")
        assert "'Order'" in text
        assert f"<{element}>" in text
        assert f"</{element}>" in text


FINE: list[dict[str, Any]] = [
    {},
    {"addressFullMessagePolicy": "FAIL"},
    {"addressFullMessagePolicy": "BLOCK", "maxSizeBytes": 10},
    {"pageFullMessagePolicy": "DROP"},
    {"pageFullMessagePolicy": "FAIL", "pageLimitBytes": 10},
    # Pages have no limit where nothing is paged.
    {"addressFullMessagePolicy": "FAIL", "pageFullMessagePolicy": "DROP", "pageLimitBytes": 10},
    {"expiryDelay": -1, "minExpiryDelay": -1, "maxExpiryDelay": -1, "noExpiry": False},
    {"maxDeliveryAttempts": -1},
    {"maxDeliveryAttempts": 0},
    {"maxDeliveryAttempts": 9},
    {"slowConsumerPolicy": "KILL", "slowConsumerThreshold": -1},
    {"slowConsumerPolicy": "NOTIFY", "slowConsumerThreshold": 5},
    {"configDeleteAddresses": "FORCE", "autoCreated": True},
    {"configDeleteAddresses": "FORCE", "autoCreated": "AMQ229203: no such address"},
    {"configDeleteAddresses": "OFF", "autoCreated": False},
    {"configDeleteQueues": "FORCE", "retroactiveMessageCount": 10, "defaultPurgeOnNoConsumers": True},
    {"expiryDelay": "soon", "maxDeliveryAttempts": None, "redeliveryDelay": True},
]


@pytest.mark.parametrize("settings", FINE, ids=lambda value: str(value)[:40])
def test_what_breaks_nothing(settings: dict[str, Any]):
    assert [text for use in EVERYWHERE for text in warnings_of("Order", {**USUAL, **settings}, use)] == []
    assert warnings_of("Order", {}, ORDERED) == []


def test_without_an_address_for_them_messages_are_removed():
    [expiry] = warnings_of("Order", {"expiryDelay": 5}, CONSUMED)
    [attempts] = warnings_of("Order", {"maxDeliveryAttempts": 5}, CONSUMED)
    assert "is removed" in expiry
    assert "is removed" in attempts


def test_who_made_the_address_matters_where_it_may_be_deleted():
    assert asks_for_origin({"configDeleteAddresses": "FORCE"})
    assert not asks_for_origin({"configDeleteAddresses": "OFF"})
    assert not asks_for_origin(USUAL)


def test_an_address_is_used_as_its_queue_is():
    assert Use.of(Queue(name="L", address="E"), delayed=True) == CONSUMED
    assert Use.of(Queue(name="L", address="E", exclusive=True), delayed=True) == ORDERED
    assert Use.of(Queue(name="L", address="E", exclusive=True), delayed=False) == CONSUMED
    assert Use.of(Queue(name="L.dead", address="L.dead", anycast=True), delayed=True) == DEAD
