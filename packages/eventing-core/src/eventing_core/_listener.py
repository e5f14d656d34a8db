"""`EventListener` and ``@event_listener``: who reacts to an event, and how."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ForwardRef, Generic, TypeVar, get_args, get_origin

from eventing_core._event import EventDescriptor, describe_event
from eventing_core._marks import live_class
from eventing_core._names import check_name
from eventing_core._retry import Retry
from eventing_core.errors import DeclarationError

T = TypeVar("T")


class EventListener(ABC, Generic[T]):
    """Reacts to one type of event. Derive from it, with the event's class as type argument.

    A manager makes one instance, with constructor arguments from the application's container. With
    ``concurrency`` above 1, ``on`` runs on several threads at a time.
    """

    @abstractmethod
    def on(self, event: T) -> object:
        """React to an event; a plain method or ``async def``.

        Returning acknowledges the event. Raising leads to another attempt, and after the last one to
        the dead-letter queue. An event may arrive more than once: delivery is at least once.
        """


@dataclass(frozen=True, slots=True)
class EventListenerDescriptor:
    """What is known of a listener class.

    Attributes:
        event: the event that it listens to.
        name: unique among the listeners of its event.
        listener_type: the class.
        per_process: every process gets its own copy of each event; otherwise identical listeners compete.
        concurrency: runs of ``on`` at a time, in this process.
        prefetch: unsettled deliveries of this process at most, as `event_listener` tells.
        ordered: one event at a time in the whole cluster, in the broker's order.
        retry: None means the manager's default.
        timeout: seconds that ``on`` may take; None: as long as it likes.
    """

    event: EventDescriptor
    name: str
    listener_type: type[EventListener[Any]]
    per_process: bool = False
    concurrency: int = 1
    prefetch: int = 500
    ordered: bool = False
    retry: Retry | None = None
    timeout: float | None = None

    @property
    def is_async(self) -> bool:
        """Whether ``on`` is a coroutine function, under whatever decorators that tell what they wrap."""
        on = self.listener_type.on
        return inspect.iscoroutinefunction(on) or inspect.iscoroutinefunction(inspect.unwrap(on))

    @property
    def label(self) -> str:
        """``<listener> on <event>``, for logs and errors."""
        return f"{self.name} on {self.event.name}"


@dataclass(frozen=True, slots=True)
class _Mark:
    """One for each decorated class: its identity tells that class."""

    event_type: type[Any]
    name: str
    per_process: bool
    concurrency: int
    prefetch: int
    ordered: bool
    retry: Retry | None
    timeout: float | None


L = TypeVar("L", bound=EventListener[Any])

_MARK = "__eventing_listener__"
_declared: list[type[EventListener[Any]]] = []


def event_listener(  # noqa: PLR0913 (the settings of one declaration)
    event_type: type[Any],
    name: str = "",
    per_process: bool = False,  # noqa: FBT001, FBT002 (a fixed signature)
    *,
    concurrency: int = 1,
    prefetch: int = 500,
    ordered: bool = False,
    retry: Retry | None = None,
    timeout: float | None = None,
) -> Callable[[type[L]], type[L]]:
    """Declare an `EventListener`. Only records; a manager checks it at start.

    Args:
        event_type: the event class; the same as the listener's type argument.
        name: the listener's name on the broker; the class's name by default.
        per_process: False: listeners of one name compete in a cluster, each event is handled by one.
            True: every process (by its ``server_name``) gets its own copy.
        concurrency: runs of ``on`` at a time, in this process.
        prefetch: unsettled deliveries of this process at most, beside those that wait for a retry. Reached step by step
            from ``concurrency``. Where the provider can't tell its broker a number (`Capabilities.exact_window` is
            false, as over STOMP on Artemis), more may wait in this process, which the provider bounds in bytes.
        ordered: one at a time, exclusive across the cluster, retries in place. Needs ``concurrency=1``.
        retry: attempts and waits; the manager's default when None.
        timeout: seconds that ``on`` may take. An ``async def on`` is cancelled then, which is a failed attempt
            (`HandlerTimeoutError`). A plain one can't be ended: `EventManager.health` says that it is stuck, and where.
    """
    if isinstance(event_type, type) and issubclass(event_type, EventListener):
        msg = f"@event_listener needs its event: write @event_listener(<event class>) above {event_type.__name__!r}"
        raise DeclarationError(msg)

    def mark(cls: type[L]) -> type[L]:
        setattr(cls, _MARK, _Mark(event_type, name, per_process, concurrency, prefetch, ordered, retry, timeout))
        _declared.append(cls)
        return cls

    return mark


def declared_listeners() -> tuple[type[EventListener[Any]], ...]:
    """All listener classes declared in this process so far."""
    return tuple(live_class(cls, _MARK) for cls in _declared)


def describe_listener(cls: type[Any]) -> EventListenerDescriptor:
    """Check a listener class and describe it.

    Raises:
        DeclarationError: not decorated, no `EventListener`, another type argument than the
            decorator's, or a setting out of its range.
    """
    label = _name_of(cls) if isinstance(cls, type) else f"an object of type {type(cls).__name__}"
    if not (isinstance(cls, type) and issubclass(cls, EventListener)):
        msg = f"{label} is not an EventListener. Derive it from EventListener[<its event>]."
        raise DeclarationError(msg)
    mark: _Mark | None = vars(cls).get(_MARK)
    if mark is None:
        msg = f"{label} is not declared as a listener. Put @event_listener(<its event>) on it."
        raise DeclarationError(msg)
    if inspect.isabstract(cls):
        msg = f"{label} doesn't define {', '.join(sorted(cls.__abstractmethods__))}. Write def on(self, event)."
        raise DeclarationError(msg)
    event = describe_event(mark.event_type)
    argument = _event_argument(cls)
    if not _may_be(argument, mark.event_type):
        msg = (
            f"{label} listens to {_name_of(mark.event_type)} by its decorator and to {_name_of(argument)} by its base "
            f"class. Make them one: EventListener[{mark.event_type.__name__}]."
        )
        raise DeclarationError(msg)
    if inspect.isgeneratorfunction(cls.on) or inspect.isasyncgenfunction(cls.on):
        msg = f"{label}: its 'on' is a generator function, which would never run. Remove the yield."
        raise DeclarationError(msg)
    _check_on(label, cls)
    _check_types(label, mark)
    _check_settings(label, mark)
    name = check_name(f"the listener {label}", mark.name or cls.__name__, 'Choose another with name="...".')
    return EventListenerDescriptor(
        event, name, cls, mark.per_process, mark.concurrency, mark.prefetch, mark.ordered, mark.retry, mark.timeout
    )


def _check_on(label: str, cls: type[EventListener[Any]]) -> None:
    on = inspect.getattr_static(cls, "on")
    if not inspect.isfunction(on):  # something else to call: only calling it tells what it takes
        return
    try:
        # A decorator's own signature: what it wraps may get more from it.
        inspect.signature(on, follow_wrapped=False).bind(None, None)
    except TypeError:
        msg = f"{label}: its 'on' doesn't take the event. Write def on(self, event)."
        raise DeclarationError(msg) from None


def _check_types(label: str, mark: _Mark) -> None:
    wanted: tuple[tuple[str, object, type[Any], str], ...] = (
        ("name", mark.name, str, "a string"),
        ("per_process", mark.per_process, bool, "True or False"),
        ("concurrency", mark.concurrency, int, "a whole number"),
        ("prefetch", mark.prefetch, int, "a whole number"),
        ("ordered", mark.ordered, bool, "True or False"),
    )
    for setting, value, kind, what in wanted:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            msg = f"{label}: {setting} has to be {what}, and is of type {type(value).__name__}."
            raise DeclarationError(msg)
    if mark.retry is not None and not isinstance(mark.retry, Retry):
        kind_given = type(mark.retry).__name__
        msg = f"{label}: retry has to be a Retry, such as Retry(max_attempts=3), and is of type {kind_given}."
        raise DeclarationError(msg)


def _check_settings(label: str, mark: _Mark) -> None:
    timeout = mark.timeout
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (is_number and 0 < timeout < math.inf):
        msg = f"{label}: timeout has to be a number of seconds, more than 0, or None."
        raise DeclarationError(msg)
    if mark.concurrency < 1:
        msg = f"{label}: concurrency={mark.concurrency} must be at least 1."
        raise DeclarationError(msg)
    if mark.prefetch < mark.concurrency:
        msg = f"{label}: prefetch={mark.prefetch} must be at least its concurrency, {mark.concurrency}."
        raise DeclarationError(msg)
    if mark.ordered and mark.concurrency != 1:
        msg = f"{label}: ordered=True runs one event at a time. Remove concurrency={mark.concurrency}."
        raise DeclarationError(msg)


def _may_be(argument: object, event_type: type[Any]) -> bool:
    if isinstance(argument, ForwardRef):  # EventListener["Order"]
        return argument.__forward_arg__.rpartition(".")[2] == event_type.__name__
    return argument is None or argument is Any or argument is event_type


def _name_of(kind: object) -> str:
    if isinstance(kind, ForwardRef):
        return kind.__forward_arg__
    # A parametrised generic has the name of its origin; its repr says the rest.
    return f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) and not get_args(kind) else repr(kind)


def _event_argument(cls: type[Any]) -> object | None:
    """What ``T`` of `EventListener` stands for in ``cls``, through generic bases; None if it stays open."""

    def walk(kind: type[Any], arguments: dict[object, object]) -> object | None:
        for base in vars(kind).get("__orig_bases__", kind.__bases__):
            origin = get_origin(base) or base
            given = tuple(arguments.get(argument, argument) for argument in get_args(base))
            if origin is EventListener:
                return given[0] if given else None
            if isinstance(origin, type) and issubclass(origin, EventListener):
                parameters = getattr(origin, "__parameters__", ())
                return walk(origin, dict(zip(parameters, given, strict=False)))
        return None

    found = walk(cls, {})
    return None if isinstance(found, TypeVar) else found
