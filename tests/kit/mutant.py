"""What a mutant is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One bug.

    Attributes:
        breaks: puts it in place.
        test: of the kit, which finds it.
        message: what the failure says.
        cases: how many of the test's cases fail.
        on: the class of `mutated` whose provider has the bug.
    """

    breaks: Callable[[], None]
    test: str
    message: str
    cases: int = 1
    on: str = "TestMutated"
