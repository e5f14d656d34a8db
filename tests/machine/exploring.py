"""Explores what may happen to a machine: all sequences up to a depth, breadth first; or long ones at random."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tests.machine.pair import Pair, PairScope
from tests.machine.world import BrokenError, Choice, Scope, Seen, World

#: What walks choose less often than the rest.
_RARE = {"lose": 0.2, "swap": 0.1, "drain": 0.05, "cut": 0.2}


def _kind_of(choice: Choice) -> str:
    return str(choice[0] if isinstance(choice[0], str) else choice[1][0])


class FoundError(Exception):
    """A sequence after which an invariant doesn't hold."""

    def __init__(self, why: BrokenError, scope: Scope | PairScope, path: tuple[Choice, ...]) -> None:
        steps = "\n  ".join(map(str, path))
        super().__init__(f"{why}\nin {scope}\nafter\n  {steps}")


@dataclass
class Explored:
    """How far an exploration came.

    Attributes:
        states: how many different ones.
        depth: of the longest sequence.
        complete: there are no others.
    """

    states: int
    depth: int
    complete: bool


def made(scope: Scope | PairScope, seen: Seen) -> World | Pair:
    """A world like that, in which nothing has happened."""
    return World(scope, seen) if isinstance(scope, Scope) else Pair(scope, seen)


def replay(scope: Scope | PairScope, path: tuple[Choice, ...], seen: Seen) -> World | Pair:
    """A world in which this has happened."""
    world = made(scope, seen)
    for choice in path:
        world.repeat(choice)
    return world


def explore(scope: Scope | PairScope, depth: int, seen: Seen) -> Explored:
    """Try every sequence up to a depth; from each new state also let everything go well, and so come to an end.

    Sequences that lead to one state are followed only once.

    Raises:
        FoundError: the shortest sequence that breaks an invariant.
    """
    start = made(scope, seen)
    known = {start.key()}
    todo: deque[tuple[tuple[Choice, ...], list[Choice]]] = deque([((), start.choices())])
    deepest = 0
    while todo:
        path, choices = todo.popleft()
        for choice in choices:
            longer = (*path, choice)
            try:
                world = replay(scope, path, seen)
                world.act(choice)
                key = world.key()
                if key in known:
                    continue
                known.add(key)
                deepest = len(longer)
                further = world.choices()
                world.finish()
            except BrokenError as error:
                raise FoundError(error, scope, longer) from None
            if len(longer) < depth:
                todo.append((longer, further))
    return Explored(len(known), deepest, deepest < depth)


def walk(make: Callable[[random.Random], Scope | PairScope], seed: int, steps: int, seen: Seen) -> None:
    """Go at random, and then let everything go well.

    Raises:
        FoundError: the sequence that breaks an invariant.
    """
    rng = random.Random(seed)  # noqa: S311
    scope = make(rng)
    world, path = made(scope, seen), []
    try:
        for _ in range(steps):
            choices = world.choices()
            if not choices:
                break
            choice = rng.choices(choices, [_RARE.get(_kind_of(each), 2.0) for each in choices])[0]
            path.append(choice)
            world.act(choice)
        world.finish(5000)
    except BrokenError as error:
        raise FoundError(error, scope, (("seed", seed), *path)) from None
