"""Listeners and pipelines get their constructor arguments from the application's own container."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast, get_type_hints

from eventing_core.errors import ListenerCreationError
from eventing_core.inject._constructors import annotation_name, label, required_parameters

T = TypeVar("T")


class Environment(Protocol):
    """The application's container: any object that can create an instance of a class.

    `injector.Injector`, a synchronous `dishka` or `svcs` container and aspyx's ``Environment`` are recognised, so
    that errors can show the line to write; any other object with a method ``get`` works as well.
    """

    def get(self, kind: type[T], /) -> T:
        """Return an instance of the class."""
        ...


def create(environment: Environment | None, cls: type[T]) -> T:
    """Make a listener or pipeline, on the calling thread.

    Without an environment the class is called without arguments.

    Raises:
        ListenerCreationError: from the cause; says what to register, and how.
    """
    if environment is None:
        return _without_container(cls)
    if _is_a(environment, "injector", "Injector"):
        # Imported here: it needs the injector package, which is there if an instance of it is.
        from eventing_core.inject._injector import create_by_injector  # noqa: PLC0415 (imports injector)

        return _checked(create_by_injector(cast("Any", environment), cls), cls, "the injector")
    container = _describe(environment, cls)
    if container.refusal:
        msg = f"{label(cls)} can't be created: {container.refusal}"
        raise ListenerCreationError(msg)
    try:
        made: object = environment.get(cls)
    except Exception as error:
        raise _failure(container, cls, error) from error
    return _checked(made, cls, container.name)


@dataclass(frozen=True, slots=True)
class _Container:
    """What is known of a container.

    Attributes:
        name: for messages.
        registration: how the class is registered there.
        missing: of an error, the class that it says isn't registered.
        refusal: why this container can't be used at all.
    """

    name: str
    registration: str
    missing: Callable[[Exception], object] = lambda _: None
    refusal: str = ""


def _describe(environment: object, cls: type[Any]) -> _Container:  # noqa: PLR0911 (one for each kind of container)
    name = cls.__name__
    if _is_a(environment, "dishka", "Container"):
        return _Container(
            "the dishka container",
            f"provider.provide({name}, scope=Scope.APP)",
            missing=lambda error: getattr(getattr(error, "requested", None), "type_hint", None),
        )
    if _is_a(environment, "dishka", "AsyncContainer"):
        refusal = "environment is an asynchronous dishka container. Pass one of dishka.make_container(...)."
        return _Container("the dishka container", "", refusal=refusal)
    if _is_a(environment, "svcs", "Container"):
        arguments = ", ".join(
            # What can be used with "async with" is refused by svcs, but for its asynchronous methods.
            f"{parameter}=<the manager>"
            if annotation_name(annotation) == "EventManager"
            else f"{parameter}=svcs_container.get({annotation_name(annotation)})"
            for parameter, annotation in required_parameters(cls).items()
        )
        return _Container(
            "the svcs container", f"registry.register_factory({name}, lambda svcs_container: {name}({arguments}))"
        )
    if _is_a(environment, "svcs", "Registry"):
        return _Container("", "", refusal="environment is a svcs.Registry. Pass svcs.Container(registry).")
    if _is_a(environment, "aspyx.di", "Environment"):
        return _Container(
            "the aspyx environment",
            f"@injectable() above class {name}, in a module that is imported before the Environment is created",
        )
    if isinstance(environment, type) or not callable(getattr(environment, "get", None)):
        refusal = f"environment is {_shown(environment)}, which has no method get(type). Pass a container's instance."
        return _Container("", "", refusal=refusal)
    return _Container(f"the container {type(environment).__name__}", f"register {name} there")


def _is_a(environment: object, module: str, name: str) -> bool:
    """Whether it is an instance of that class, without importing the package for the question."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(environment, kind)


def _without_container(cls: type[T]) -> T:
    required = required_parameters(cls)
    if required:
        needs = ", ".join(f"{name}: {annotation_name(annotation)}" for name, annotation in required.items())
        msg = (
            f"{label(cls)} needs constructor arguments ({needs}), and the manager has no container to get them from. "
            "Pass environment=<the application's container> to the manager."
        )
        raise ListenerCreationError(msg)
    try:
        return cls()
    except Exception as error:
        msg = f"{label(cls)} can't be created: its constructor raised {type(error).__name__}: {error}. "
        msg += "See the traceback of that error."
        raise ListenerCreationError(msg) from error


def _failure(container: _Container, cls: type[Any], error: Exception) -> ListenerCreationError:
    missing = container.missing(error)
    parameter = ""
    if missing is not None and missing is not cls:
        parameter = "".join(f" for its parameter {name!r}" for name, kind in _hints(cls).items() if kind is missing)
        parameter = f", which has no {annotation_name(missing)}{parameter}"
    cause = str(error).strip() or repr(error)
    msg = (
        f"{label(cls)} can't be created by {container.name}{parameter}: {type(error).__name__}: {cause}\n"
        f"Register the class and everything that its constructor takes: {container.registration}"
    )
    return ListenerCreationError(msg)


def _hints(cls: type[Any]) -> Mapping[str, object]:
    try:
        return get_type_hints(cls.__init__)
    except (NameError, TypeError, AttributeError):
        return {}


def _checked(made: object, cls: type[T], container: str) -> T:
    if isinstance(made, cls):
        return made
    if inspect.isawaitable(made):
        if inspect.iscoroutine(made):
            made.close()
        msg = f"{label(cls)} can't be created: {container} is asynchronous, its get returned an awaitable."
    else:
        msg = f"{label(cls)} can't be created: {container} returned {_shown(made)} instead of an instance of it."
    raise ListenerCreationError(msg)


def _shown(value: object) -> str:
    # Without repr: containers' contents may be secret.
    if value is None:
        return "None"
    return f"the class {value.__name__}" if isinstance(value, type) else f"an object of type {type(value).__name__}"
