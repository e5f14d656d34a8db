"""What ``@event_listener`` says of a listener, and whether it can be so."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from types import UnionType
from typing import Any, ForwardRef, Union, get_args, get_origin

from eventing_core.declare._retry import Retry
from eventing_core.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """The settings of one declaration. Each decorated class has one of its own, whose identity tells that class."""

    event_type: Any
    name: str
    per_process: bool
    concurrency: int
    prefetch: int
    ordered: bool
    retry: Retry | None
    timeout: float | None


def refuse_second(listener: type[Any], first: ListenerSettings | None, second: ListenerSettings) -> None:
    """Refuse a second decorator on a class or function, unless there is no ``first``."""
    if first is None:
        return
    kinds = [*members(first.event_type), *members(second.event_type)]
    union = " | ".join(dict.fromkeys(getattr(kind, "__name__", repr(kind)) for kind in kinds))
    msg = (
        f"{name_of(listener)} has two @event_listener decorators. Use a single one that names all its events: "
        f"@event_listener({union})."
    )
    raise DeclarationError(msg)


def members(event_type: Any) -> tuple[Any, ...]:
    """The classes of a union; one class alone."""
    event_type = getattr(event_type, "__value__", event_type)  # of a ``type`` statement
    return get_args(event_type) if get_origin(event_type) in {Union, UnionType} else (event_type,)


def may_be(argument: object, kinds: tuple[type[Any], ...]) -> bool:
    """Whether the type argument of `EventListener` fits the events of the decorator."""
    if argument is None or argument is Any:
        return True
    if isinstance(argument, ForwardRef):  # EventListener["Order"]
        written = {part.strip().rpartition(".")[2] for part in argument.__forward_arg__.split("|")}
        return written == {kind.__name__ for kind in kinds}
    return set(members(argument)) == set(kinds)


def name_of(kind: object) -> str:
    """How errors call a class, or what is given in place of one."""
    if isinstance(kind, ForwardRef):
        return kind.__forward_arg__
    # A parametrised generic has the name of its origin; its repr says the rest.
    return f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) and not get_args(kind) else repr(kind)


def check_on(label: str, cls: type[Any]) -> None:
    """Refuse an ``on`` that doesn't take exactly the event."""
    on = inspect.getattr_static(cls, "on")
    if not inspect.isfunction(on):  # something else to call: only calling it tells what it takes
        return
    try:
        # A decorator's own signature: what it wraps may get more from it.
        inspect.signature(on, follow_wrapped=False).bind(None, None)
    except TypeError:
        msg = f"{label}: its 'on' doesn't take the event. Write def on(self, event)."
        raise DeclarationError(msg) from None


def check_types(label: str, settings: ListenerSettings) -> None:
    """Refuse settings of other types than declared: not everybody runs a type checker."""
    wanted: tuple[tuple[str, object, type[Any], str], ...] = (
        ("name", settings.name, str, "a string"),
        ("per_process", settings.per_process, bool, "True or False"),
        ("concurrency", settings.concurrency, int, "a whole number"),
        ("prefetch", settings.prefetch, int, "a whole number"),
        ("ordered", settings.ordered, bool, "True or False"),
    )
    for setting, value, kind, what in wanted:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            msg = f"{label}: {setting} must be {what}, not of type {type(value).__name__}."
            raise DeclarationError(msg)
    if settings.retry is not None and not isinstance(settings.retry, Retry):
        kind_given = type(settings.retry).__name__
        msg = f"{label}: retry must be a Retry, such as Retry(max_attempts=3), not of type {kind_given}."
        raise DeclarationError(msg)


def check_ranges(label: str, settings: ListenerSettings) -> None:
    """Refuse settings out of their range."""
    timeout = settings.timeout
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (is_number and 0 < timeout < math.inf):
        msg = f"{label}: timeout must be a number of seconds, more than 0, or None."
        raise DeclarationError(msg)
    if settings.concurrency < 1:
        msg = f"{label}: concurrency={settings.concurrency} must be at least 1."
        raise DeclarationError(msg)
    if settings.prefetch < settings.concurrency:
        msg = f"{label}: prefetch={settings.prefetch} must be at least its concurrency, {settings.concurrency}."
        raise DeclarationError(msg)
    if settings.ordered and settings.concurrency != 1:
        msg = f"{label}: ordered=True runs one event at a time. Remove concurrency={settings.concurrency}."
        raise DeclarationError(msg)
