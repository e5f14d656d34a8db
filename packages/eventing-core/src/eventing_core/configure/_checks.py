"""Whether a manager is given what it takes. Values are named by their types, and never shown."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from eventing_core.configure._options import Options
from eventing_core.declare._listener import EventListener, declared_class
from eventing_core.declare._names import flaw_in_name
from eventing_core.declare._pipeline import EnvelopePipeline
from eventing_core.declare._retry import Retry
from eventing_core.errors import ConfigError, DeclarationError
from eventing_core.provider import Provider


def shown(value: object) -> str:
    """What something is, without its value."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"of type {type(value).__name__}"


def check_arguments(  # noqa: PLR0913, PLR0917 (those of a manager)
    provider: object, environment: object, listeners: object, pipelines: object, retry: object, options: object
) -> None:
    """Refuse what a manager doesn't take.

    Raises:
        ConfigError: it says what to pass.
        DeclarationError: the same, of listeners and pipelines.
    """
    check_provider(provider)
    check_environment(environment)
    check_listeners(listeners)
    check_pipelines(pipelines)
    check_retry_and_options(retry, options)


def check_provider(provider: object) -> None:
    """Refuse what is no provider, or has an impossible ``server_name``.

    Raises:
        ConfigError: it says what to pass.
    """
    if not isinstance(provider, Provider):
        by_name = "EventManager.from_config takes a provider's name."
        fix = f"Create one: {provider.__name__}(...)." if isinstance(provider, type) else by_name
        msg = f"provider must be a Provider object, not {shown(provider)}. {fix}"
        raise ConfigError(msg)
    server_name = getattr(provider, "server_name", None)  # a constructor may have forgotten it
    if not isinstance(server_name, str):
        msg = f"server_name must be a string, not {shown(server_name)}. Give the provider another one."
        raise ConfigError(msg)
    flaw = flaw_in_name(server_name)
    if flaw:
        msg = f"server_name: {server_name!r} is not a valid name: {flaw}. Give the provider another one."
        raise ConfigError(msg)


def check_environment(environment: object) -> None:
    """Refuse what is neither None nor a container.

    Raises:
        ConfigError: it says what to pass.
    """
    if environment is not None and (
        isinstance(environment, type | Mapping) or not callable(getattr(environment, "get", None))
    ):
        msg = (
            f"environment must be a container, an object with a method get(type), not {shown(environment)}. Pass "
            "the container."
        )
        raise ConfigError(msg)


def check_retry_and_options(retry: object, options: object) -> None:
    """Refuse what is neither None nor a `Retry`, or an `Options`.

    Raises:
        ConfigError: it says what to pass.
    """
    if retry is not None and not isinstance(retry, Retry):
        msg = f"retry must be a Retry, such as Retry(max_attempts=3), not {shown(retry)}"
        raise ConfigError(msg)
    if options is not None and not isinstance(options, Options):
        msg = f"options must be an Options, such as Options(workers=4), not {shown(options)}"
        raise ConfigError(msg)


def flaw_in_module_name(name: str) -> str:
    """What is wrong with the name of a module; empty for nothing."""
    if all(part.isidentifier() for part in name.split(".")):
        return ""
    return f'{name!r} is not a valid module name. Write it as in an import, such as "orders.listeners".'


def check_listeners(listeners: object) -> None:
    """Refuse what is neither None nor a collection of listener classes, listener functions and names of modules.

    Raises:
        DeclarationError: it says what to pass.
        ConfigError: a string can't be a module's name.
    """
    if listeners is None:
        return
    known: set[Any] = set()
    for index, one in enumerate(_collection("listeners", listeners)):
        if isinstance(one, str):
            if flaw := flaw_in_module_name(one):
                msg = f"listeners[{index}]: {flaw}"
                raise ConfigError(msg)
        elif inspect.isfunction(one):
            if declared_class(one) is None:
                msg = (
                    f"listeners[{index}] is the function {one.__qualname__}, not a listener. "
                    "Put @event_listener(<its event>) on it."
                )
                raise DeclarationError(msg)
        elif not isinstance(one, type):
            fix = "Pass its class; the manager creates the instance."
            fix = fix if isinstance(one, EventListener) else "Pass a listener class, a function, or a module's name."
            msg = f"listeners[{index}] must be a listener class or function, not {shown(one)}. {fix}"
            raise DeclarationError(msg)
        if one in known:
            what = "module" if isinstance(one, str) else "class" if isinstance(one, type) else "function"
            name = one if isinstance(one, str) else f"{one.__module__}.{one.__qualname__}"
            msg = f"listeners names the {what} {name} twice. Remove one of them."
            raise DeclarationError(msg)
        known.add(one)


def check_pipelines(pipelines: object) -> None:
    """Refuse what is neither None nor a collection of pipelines, as classes or objects.

    Raises:
        DeclarationError: it says what to pass.
    """
    if pipelines is None:
        return
    known: list[object] = []
    for index, one in enumerate(_collection("pipelines", pipelines)):
        if not (isinstance(one, EnvelopePipeline) or (isinstance(one, type) and issubclass(one, EnvelopePipeline))):
            msg = f"pipelines[{index}] must be an EnvelopePipeline, not {shown(one)}. Derive its class from that."
            raise DeclarationError(msg)
        if any(one is other for other in known):
            msg = f"pipelines[{index}] is {shown(one)} a second time. Remove one of them."
            raise DeclarationError(msg)
        known.append(one)


def _collection(what: str, given: object) -> Collection[object]:
    if isinstance(given, Collection) and not isinstance(given, type | str | bytes | Mapping):
        return given
    fix = f"{what}=[{given.__name__}]" if isinstance(given, type) else f"{what}=[...]"
    msg = f"{what} must be a list of classes, not {shown(given)}. Write {fix}."
    raise DeclarationError(msg)
