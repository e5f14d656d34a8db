"""``@event``: what marks a dataclass or pydantic model as an event."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from types import NoneType
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel

from eventing_core.declare._names import check_name
from eventing_core.errors import DeclarationError

T = TypeVar("T")

_MARK = "__eventing_event__"


#: The order of declarations: of two classes of one place, the one with the higher number is the newer.
_numbers = itertools.count(1)


class _Mark(NamedTuple):
    name: str
    durable: bool
    number: int


class DataclassLike(Protocol):
    """An instance of a dataclass. What is asked of ``__repr__`` keeps type checkers from taking the class itself."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __repr__(self) -> str: ...


#: What can be sent: an instance of a dataclass, or of a pydantic model. Type checkers refuse everything else, such as
#: a dictionary, a list or a class. Whether the class is marked by `event` is checked at run time.
EventLike: TypeAlias = DataclassLike | BaseModel


@dataclasses.dataclass(frozen=True, slots=True)
class EventDescriptor:
    """The properties of an event class.

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
    subclass of an event is an event only if it has the decorator itself. The decorator only registers the class; a
    manager checks it when it first uses the class.

    Args:
        name: the address on the broker; the class's name by default.
        durable: queue and message survive a restart of the broker.
    """
    if not isinstance(name, str):
        if isinstance(name, type):
            msg = f"@event needs parentheses: write @event() above {name.__name__!r}"
        else:
            msg = f"@event: the name must be a string, not of type {type(name).__name__}"
        raise DeclarationError(msg)
    if not isinstance(durable, bool):
        msg = f"@event: durable must be True or False, not of type {type(durable).__name__}"
        raise DeclarationError(msg)

    def mark(cls: type[T]) -> type[T]:
        setattr(cls, _MARK, _Mark(name, durable, next(_numbers)))
        return cls

    return mark


def event_name(cls: Any) -> str:
    """The name of an event class, also of one that is declared wrongly."""
    mark = vars(cls).get(_MARK) if isinstance(cls, type) else None
    return (mark.name if mark is not None else "") or str(getattr(cls, "__name__", cls))


def is_redeclared(old: type[Any], new: type[Any]) -> bool:
    """Whether ``new`` is a newer declaration of ``old``: by a reloaded module, or a notebook's cell that ran again."""
    same_place = (old.__module__, old.__qualname__) == (new.__module__, new.__qualname__)
    first: _Mark | None = vars(old).get(_MARK)
    second: _Mark | None = vars(new).get(_MARK)
    return same_place and first is not None and second is not None and first.number < second.number


def is_event(value: object) -> bool:
    """Whether it is an object of a class that is marked as an event."""
    return vars(type(value)).get(_MARK) is not None


def describe_event(cls: type[Any]) -> EventDescriptor:
    """Check an event class and describe it.

    Raises:
        DeclarationError: not decorated itself, or neither a dataclass nor a pydantic model.
    """
    if not isinstance(cls, type):
        kind = type(cls).__name__
        msg = f"an object of type {kind} was given where an event class is needed. Name a class with @event()."
        raise DeclarationError(msg)
    label = f"{cls.__module__}.{cls.__qualname__}"
    mark = vars(cls).get(_MARK)
    if mark is None:
        if getattr(cls, _MARK, None) is not None:
            msg = (
                f"{label} inherits from an event class and has no decorator itself; sent as its base "
                "class, it would lose its own fields. Put @event() on it, too."
            )
        elif cls is NoneType:
            msg = "None is not an event class. Remove it from the union."
        elif cls.__module__ == "builtins":
            msg = f"{cls.__name__} is not an event class. Use a dataclass or a pydantic model with @event() instead."
        else:
            msg = f"{label} is not an event class. Put @event() on it, above a dataclass or a pydantic model."
        raise DeclarationError(msg)
    if not (issubclass(cls, BaseModel) or "__dataclass_fields__" in vars(cls)):
        msg = f"{label} is neither a dataclass nor a pydantic model. Put @dataclass on it, or derive it from BaseModel."
        raise DeclarationError(msg)
    name = check_name(f"the event {label}", mark.name or cls.__name__, 'Choose another with @event("name").')
    return EventDescriptor(name, mark.durable, cls)
