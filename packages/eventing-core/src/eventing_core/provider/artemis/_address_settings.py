"""Address settings of the broker that break a promise, and that no queue can override. Pure.

Artemis user manual, "Address Settings". Those that a queue can override are in `_attributes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from eventing_core.provider._interface import CRASH_LIMIT
from eventing_core.provider.artemis._address import Queue

#: As ``getAddressSettingsAsJSON`` answers: what has its default may be left out.
Settings = Mapping[str, Any]


class Use(NamedTuple):
    """What an address is for.

    Attributes:
        kind: events are sent to it; a listener consumes from a queue of it; or dead letters are kept there.
        ordered: that listener gets its events in order, over a protocol for which the broker delays what a broken
            connection had.
    """

    kind: Literal["sent", "consumed", "dead"]
    ordered: bool = False

    @classmethod
    def of(cls, queue: Queue, *, delayed: bool) -> Use:
        """Of the address of a queue; ``delayed``: the broker delays what a broken connection had."""
        return cls("dead" if queue.anycast else "consumed", queue.exclusive and delayed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One address setting.

    Attributes:
        element: in ``broker.xml``.
        value: where it breaks a promise, its value; None where it doesn't.
        effect: what would happen.
        right: what to set it to.
    """

    element: str
    value: Callable[[Settings, Use], object]
    effect: Callable[[Settings], str]
    right: str


def warnings_of(address: str, settings: Settings, use: Use) -> list[str]:
    """A warning for each setting that breaks a promise."""
    found = [(rule, rule.value(settings, use)) for rule in _RULES]
    return [
        f"address setting {rule.element} = {value} of {address!r}: {rule.effect(settings)}. In broker.xml, in the "
        f"<address-setting> that matches {address!r}: <{rule.element}>{rule.right}</{rule.element}>"
        for rule, value in found
        if value is not None
    ]


def _number(settings: Settings, key: str, default: int = -1) -> int:
    value = settings.get(key, default)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _drops(settings: Settings, _: Use) -> object:
    return "DROP" if settings.get("addressFullMessagePolicy") == "DROP" else None


def _drops_pages(settings: Settings, _: Use) -> object:
    limited = max(_number(settings, "pageLimitBytes"), _number(settings, "pageLimitMessages")) >= 0
    pages = settings.get("addressFullMessagePolicy", "PAGE") == "PAGE"
    return "DROP" if pages and limited and settings.get("pageFullMessagePolicy") == "DROP" else None


def _expiry(settings: Settings, _: Use) -> object:
    delay = _number(settings, "expiryDelay")
    return delay if delay >= 0 and not settings.get("noExpiry") else None


def _expiry_bound(key: str) -> Callable[[Settings, Use], object]:
    def value(settings: Settings, _: Use) -> object:
        # Where it is set, `expiry-delay` is in place of both.
        bound = -1 if _number(settings, "expiryDelay") >= 0 or settings.get("noExpiry") else _number(settings, key)
        return bound if bound >= 0 else None

    return value


def _expires(settings: Settings, key: str) -> str:
    return f"a message that is not consumed within {_number(settings, key)} ms {_goes_to(settings, 'expiryAddress')}"


def _goes_to(settings: Settings, key: str) -> str:
    address = settings.get(key)
    return f"is moved to {address!r}" if address else "is removed"


def _never_expires(settings: Settings, _: Use) -> object:
    return "true" if settings.get("noExpiry") else None


def _attempts(settings: Settings, use: Use) -> object:
    limit = _number(settings, "maxDeliveryAttempts", 10)
    return limit if use.kind != "sent" and 0 < limit <= CRASH_LIMIT else None


def _redelivery(settings: Settings, use: Use) -> object:
    delay = _number(settings, "redeliveryDelay", 0)
    return delay if use.ordered and delay > 0 else None


def _slow_consumer(settings: Settings, use: Use) -> object:
    killed = settings.get("slowConsumerPolicy") == "KILL" and _number(settings, "slowConsumerThreshold") > 0
    return "KILL" if use.kind == "consumed" and killed else None


def drops_when_full(settings: Settings) -> bool:
    """Whether the broker confirms messages and drops them, once the address is full."""
    use = Use("sent")
    return _drops(settings, use) is not None or _drops_pages(settings, use) is not None


def asks_for_origin(settings: Settings) -> bool:
    """Whether it matters who made the address: `warnings_of` then takes its ``autoCreated`` among the settings."""
    return settings.get("configDeleteAddresses") == "FORCE"


def _deletes(settings: Settings, _: Use) -> object:
    return "FORCE" if asks_for_origin(settings) and settings.get("autoCreated") is False else None


_RULES = (
    _Rule(
        element="address-full-policy",
        value=_drops,
        effect=lambda _: "once the address, or the broker, is full, it confirms messages and drops them",
        right="PAGE",
    ),
    _Rule(
        element="page-full-policy",
        value=_drops_pages,
        effect=lambda _: "once the address has its page-limit, the broker confirms messages and drops them",
        right="FAIL",
    ),
    _Rule(
        element="expiry-delay",
        value=_expiry,
        effect=lambda settings: _expires(settings, "expiryDelay"),
        right="-1",
    ),
    _Rule(
        element="max-expiry-delay",
        value=_expiry_bound("maxExpiryDelay"),
        effect=lambda settings: _expires(settings, "maxExpiryDelay"),
        right="-1",
    ),
    _Rule(
        element="min-expiry-delay",
        value=_expiry_bound("minExpiryDelay"),
        effect=lambda settings: (
            "messages with an earlier expiry, and without max-expiry-delay also those with none, expire after "
            f"{_number(settings, 'minExpiryDelay')} ms, and then each of them {_goes_to(settings, 'expiryAddress')}"
        ),
        right="-1",
    ),
    _Rule(
        element="no-expiry",
        value=_never_expires,
        effect=lambda _: "the broker removes the expiry that senders set, so that expired messages are handled",
        right="false",
    ),
    _Rule(
        element="max-delivery-attempts",
        value=_attempts,
        effect=lambda settings: (
            f"a message that was delivered {_number(settings, 'maxDeliveryAttempts')} times and not settled, "
            f"including by connections that broke, {_goes_to(settings, 'deadLetterAddress')} by the broker"
        ),
        right=str(CRASH_LIMIT + 2),
    ),
    _Rule(
        element="redelivery-delay",
        value=_redelivery,
        effect=lambda settings: (
            f"messages of a broken connection are redelivered only after {_number(settings, 'redeliveryDelay')} ms, "
            "and later events overtake them: the order is lost"
        ),
        right="0",
    ),
    _Rule(
        element="slow-consumer-policy",
        value=_slow_consumer,
        effect=lambda settings: (
            "the broker closes the connection of a listener that handles fewer than "
            f"{_number(settings, 'slowConsumerThreshold')} "
            f"({settings.get('slowConsumerThresholdMeasurementUnit', 'MESSAGES_PER_SECOND')}), or that pauses, and "
            "counts a delivery attempt for all its unsettled messages"
        ),
        right="NOTIFY",
    ),
    _Rule(
        element="config-delete-addresses",
        value=_deletes,
        effect=lambda _: (
            "this address was created manually, and unless broker.xml contains it, the broker deletes it with all its "
            "queues and their messages whenever it reloads that file"
        ),
        right="OFF",
    ),
)
