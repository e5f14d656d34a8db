"""What the constructor of a listener or pipeline takes, and how errors call it."""

from __future__ import annotations

import inspect
from typing import Any, get_args


def label(cls: type[Any]) -> str:
    """How errors call a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def required_parameters(cls: type[Any]) -> dict[str, object]:
    """Name and annotation, as it is written, of all constructor parameters without default."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return {}
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        parameter.name: parameter.annotation
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind not in variadic
    }


def annotation_name(annotation: object) -> str:
    """An annotation as source text."""
    if annotation is inspect.Parameter.empty:
        return "..."
    if isinstance(annotation, str):
        return annotation
    # A parametrised generic has the name of its origin; its repr says the rest.
    return repr(annotation) if get_args(annotation) else getattr(annotation, "__name__", repr(annotation))
