"""Creation by the ``injector`` package, with and without ``@inject``. Imported only where that package is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NewType, TypeVar, cast, get_origin, get_type_hints

import injector as package
from injector import CircularDependency, Injector, inject

from eventing_core.errors import ListenerCreationError
from eventing_core.inject._constructors import annotation_name, label, required_parameters

T = TypeVar("T")

# The package annotates it with a bare Callable.
get_bindings: Callable[[Any], dict[str, Any]] = cast("Any", package).get_bindings

#: The value types of these modules are made by `Injector.get` out of nothing where nobody bound them: '', 0, Path('.').
_VALUE_MODULES = frozenset({"builtins", "datetime", "decimal", "fractions", "pathlib"})


def create_by_injector(injector: Injector, cls: type[T]) -> T:
    """Make an instance. A binding of the class, or a scope that it is decorated with, is honoured.

    Each constructor parameter is got from the injector. One with a default keeps it, unless its type is bound (or the
    constructor has ``@inject``, and its type isn't a plain value).

    Raises:
        ListenerCreationError: from the cause; names the parameter.
    """
    if _is_bound(injector, cls):
        return _get(injector, cls, f"{label(cls)} can't be created by the injector, which has a binding of it")
    decorated, bindings = _bindings(cls)
    required = required_parameters(cls)
    for name in required:
        if name not in bindings:
            msg = (
                f"{label(cls)} can't be created: its parameter {name!r} has no annotation, or is marked as not "
                f"injectable. Annotate it with its class, or bind the class itself: binder.bind({cls.__name__}, to=...)"
            )
            raise ListenerCreationError(msg)
    arguments: dict[str, Any] = {}
    for name, kind in bindings.items():
        bound = _is_bound(injector, kind)
        if not bound and name not in required and (_is_value(kind) or not decorated):
            continue
        shown = annotation_name(kind)
        bind = f"binder.{'multibind' if get_origin(kind) in {list, dict} else 'bind'}({shown}, to=...)"
        if not bound and _is_value(kind):
            msg = (
                f"{label(cls)} can't be created: its parameter {name!r} is {_article(shown)}, and the injector has no "
                f"binding of that. Give it a type of its own and bind that, or bind the plain type: {bind}"
            )
            raise ListenerCreationError(msg)
        if not (decorated and hasattr(cls, "__scope__")):
            arguments[name] = _get(
                injector,
                kind,
                f"{label(cls)} can't be created: the injector has no {shown} for its parameter {name!r}",
                bind,
            )
    if hasattr(cls, "__scope__") and (decorated or not bindings):
        return _get(injector, cls, f"{label(cls)} can't be created by the injector")
    try:
        return cls(*_take_positional(cls, arguments), **arguments)
    except Exception as error:
        msg = f"{label(cls)} can't be created: its constructor raised {type(error).__name__}: {error}. "
        msg += "See the traceback of that error."
        raise ListenerCreationError(msg) from error


def _take_positional(cls: type[Any], arguments: dict[str, Any]) -> list[Any]:
    """Take out the arguments that can't be passed by name; with defaults, where one before them wasn't got."""
    taken: list[Any] = []
    only = [p for p in inspect.signature(cls).parameters.values() if p.kind is p.POSITIONAL_ONLY]
    while only and arguments.keys() & {parameter.name for parameter in only}:
        first = only.pop(0)
        taken.append(arguments.pop(first.name, first.default))
    return taken


def _get(injector: Injector, kind: type[T], problem: str, mend: str = "") -> T:
    try:
        return injector.get(kind)
    except Exception as error:
        msg = f"{problem}: {type(error).__name__}: {error}"
        if isinstance(error, CircularDependency):
            msg += "\nAsk the injector for EventManager first, before anything that injects it."
        elif mend:
            msg += f"\nBind it: {mend}"
        raise ListenerCreationError(msg) from error


def _is_bound(injector: Injector, kind: Any) -> bool:
    """Whether someone bound it, here or in a parent; `Injector.get` alone makes any class up."""
    at: Injector | None = injector
    while at is not None:
        if at.binder.has_explicit_binding_for(kind):
            return True
        at = at.parent
    return False


def _is_value(kind: object) -> bool:
    return isinstance(kind, NewType) or (isinstance(kind, type) and kind.__module__ in _VALUE_MODULES)


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"


def _bindings(cls: type[Any]) -> tuple[bool, dict[str, Any]]:
    """Whether the constructor is marked for injection, and the classes of its parameters by name."""
    init: Any = cls.__init__
    if not inspect.isfunction(init):
        return False, {}
    try:
        hints = get_type_hints(init, include_extras=True)
    except NameError as error:
        msg = (
            f"{label(cls)} can't be created: an annotation of its constructor isn't known at run time: {error}. Import "
            "it outside of `if TYPE_CHECKING:`, and define it at the top level of its module."
        )
        raise ListenerCreationError(msg) from error
    marked = get_bindings(init)
    if marked or hasattr(init, "__bindings__"):
        return True, marked

    def make(**_arguments: Any) -> None:
        """Stands for the constructor, so that the marks of injector needn't be put on the user's own."""

    parameters = list(inspect.signature(init).parameters.values())[1:]
    plain = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    make.__annotations__ = {name: kind for name, kind in hints.items() if name in plain}
    return False, get_bindings(inject(make))
