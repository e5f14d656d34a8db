"""The provider interface is as reviewed: a change of it is meant, and seen."""

from __future__ import annotations

import dataclasses
import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import Enum
from types import ModuleType
from typing import Any, ClassVar, Literal, Protocol

import pytest

import eventing_core.provider
from tests.packaging import spi

UNREVIEWED = f"""the provider interface differs from {spi.SNAPSHOT.name}:

{{difference}}

If that is meant: raise SPI_VERSION in eventing_core.provider where a provider has to change with it, say so in the
changelog of eventing-core, and update the snapshot: {spi.COMMAND}
"""


def test_the_interface_is_as_reviewed():
    reviewed = spi.SNAPSHOT.read_text(encoding="utf-8").splitlines()
    difference = difflib.unified_diff(reviewed, spi.describe().splitlines(), "reviewed", "now", lineterm="", n=3)
    text = "\n".join(difference)
    assert not text, UNREVIEWED.format(difference=text)


def test_every_name_of_the_interface_is_listed():
    module = eventing_core.provider
    own = {name for name, value in vars(module).items() if getattr(value, "__module__", "").startswith("eventing_core")}
    assert {name for name in own if not name.startswith("_")} <= set(module.__all__)


class Colour(Enum):
    RED = "red"


class Base(ABC):
    """Stands for one of ours."""

    level: int

    @abstractmethod
    def run(self, *words: Sequence[str], kind: Literal["a", "b"] = "a", **more: int) -> Any: ...


class Derived(Base):
    limit: ClassVar[float] = 1.5

    @property
    def size(self) -> int:
        return 1

    @classmethod
    def make(cls, colour: Colour = Colour.RED) -> Derived | None: ...

    def _hidden(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Data:
    first: int
    second: str = dataclasses.field(default="x", kw_only=True)
    third: list[int] = dataclasses.field(default_factory=list)


class Talks(Protocol):
    def say(self, word: str, /) -> None: ...


def function(value: int, *values: ModuleType) -> None: ...


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (Colour, ["class It(Enum):", "    RED = 'red'"]),
        (
            Data,
            [
                "@dataclass(frozen=True)",
                "class It:",
                "    first: int",
                "    third: list[int] = list()",
                "    *",
                "    second: str = 'x'",
            ],
        ),
        (Talks, ["class It(Protocol, Generic):", "    def say(self, word: str, /) -> None"]),
        (
            Derived,
            [
                "class It(ABC):",
                "    abstract def run(self, *words: Sequence[str], kind: Literal['a', 'b'] = 'a', **more: int) -> Any",
                "    classmethod make(cls, colour: Colour = <Colour.RED: 'red'>) -> Derived | None",
                "    level: int",
                "    limit: ClassVar[float] = 1.5",
                "    property size(self) -> int",
            ],
        ),
        (function, ["def It(value: int, *values: ModuleType) -> None"]),
        (Callable[[int, Exception | None], None], ["It = Callable[[int, Exception | None], None]"]),
        (7, ["It = 7"]),
        ("a.b", ["It = 'a.b'"]),
    ],
    ids=["enum", "dataclass", "protocol", "class", "function", "alias", "number", "string"],
)
def test_everything_that_makes_a_difference_is_told(value: object, lines: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spi, "OURS", __name__)
    assert list(spi.describe_name("It", value)) == lines
