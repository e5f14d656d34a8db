"""Lives that are an enum and a table of transitions."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from eventing_core.provider._transitions import TransitionError

In = TypeVar("In", bound=Enum)


def possible(state: Enum, inputs: type[In], after: Callable[[Any, Any], Any]) -> list[In]:
    """The inputs that a state accepts."""
    found: list[In] = []
    for happened in inputs:
        try:
            after(state, happened)
        except TransitionError:
            continue
        found.append(happened)
    return found
