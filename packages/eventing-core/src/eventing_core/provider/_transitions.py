"""Lives as states, and a table of the transitions between them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TypeVar

S = TypeVar("S", bound=Enum)
In = TypeVar("In", bound=Enum)


class TransitionError(RuntimeError):
    """Something happened that can't happen in that state: an error in the code that carries the states."""


def on(*inputs: In) -> frozenset[In]:
    """The inputs of one transition, for a table."""
    return frozenset(inputs)


def following(what: str, transitions: Mapping[tuple[S, S], frozenset[In]]) -> Callable[[S, In], S]:
    """Make ``after(state, input)``, which tells the next state, or raises `TransitionError`.

    Args:
        what: has the states, for messages.
        transitions: from a state to another (or the same, where nothing changes), and the inputs that lead there.
    """
    following_states = {(source, each): target for (source, target), inputs in transitions.items() for each in inputs}

    def after(state: S, happened: In) -> S:
        try:
            return following_states[state, happened]
        except KeyError:
            msg = f"{what} that is {state.value} does not accept {happened.value!r}"
            raise TransitionError(msg) from None

    return after
