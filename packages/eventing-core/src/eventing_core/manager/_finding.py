"""Which listeners a manager runs: those that it is given, also by their modules, or all declared ones."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from eventing_core.declare._listener import (
    EventListener,
    ListenerFunction,
    declared_class,
    effective_listeners,
    is_declared,
)
from eventing_core.errors import ConfigError

_log = logging.getLogger("eventing")

#: What the argument ``listeners`` takes.
Listeners: TypeAlias = Sequence[type[EventListener[Any]] | ListenerFunction[Any, Any] | str]

_PACKAGE = __name__.partition(".")[0]


def find_listeners(given: Listeners | None) -> tuple[type[EventListener[Any]], ...]:
    """The classes of all listeners to run. Logs what looks forgotten.

    Raises:
        ConfigError: from the cause; a module can't be imported.
    """
    if given is None:
        found = effective_listeners()
        for cls in found.doubtful:
            _warn(
                "%s was declared twice by the same code for the same queue, and only the later one runs. If both are "
                'wanted, give one of them another name with @event_listener(..., name="...")',
                _name(cls),
            )
        _warn_of_undeclared(_undeclared(found.classes))
        if not found.classes:
            _warn(
                "no listener is declared, so nothing will be received. Import the modules that declare listeners "
                'before the start, or name them: listeners = ["orders.listeners"]. A process that only sends sets '
                "listeners = []"
            )
        return found.classes
    classes: dict[type[EventListener[Any]], None] = {}
    names = [one for one in given if isinstance(one, str)]
    for one in given:
        if isinstance(one, str):
            classes.update(dict.fromkeys(_listeners_of(one)))
        else:
            classes[one if isinstance(one, type) else declared_class(one) or one] = None  # type: ignore[index]
    if names:
        _report_left_out(names, tuple(classes))
    return tuple(classes)


def _listeners_of(module: str) -> Sequence[type[EventListener[Any]]]:
    """What a module and, of a package, its imported submodules declare."""
    try:
        importlib.import_module(module)
    except Exception as error:
        msg = (
            f"listeners: the module {module!r} can't be imported: {type(error).__name__}: {error}\n"
            "Check the name, and that the module is installed or its folder on sys.path, as by PYTHONPATH."
        )
        raise ConfigError(msg) from error
    declared = effective_listeners().classes
    # A test may have taken declarations back; the module itself is imported only once.
    imported = [name for name in sys.modules if name == module or name.startswith(f"{module}.")]
    values = [value for name in imported for value in list(vars(sys.modules[name]).values())]
    named = [value if isinstance(value, type) else declared_class(value) for value in values]
    candidates = (*declared, *(cls for cls in named if cls is not None and is_declared(cls)))
    found = dict.fromkeys(cls for cls in candidates if _is_within(cls, module))
    if not found:
        _warn(
            "listeners: the module %s declares no listener. Put @event_listener(<its event>) on a class or function in "
            "it, or name another module",
            module,
        )
    _warn_of_undeclared(cls for cls in _undeclared(found) if _is_within(cls, module))
    return tuple(found)


def _is_within(cls: type[Any], module: str) -> bool:
    return cls.__module__ == module or cls.__module__.startswith(f"{module}.")


def _report_left_out(modules: Sequence[str], classes: Sequence[type[Any]]) -> None:
    others = [cls for cls in effective_listeners().classes if cls not in classes]
    if others:
        with contextlib.suppress(Exception):  # a logging handler's
            _log.info(
                "not started, because 'listeners' names only %s: %s", ", ".join(modules), ", ".join(map(_name, others))
            )


def _undeclared(declared: Iterable[type[Any]]) -> Iterator[type[Any]]:
    """Complete listener classes without a decorator; nothing that others derive from."""
    known = {(cls.__module__, cls.__qualname__) for cls in declared}
    left: list[type[Any]] = [EventListener]
    seen: set[type[Any]] = set()
    while left:
        subclasses = type.__subclasses__(left.pop())
        for cls in subclasses:
            if cls in seen:
                continue
            seen.add(cls)
            left.append(cls)
            # Decorators such as @dataclass(slots=True) leave the class behind that they made anew.
            known_place = (cls.__module__, cls.__qualname__) in known
            is_open = bool(getattr(cls, "__parameters__", ()))
            is_base = is_open or inspect.isabstract(cls) or bool(type.__subclasses__(cls))
            if not (known_place or is_base or is_declared(cls) or cls.__module__.partition(".")[0] == _PACKAGE):
                yield cls


def _warn_of_undeclared(classes: Iterable[type[Any]]) -> None:
    for cls in classes:
        _warn(
            "%s is an EventListener without a decorator, so it doesn't run: put @event_listener(...) on it", _name(cls)
        )


def _warn(text: str, *arguments: object) -> None:
    with contextlib.suppress(Exception):  # a logging handler's must not keep a manager from starting
        _log.warning(text, *arguments)


def _name(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
