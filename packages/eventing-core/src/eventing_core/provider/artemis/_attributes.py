"""What a queue has to be, attribute by attribute, and how one on the broker differs from that. Pure.

An attribute that `createQueue` leaves out comes from the address setting that matches the queue's address (Artemis user
manual, "Address Settings", ``default-*`` and ``auto-delete-*``). So each is named here, with what a queue has to have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from eventing_core.provider.artemis._address import Queue

#: Values of a queue by the names of its attributes, as text: ``true``, ``-1``; empty where there is none.
Found = Mapping[str, str]


class Rule(Enum):
    """What becomes of a queue on which an attribute differs and can't be changed."""

    REFUSE = "the queue is not used"
    WARN = "a warning"


def _never(_: Queue) -> bool:
    return False


def _always(_: Queue) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute of a queue.

    Attributes:
        name: in ``createQueue`` and ``updateQueue``.
        column: in ``listQueues``; empty: that doesn't tell it.
        setting: the address setting that supplies it, where the queue doesn't name it; empty: none does.
        wanted: its value on our queues.
        effect: what the value that was found does; `str.format` fills it in.
        rule: what becomes of a queue on which it can't be changed.
        can_change: ``updateQueue`` may set it to what is wanted.
        matters: whether it is compared.
        named: ``createQueue`` is given it.
    """

    name: str
    column: str
    setting: str
    wanted: Callable[[Queue], object]
    effect: str
    rule: Rule = Rule.WARN
    can_change: Callable[[Queue], bool] = _always
    matters: Callable[[Queue], bool] = _always
    named: bool = True

    def differs(self, queue: Queue, value: str) -> bool:
        """Whether that isn't what the queue has to have."""
        return self.matters(queue) and value != _text(self.wanted(queue))


def _auto_delete_delay(queue: Queue) -> int:
    return round((queue.expiry or 0.0) * 1000)


def _is_removed(queue: Queue) -> bool:
    return queue.expiry is not None


#: All of them, in the order in which a refusal names one.
ATTRIBUTES = (
    Attribute(
        name="routing-type",
        column="routingType",
        setting="default-queue-routing-type",
        wanted=lambda queue: queue.routing,
        effect="its routing type is {value} instead of {wanted}",
        rule=Rule.REFUSE,
        can_change=_never,
    ),
    Attribute(
        name="filter-string",
        column="filter",
        setting="",
        wanted=lambda _: "",
        effect="it has the filter {value!r}",
        rule=Rule.REFUSE,
        can_change=_never,
        named=False,
    ),
    Attribute(
        name="last-value",
        column="lastValue",
        setting="default-last-value-queue",
        wanted=lambda _: False,
        effect="it keeps only the last message of a key",
        rule=Rule.REFUSE,
        can_change=_never,
    ),
    Attribute(
        # By itself it makes such a queue, of which `lastValue` says false.
        name="last-value-key",
        column="lastValueKey",
        setting="default-last-value-key",
        wanted=lambda _: "",
        effect="it keeps only the last message of each {value!r}",
        rule=Rule.REFUSE,
        can_change=_never,
    ),
    Attribute(
        name="ring-size",
        column="ringSize",
        setting="default-ring-size",
        wanted=lambda _: -1,
        effect="it keeps only its newest {value} messages",
        rule=Rule.REFUSE,
    ),
    Attribute(
        name="purge-on-no-consumers",
        column="purgeOnNoConsumers",
        setting="default-purge-on-no-consumers",
        wanted=lambda _: False,
        effect="it is emptied whenever it has no consumer",
        rule=Rule.REFUSE,
    ),
    Attribute(
        name="non-destructive",
        column="",
        setting="default-non-destructive",
        wanted=lambda _: False,
        effect="it keeps acknowledged messages and delivers them again and again",
        rule=Rule.REFUSE,
    ),
    Attribute(
        name="enabled",
        column="enabled",
        setting="",
        wanted=lambda _: True,
        effect="it is disabled, and gets no messages",
        rule=Rule.REFUSE,
    ),
    Attribute(
        # One consumer at most makes a queue per-process: see `shares_name`.
        name="max-consumers",
        column="maxConsumers",
        setting="default-max-consumers",
        wanted=lambda queue: 1 if queue.single else -1,
        effect="the number of its consumers is limited to {value} instead of {wanted} (-1: no limit)",
    ),
    Attribute(
        name="exclusive",
        column="exclusive",
        setting="default-exclusive-queue",
        wanted=lambda queue: queue.exclusive,
        effect="one consumer gets everything: {value} instead of {wanted}",
        # For a listener that another process has declared as ordered it has to stay.
        can_change=lambda queue: queue.exclusive,
    ),
    Attribute(
        name="consumers-before-dispatch",
        column="consumersBeforeDispatch",
        setting="default-consumers-before-dispatch",
        wanted=lambda _: 0,
        effect="it delivers nothing before it has {value} consumers",
    ),
    Attribute(
        name="delay-before-dispatch",
        column="delayBeforeDispatch",
        setting="default-delay-before-dispatch",
        wanted=lambda _: -1,
        effect="it delivers nothing for {value} ms after its first consumer has connected",
    ),
    Attribute(
        name="group-rebalance",
        column="groupRebalance",
        setting="default-group-rebalance",
        wanted=lambda _: False,
        effect="groups move to other consumers while their messages are unsettled",
    ),
    Attribute(
        name="group-rebalance-pause-dispatch",
        column="groupRebalancePauseDispatch",
        setting="default-group-rebalance-pause-dispatch",
        wanted=lambda _: False,
        effect="it pauses whenever a consumer comes or goes",
    ),
    Attribute(
        name="group-buckets",
        column="groupBuckets",
        setting="default-group-buckets",
        wanted=lambda _: -1,
        effect="groups share {value} buckets",
    ),
    Attribute(
        name="group-first-key",
        column="groupFirstKey",
        setting="default-group-first-key",
        wanted=lambda _: "",
        effect="the first message of a group is marked with {value!r}",
    ),
    Attribute(
        name="durable",
        column="durable",
        setting="",
        wanted=lambda queue: queue.durable,
        effect="it survives a restart of the broker: {value} instead of {wanted}",
        can_change=_never,
    ),
    Attribute(
        name="auto-delete",
        column="autoDelete",
        setting="auto-delete-created-queues",
        wanted=_is_removed,
        effect="the broker removes it while it has no consumer: {value} instead of {wanted}",
        can_change=_never,
    ),
    Attribute(
        name="auto-delete-delay",
        column="",
        setting="auto-delete-queues-delay",
        wanted=_auto_delete_delay,
        effect="the broker removes it after {value} ms without a consumer instead of {wanted}",
        can_change=_never,
        matters=_is_removed,
    ),
    Attribute(
        name="auto-delete-message-count",
        column="",
        setting="auto-delete-queues-message-count",
        wanted=lambda queue: -1 if _is_removed(queue) else 0,
        effect="the broker removes it only with {value} messages at most (-1: any number) instead of {wanted}",
        can_change=_never,
        matters=_is_removed,
    ),
    Attribute(
        name="paused",
        column="paused",
        setting="",
        wanted=lambda _: False,
        effect="it is paused, and delivers nothing until it is resumed",
        can_change=_never,
        named=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """An attribute on which a queue differs from what it has to be.

    Attributes:
        attribute: which.
        value: that was found.
        wanted: what it has to be.
    """

    attribute: Attribute
    value: str
    wanted: str

    @property
    def effect(self) -> str:
        """What the value that was found does."""
        return self.attribute.effect.format(value=self.value, wanted=self.wanted)

    def __str__(self) -> str:
        return f"{self.attribute.name} {self.value or 'none'} instead of {self.wanted or 'none'}"


def configuration(queue: Queue) -> str:
    """For the broker's operation ``createQueue`` (Artemis user manual, "Management", QueueConfiguration)."""
    return json.dumps(
        {
            "name": queue.name,
            "address": queue.address,
            "auto-create-address": True,
            **{attribute.name: attribute.wanted(queue) for attribute in ATTRIBUTES if attribute.named},
        }
    )


def of_row(row: Mapping[str, Any]) -> dict[str, str]:
    """What a row of ``listQueues`` tells; ``id`` is another one for a queue that was made anew."""
    found = {each.name: _text(row[each.column]) for each in ATTRIBUTES if each.column and each.column in row}
    return {**found, "id": _text(row.get("id"))}


def of_configuration(values: Mapping[str, Any]) -> dict[str, str]:
    """What ``createQueue`` and ``updateQueue`` answer: a whole configuration, without what is empty."""
    return {each.name: _text(values.get(each.name)) for each in ATTRIBUTES if each.named or each.name in values}


def of_values(values: Mapping[str, object]) -> dict[str, str]:
    """What was set."""
    return {name: _text(value) for name, value in values.items()}


def shares_name(queue: Queue, found: Found, consumers: int) -> bool:
    """Whether a queue is per-process for one listener, and shared for another one."""
    limit = found.get("max-consumers")
    if limit is None:
        return False
    return (limit == "1" and not queue.single) or (queue.single and limit != "1" and consumers > 0)


def differences(queue: Queue, found: Found) -> list[Difference]:
    """Where a queue isn't what it has to be."""
    return [
        Difference(each, found[each.name], _text(each.wanted(queue)))
        for each in ATTRIBUTES
        if each.name in found and each.differs(queue, found[each.name])
        # Each last-value queue has a key.
        if each.name != "last-value-key" or found.get("last-value") != "true"
    ]


def changes(queue: Queue, found: Found) -> dict[str, object]:
    """For ``updateQueue``: what differs, or isn't known, and can be changed. Empty where there is nothing to do."""
    return {
        each.name: each.wanted(queue)
        for each in ATTRIBUTES
        if each.can_change(queue) and (each.name not in found or each.differs(queue, found[each.name]))
    }


def is_refused(queue: Queue, difference: Difference) -> bool:
    """Whether a queue with that difference can't be used."""
    ordered = difference.attribute.name == "exclusive" and queue.exclusive
    return ordered or difference.attribute.rule is Rule.REFUSE


def _text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
