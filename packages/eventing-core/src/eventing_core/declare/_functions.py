"""Functions as listeners: ``@event_listener(OrderPlaced)`` on a plain or an ``async`` function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from eventing_core.errors import DeclarationError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def check_function(given: object) -> Callable[[Any], object]:
    """Return a function that can be a listener.

    Raises:
        DeclarationError: it is not a function that was defined with ``def``, or doesn't take exactly the event.
    """
    if not inspect.isfunction(given):
        msg = (
            f"@event_listener takes a class derived from EventListener, or a function, but this is {_shown(given)}. "
            "Define a function with def that calls it, and decorate that."
        )
        raise DeclarationError(msg)
    label = f"{given.__module__}.{given.__qualname__}"
    if inspect.isgeneratorfunction(given) or inspect.isasyncgenfunction(given):
        msg = f"{label} is a generator function, which would never run. Remove the yield."
        raise DeclarationError(msg)
    if not (_takes_event(inspect.signature(given, follow_wrapped=False)) or _takes_event(_wrapped_signature(given))):
        signature = inspect.signature(given, follow_wrapped=False)
        own = " A method can't be a listener: derive the class from EventListener, and decorate that."
        method = own if next(iter(signature.parameters), "") in {"self", "cls"} else ""
        msg = (
            f"{label}{signature} can't be a listener: a function listener takes exactly the event. "
            f"Write def {given.__name__}(event).{method}"
        )
        raise DeclarationError(msg)
    return given


def _wrapped_signature(function: Callable[..., object]) -> inspect.Signature:
    """Of what a decorator says it wraps, where it takes anything itself; else the function's own."""
    own = inspect.signature(function, follow_wrapped=False)
    takes_anything = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in own.parameters.values())
    return inspect.signature(function) if takes_anything else own


def _takes_event(signature: inspect.Signature) -> bool:
    parameters = signature.parameters.values()
    positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    # A second one is not for arguments of the user's own: it will be the context of the delivery.
    if len(positional) != 1 or any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return False
    return all(p.default is not p.empty for p in parameters if p.kind is p.KEYWORD_ONLY)


def _shown(given: object) -> str:
    if isinstance(given, type):
        return f"the class {given.__name__}, which doesn't derive from it"
    if inspect.ismethod(given):
        return f"the bound method {given.__qualname__}"
    kind = type(given)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"an object of type {module}{kind.__qualname__}"
