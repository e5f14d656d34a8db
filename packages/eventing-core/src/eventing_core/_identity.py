"""A dictionary by what its keys are, whatever they say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class IdentityDict(Generic[K, V]):
    """Compares its keys by identity: neither their ``__eq__`` nor their ``__hash__`` is called. Keeps them alive.

    Not thread-safe, but for ``in`` and `get`.
    """

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[int, tuple[K, V]] = {}

    def __contains__(self, key: object) -> bool:
        return id(key) in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        return iter([key for key, _ in self._entries.values()])

    def __setitem__(self, key: K, value: V) -> None:
        self._entries[id(key)] = (key, value)

    def __getitem__(self, key: K) -> V:
        return self._entries[id(key)][1]

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: D | None = None) -> V | D | None:
        """The value of a key, or the default."""
        entry = self._entries.get(id(key))
        return default if entry is None else entry[1]

    def pop(self, key: K) -> V | None:
        """Take a key out; its value, or None."""
        entry = self._entries.pop(id(key), None)
        return None if entry is None else entry[1]

    def clear(self) -> None:
        """Take all out."""
        self._entries.clear()


class Identity:
    """Stands for an object where a hash is needed: equal to what stands for the same object. Keeps it alive."""

    __slots__ = ("_of",)

    def __init__(self, of: object) -> None:
        self._of = of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self._of is other._of

    def __hash__(self) -> int:
        return id(self._of)
