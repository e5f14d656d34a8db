"""On what terms a part runs, and what it brings back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

#: What a part counted and measured, by a few words each, in the order of the report.
Figures = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a part runs.

    Attributes:
        over: the provider's name.
        folder: for its files; empty.
        seed: of everything random.
        scale: of all counts; 1 for the full suite.
        rounds: of computing per event, by the listener.
        concurrency: of the listener.
        listeners: how many, in each listening process.
        beside: a thread of the listening process computes all the time as well, where its listeners wait for events.
    """

    over: str
    folder: Path
    seed: int = 1
    scale: float = 1.0
    rounds: int = 1_000
    concurrency: int = 1
    listeners: int = 1
    beside: bool = False
    random: Random = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "random", Random(f"{self.seed} {self.over}"))  # noqa: S311 (repeatable)

    def count(self, full: int, least: int = 1) -> int:
        """So many, to scale."""
        return max(least, round(full * self.scale))

    def moments(self, number: int, total: int) -> list[int]:
        """Random counts below ``total``, in their order: one in each of as many equal shares, away from both ends."""
        share = total * 0.8 / number
        return [round(total * 0.05 + share * (at + self.random.random())) for at in range(number)]

    def but(self, **changes: object) -> Terms:
        """The same, with changes."""
        return replace(self, **changes)  # type: ignore[arg-type]
