"""Looks for anything that is wrong with the machine, the cheap ways first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from tests.machine.exploring import FoundError, explore, walk
from tests.machine.scopes import SCOPES, wide, wide_pair
from tests.machine.world import Seen


def hunt(searches: int | None = None) -> str:
    """What is wrong; empty if nothing was found in so many searches, or in all of them."""
    try:
        for _ in islice(_steps(), searches):
            pass
    except FoundError as error:
        return str(error)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _steps() -> Iterator[object]:
    seen = Seen()
    for depth in (4, 5):
        for scope, _ in SCOPES.values():
            yield explore(scope, depth, seen)
        if depth == 4:
            yield explore(*SCOPES["two queues, a copy refused"], seen)
    for seed in range(1000):
        walk(wide, seed, 100, seen)
        walk(wide_pair, seed, 150, seen)
        yield seed
    for scope, depth in SCOPES.values():
        for less in (2, 1, 0):
            yield explore(scope, depth - less, seen)
