"""`EventListener` and ``@event_listener``: who reacts to an event, and how."""

from __future__ import annotations

import inspect
from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Generic, Protocol, TypeVar, cast, get_args, get_origin, overload

from eventing_core.declare._declarations import Declarations, Effective
from eventing_core.declare._event import EventDescriptor, describe_event, event_name
from eventing_core.declare._functions import check_function
from eventing_core.declare._listener_settings import (
    ListenerSettings,
    check_on,
    check_ranges,
    check_types,
    may_be,
    members,
    name_of,
    refuse_second,
)
from eventing_core.declare._names import check_name
from eventing_core.declare._retry import Retry
from eventing_core.errors import DeclarationError

T = TypeVar("T")


class EventListener(ABC, Generic[T]):
    """Handles events of one type, or of several. Derive from it with the class, or ``A | B``, as type argument.

    A manager creates one instance, with constructor arguments from the application's container. With a
    ``concurrency`` above 1, ``on`` runs on several threads at the same time.
    """

    @abstractmethod
    def on(self, event: T) -> object:
        """Handle an event; a plain method or ``async def``.

        If it returns, the event is acknowledged. If it raises, another attempt follows; after the last one the event
        is dead-lettered. Delivery is at-least-once: an event may arrive more than once, so ``on`` must be idempotent.
        """


@dataclass(frozen=True, slots=True)
class EventListenerDescriptor:
    """The properties of a listener and one of its events. Each such pair has a queue.

    Attributes:
        event: the event that the queue is for.
        name: the listener's name, unique among the listeners of its event.
        listener_type: the class; for a function, a class that was created for it.
        per_process: every process gets its own copy of each event; otherwise listeners with the same name share them.
        concurrency: maximum number of concurrent runs of ``on``, in this process.
        prefetch: maximum number of unsettled deliveries in this process; see `event_listener`.
        ordered: one event at a time in the whole cluster, in the broker's order.
        retry: the retry policy; None means the manager's default.
        timeout: time limit of ``on`` in seconds; None means no limit.
        events: all events of the listener, in the order of the declaration.
        function: the function that is the listener; None for a class.
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
    events: tuple[EventDescriptor, ...] = ()
    function: Callable[[Any], object] | None = None

    def __post_init__(self) -> None:
        if not self.events:
            object.__setattr__(self, "events", (self.event,))

    @property
    def group(self) -> str:
        """The consumer group, which shares the queue: ``{name}``, or with several events ``{name}.{event}``."""
        return self.name if len(self.events) == 1 else f"{self.name}.{self.event.name}"

    @property
    def is_async(self) -> bool:
        """Whether ``on`` is a coroutine function, also if it is wrapped by decorators that set ``__wrapped__``."""
        on = self.listener_type.on
        return inspect.iscoroutinefunction(on) or inspect.iscoroutinefunction(inspect.unwrap(on))

    @property
    def label(self) -> str:
        """``<listener> on <event>``, for logs and errors."""
        return f"{self.name} on {self.event.name}"


E = TypeVar("E")
E_contra = TypeVar("E_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
L = TypeVar("L", bound=EventListener[Any])

_MARK = "__eventing_listener__"


def _keys(cls: type[EventListener[Any]]) -> frozenset[Hashable]:
    """The queues of a declared listener, also of one that is declared wrongly."""
    mark: ListenerSettings = vars(cls)[_MARK]
    return frozenset((mark.name or cls.__name__, event_name(kind)) for kind in members(mark.event_type))


_declarations: Declarations[EventListener[Any]] = Declarations(_MARK, _keys)


class ListenerFunction(Protocol[E_contra, R_co]):
    """A function with `event_listener`; it can still be called like a plain function."""

    __name__: str
    __eventing_listener__: type[EventListener[Any]]

    def __call__(self, event: E_contra, /) -> R_co:
        """Call the function."""
        ...


class _Declare(Protocol[E]):
    """The decorator for one event."""

    @overload
    def __call__(self, listener: type[L], /) -> type[L]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, listener: Callable[[E], R], /) -> ListenerFunction[E, R]: ...


class _DeclareAny(Protocol):
    """The decorator for several events, whose types checkers don't pass on."""

    @overload
    def __call__(self, listener: type[L], /) -> type[L]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, listener: Callable[[E], R], /) -> ListenerFunction[E, R]: ...


@overload
def event_listener(  # type: ignore[overload-overlap]
    event_type: type[E],
    name: str = "",
    per_process: bool = False,  # noqa: FBT001, FBT002 (a fixed signature)
    *,
    concurrency: int = 1,
    prefetch: int = 500,
    ordered: bool = False,
    retry: Retry | None = None,
    timeout: float | None = None,
) -> _Declare[E]: ...


@overload
def event_listener(
    event_type: UnionType | type[Any],
    name: str = "",
    per_process: bool = False,  # noqa: FBT001, FBT002 (a fixed signature)
    *,
    concurrency: int = 1,
    prefetch: int = 500,
    ordered: bool = False,
    retry: Retry | None = None,
    timeout: float | None = None,
) -> _DeclareAny: ...


def event_listener(  # noqa: PLR0913 (the settings of one declaration)
    event_type: Any,
    name: str = "",
    per_process: bool = False,  # noqa: FBT001, FBT002 (a fixed signature)
    *,
    concurrency: int = 1,
    prefetch: int = 500,
    ordered: bool = False,
    retry: Retry | None = None,
    timeout: float | None = None,
) -> Any:
    """Declare a listener: a class derived from `EventListener`, or a plain or ``async`` function that takes the event.

    The decorator only registers the listener; a manager checks the settings at start. It returns the class or function
    unchanged. Use functions for listeners without dependencies: they are not created by the container.

    With ``A | B`` one listener gets several events. It has one instance, one set of settings, and a queue for each
    event, named ``{listener}.{event}``. ``concurrency`` limits the runs over all queues together, which take turns.
    ``ordered`` applies to each event separately; there is no order between different events.

    Args:
        event_type: the event class, or several: ``A | B``; the same as the listener's type argument.
        name: the listener's name on the broker; the name of the class or function by default.
        per_process: if False, processes with a listener of this name share its events, and one of them handles each
            event. If True, every process (identified by its ``server_name``) gets its own copy of each event.
        concurrency: maximum number of concurrent runs of ``on``, in this process. With the default 1 they run one after
            the other, regardless of the number of ``workers``.
        prefetch: maximum number of unsettled deliveries in this process, for each queue, in addition to those that wait
            for a retry. The number grows from ``concurrency`` up to this limit. If the provider can't set an exact
            number on its broker (`Capabilities.exact_window` is false, for example over STOMP on Artemis), more may
            wait in this process, limited by the provider in bytes.
        ordered: handle one event at a time, exclusively in the whole cluster, and retry in place. Requires
            ``concurrency=1``.
        retry: attempts and waits; None means the manager's default.
        timeout: time limit of ``on`` in seconds. After that, an ``async def on`` is cancelled, which is a failed
            attempt (`HandlerTimeoutError`). A plain ``on`` can't be interrupted: `EventManager.health` reports it as
            stuck, with its stack.

    Raises:
        DeclarationError: raised by the decorator if no event is named, if the class or function already has this
            decorator, or if the decorated object is not a listener class or a function that takes exactly the event.
    """
    if (isinstance(event_type, type) and issubclass(event_type, EventListener)) or inspect.isroutine(event_type):
        msg = f"@event_listener needs its event: write @event_listener(<event class>) above {event_type.__name__!r}"
        raise DeclarationError(msg)
    if isinstance(name, type) or isinstance(event_type, tuple | list | set | frozenset):
        kinds = (event_type, name) if isinstance(name, type) else tuple(cast("tuple[Any, ...]", event_type))
        names = " | ".join(getattr(kind, "__name__", "...") for kind in kinds)
        msg = f"@event_listener takes one event class, or a union of several: write @event_listener({names})"
        raise DeclarationError(msg)
    mark = ListenerSettings(event_type, name, per_process, concurrency, prefetch, ordered, retry, timeout)

    def declare(listener: Any) -> Any:
        if isinstance(listener, type):  # whether it derives from EventListener is checked with the settings
            refuse_second(listener, vars(listener).get(_MARK), mark)
            setattr(listener, _MARK, mark)
            _declarations.add(listener)
        else:
            _declarations.add(_class_for(check_function(listener), mark))
        return listener

    return declare


def _class_for(function: Callable[[Any], object], mark: ListenerSettings) -> type[EventListener[Any]]:
    """A listener class whose ``on`` is the function: calling it costs no more than the function."""
    declared = declared_class(function)
    if declared is not None:
        refuse_second(declared, vars(declared)[_MARK], mark)
    places = {"__module__": function.__module__, "__qualname__": function.__qualname__, "__doc__": function.__doc__}
    members = {**places, "on": staticmethod(function), _MARK: mark}
    cls = cast("type[EventListener[Any]]", ABCMeta(function.__name__, (EventListener,), members))
    setattr(function, _MARK, cls)
    return cls


def declared_class(listener: object) -> type[EventListener[Any]] | None:
    """The class that was made for a decorated function; None for everything else."""
    cls = vars(listener).get(_MARK) if inspect.isfunction(listener) else None
    # A wrapper has all attributes of what it wraps.
    return cls if cls is not None and _function_of(cls) is listener else None


def is_declared(cls: type[Any]) -> bool:
    """Whether that class itself has the decorator."""
    return _MARK in vars(cls)


def _function_of(cls: type[Any]) -> Callable[[Any], object] | None:
    on = vars(cls).get("on")
    function = on.__func__ if isinstance(on, staticmethod) else None
    return function if function is not None and vars(function).get(_MARK) is cls else None


def declared_listeners() -> tuple[type[EventListener[Any]], ...]:
    """All listener classes declared in this process so far; for a function, the class that was created for it.

    After a module is reloaded, or a notebook cell runs again, the new classes replace the old ones.
    """
    return _declarations.effective().classes


def effective_listeners() -> Effective[EventListener[Any]]:
    """The same, and which of them are in doubt."""
    return _declarations.effective()


def describe_listener(cls: type[Any]) -> EventListenerDescriptor:
    """Check the class of a listener of one event, and describe it.

    Raises:
        DeclarationError: as `describe_listeners`, or it has several events.
    """
    found = describe_listeners(cls)
    if len(found) != 1:
        msg = f"{name_of(cls)} listens to {len(found)} events, where one is needed."
        raise DeclarationError(msg)
    return found[0]


def describe_listeners(cls: type[Any]) -> tuple[EventListenerDescriptor, ...]:
    """Check a listener class, and describe it with each of its events.

    Raises:
        DeclarationError: not decorated, no `EventListener`, another type argument than the
            decorator's, or a setting out of its range.
    """
    label = name_of(cls) if isinstance(cls, type) else f"an object of type {type(cls).__name__}"
    if not (isinstance(cls, type) and issubclass(cls, EventListener)):
        msg = f"{label} is not an EventListener. Derive it from EventListener[<its event>]."
        raise DeclarationError(msg)
    mark: ListenerSettings | None = vars(cls).get(_MARK)
    if mark is None:
        msg = f"{label} is not declared as a listener. Put @event_listener(<its event>) on it."
        raise DeclarationError(msg)
    if inspect.isabstract(cls):
        msg = f"{label} doesn't define {', '.join(sorted(cls.__abstractmethods__))}. Write def on(self, event)."
        raise DeclarationError(msg)
    kinds = members(mark.event_type)
    events = tuple(_event_of(kind, label) for kind in kinds)
    argument = _event_argument(cls)
    if not may_be(argument, kinds):
        names = " | ".join(kind.__name__ for kind in kinds)
        msg = (
            f"{label} listens to {' and '.join(map(name_of, kinds))} by its decorator and to {name_of(argument)} by "
            f"its base class. Write EventListener[{names}] as its base class."
        )
        raise DeclarationError(msg)
    if inspect.isgeneratorfunction(cls.on) or inspect.isasyncgenfunction(cls.on):
        msg = f"{label}: its 'on' is a generator function, which would never run. Remove the yield."
        raise DeclarationError(msg)
    check_on(label, cls)
    check_types(label, mark)
    check_ranges(label, mark)
    if not mark.name and cls.__name__ == "<lambda>":
        msg = f'{label}: a lambda has no name for its queue. Give it one with @event_listener(..., name="...").'
        raise DeclarationError(msg)
    name = check_name(f"the listener {label}", mark.name or cls.__name__, 'Choose another with name="...".')
    return tuple(
        EventListenerDescriptor(
            event, name, cls, mark.per_process, mark.concurrency, mark.prefetch, mark.ordered, mark.retry, mark.timeout,
            events, _function_of(cls),
        )
        for event in events
    )  # fmt: skip


def _event_of(kind: Any, label: str) -> EventDescriptor:
    """The event of a listener, or an error that names the listener, too."""
    try:
        return describe_event(kind)
    except DeclarationError as error:
        msg = f"@event_listener of {label}: {error}"
        raise DeclarationError(msg) from None


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
