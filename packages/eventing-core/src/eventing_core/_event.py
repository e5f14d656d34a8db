"""``@event``: what marks a dataclass or pydantic model as an event."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from eventing_core._names import check_name
from eventing_core.errors import DeclarationError

T = TypeVar("T")

_MARK = "__eventing_event__"


class _Mark(NamedTuple):
    name: str
    durable: bool


@dataclasses.dataclass(frozen=True, slots=True)
class EventDescriptor:
    """What is known of an event class.

    Attributes:
        name: the event's name, which is its address on the broker.
        durable: queue and message survive a restart of the broker.
        event_type: the class.
    """

    name: str
    durable: bool
    event_type: type[Any]


def event(name: str = "", durable: bool = False) -> Callable[[type[T]], type[T]]:  # noqa: FBT001, FBT002 (a fixed signature)
    """Mark a dataclass or pydantic model as an event.

    Works above and below ``@dataclass``, with ``slots``, ``frozen``, ``kw_only`` and inheritance. A
    subclass of an event is an event only if it is decorated itself. Only records: nothing is checked
    until a manager meets the class.

    Args:
        name: the address on the broker; the class's name by default.
        durable: queue and message survive a restart of the broker.
    """
    if not isinstance(name, str):
        if isinstance(name, type):
            msg = f"@event needs parentheses: write @event() above {name.__name__!r}"
        else:
            msg = f"@event: the name has to be a string, and is of type {type(name).__name__}"
        raise DeclarationError(msg)
    if not isinstance(durable, bool):
        msg = f"@event: durable has to be True or False, and is of type {type(durable).__name__}"
        raise DeclarationError(msg)

    def mark(cls: type[T]) -> type[T]:
        setattr(cls, _MARK, _Mark(name, durable))
        return cls

    return mark


def is_event(value: object) -> bool:
    """Whether it is an object of a class that is marked as an event."""
    return vars(type(value)).get(_MARK) is not None


def describe_event(cls: type[Any]) -> EventDescriptor:
    """Check an event class and describe it.

    Raises:
        DeclarationError: not decorated itself, or neither a dataclass nor a pydantic model.
    """
    if not isinstance(cls, type):
        msg = f"an event class is needed, not an object of type {type(cls).__name__}."
        raise DeclarationError(msg)
    if issubclass(cls, type):
        msg = "a class was given where an event is needed. Send an object of it, as in send_event(OrderPlaced(...))."
        raise DeclarationError(msg)
    label = f"{cls.__module__}.{cls.__qualname__}"
    mark = vars(cls).get(_MARK)
    if mark is None:
        if getattr(cls, _MARK, None) is not None:
            msg = (
                f"{label} inherits from an event class and is not marked itself; sent as its base class, "
                "it would lose its own fields. Put @event() on it, too."
            )
        else:
            msg = f"{label} is not an event class. Put @event() on it, above a dataclass or a pydantic model."
        raise DeclarationError(msg)
    if not (issubclass(cls, BaseModel) or "__dataclass_fields__" in vars(cls)):
        msg = f"{label} is neither a dataclass nor a pydantic model. Put @dataclass on it, or derive it from BaseModel."
        raise DeclarationError(msg)
    name = check_name(f"the event {label}", mark.name or cls.__name__, 'Choose another with @event("name").')
    return EventDescriptor(name, mark.durable, cls)
