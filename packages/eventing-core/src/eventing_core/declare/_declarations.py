"""What decorators have recorded, and which of it counts: the newest of what was declared again."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, Generic, NamedTuple, TypeVar

from eventing_core.declare._marks import live_class

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Record(Generic[T]):
    """One use of a decorator.

    Attributes:
        cls: the decorated class.
        code: the code that ran: compiled anew where a module is reloaded or a cell of a notebook runs again, and the
            same where a loop or a function declares several classes of one name.
    """

    cls: type[T]
    code: CodeType | None

    @property
    def place(self) -> tuple[str, str]:
        return self.cls.__module__, self.cls.__qualname__


class Effective(NamedTuple, Generic[T]):
    """What counts.

    Attributes:
        classes: in the order in which they were declared.
        doubtful: those that replaced another one although the same code declared both.
    """

    classes: tuple[type[T], ...]
    doubtful: tuple[type[T], ...]


class Declarations(Generic[T]):
    """The classes that one kind of decorator has seen in this process. Thread-safe: it is only appended to.

    Args:
        mark: the attribute by which the decorator marks a class.
        keys: what two declarations of one class can't have in common; empty where they never replace each other.
    """

    def __init__(self, mark: str, keys: Callable[[type[T]], frozenset[Hashable]]) -> None:
        self._mark = mark
        self._keys = keys
        self._records: list[_Record[T]] = []

    def add(self, cls: type[T]) -> None:
        """Record a class. To be called by the decorator itself."""
        self._records.append(_Record(cls, _declaring_code(cls.__module__)))

    def effective(self) -> Effective[T]:
        """What counts: a class replaces an older one of its module and qualified name.

        It does where its code was run again (`importlib.reload`, a cell of a notebook), whatever both declare; else
        where both can't be there together. What a loop or a factory declares for several events stays.
        """
        kept: list[_Record[T]] = []
        doubtful: list[type[T]] = []
        latest: dict[tuple[str, str], list[_Record[T]]] = {}
        for record in list(self._records):
            before = latest.setdefault(record.place, [])
            for other in list(before):
                anew = record.code is not other.code and record.code is not None and other.code is not None
                if not anew and self._keys(record.cls).isdisjoint(self._keys(other.cls)):
                    continue
                before.remove(other)
                kept.remove(other)
                if not anew:
                    doubtful.append(live_class(record.cls, self._mark))
            before.append(record)
            kept.append(record)
        return Effective(tuple(live_class(record.cls, self._mark) for record in kept), tuple(doubtful))

    @contextlib.contextmanager
    def isolated(self, *, empty: bool) -> Generator[None, None, None]:
        """Forget at the end what was declared within; begin with nothing where ``empty``."""
        before = self._records
        self._records = [] if empty else before.copy()
        try:
            yield
        finally:
            self._records = before


def _declaring_code(module: str) -> CodeType | None:
    """The outermost code of that module that is running: of the whole module, or of a notebook's cell."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 (documented; inspect's way is slower and does the same)
    own: dict[str, Any] | None = None
    code: CodeType | None = None
    while frame is not None:
        if own is None and frame.f_globals.get("__name__") == module:
            own = frame.f_globals
        # By identity: what started a notebook's kernel is named __main__, too.
        if own is not None and frame.f_globals is own:
            code = frame.f_code
        frame = frame.f_back
    return code
