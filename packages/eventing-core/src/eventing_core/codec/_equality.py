"""Whether an event that was read back is equal to the one that was sent: by structure, never by the user's ``__eq__``.

There are two walks. `Equality.same` is fast, knows what is frequent, and says only yes or "not sure".
`Equality.difference` is complete, and names the place and kind of the first difference.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from eventing_core.codec._structure import (
    ATOMS,
    EXACT_ATOMS,
    MISSING,
    OTHERS,
    Path,
    all_strings,
    field_names,
    find_nan,
    is_finite,
    keeps_extra,
    print_of,
    values_of,
)

#: Says whether the values at a path, which the walk doesn't know, are written the same.
SameBytes: TypeAlias = Callable[[Path], bool]


#: What is said of NaN and infinities.
NOT_FINITE = (
    "is NaN or infinite, which JSON cannot represent. Send None (in a field such as 'float | None') or a string instead"
)


class Difference(NamedTuple):
    """The first place where two events differ.

    Attributes:
        path: of the place.
        what: is wrong with the value there, without the value.
    """

    path: Path
    what: str


class Equality:
    """Compares events of one class. Thread-safe.

    Args:
        excluded: for classes, the names of fields that are not written, and have a default.
    """

    __slots__ = ("_comparers", "_excluded")

    def __init__(self, excluded: Mapping[type[Any], frozenset[str]]) -> None:
        self._excluded = excluded
        self._comparers: dict[type[Any], Callable[[Any, Any], bool]] = {
            float: _same_floats,
            datetime: same_moments,
            Decimal: lambda sent, back: sent.as_tuple() == back.as_tuple() and sent.is_finite(),
            list: self._same_items,
            tuple: self._same_items,
            dict: self._same_dicts,
            set: _same_sets,
            frozenset: _same_sets,
        }

    def same(self, sent: Any, back: Any) -> bool:
        """Whether both are certainly equal."""
        kind = type(sent)
        if kind is not type(back):
            return False
        if kind in EXACT_ATOMS:
            return bool(sent == back)
        comparer = self._comparers.get(kind)
        if comparer is None:
            comparer = self._comparers[kind] = self._comparer(kind)
        return comparer(sent, back)

    def is_finite(self, value: Any) -> bool:
        """Whether no number in a value is NaN or infinite."""
        kind = type(value)
        if kind in EXACT_ATOMS:
            return True
        if kind is dict:
            if not all_strings(value) and not all(map(self.is_finite, value)):
                return False
            items = value.values()
        elif kind is list:
            items = value
        else:
            return find_nan(value, self._excluded) is None
        for item in items:
            kind = type(item)
            if kind is float:
                if item - item:  # NaN
                    return False
            elif kind not in EXACT_ATOMS and not self.is_finite(item):
                return False
        return True

    def _comparer(self, kind: type[Any]) -> Callable[[Any, Any], bool]:
        if issubclass(kind, Enum):
            return lambda sent, back: sent is back
        if issubclass(kind, BaseModel):
            return self._same_models(kind)
        if dataclasses.is_dataclass(kind) and not keeps_extra(kind):
            return self._same_objects(self._names(kind))
        return lambda _sent, _back: False

    def _names(self, kind: type[Any]) -> list[str]:
        left_out = self._excluded.get(kind, frozenset())
        return [name for name in field_names(kind) if name not in left_out]

    def _same_items(self, sent: Any, back: Any) -> bool:
        if len(sent) != len(back):
            return False
        same = self.same
        for one, other in zip(sent, back, strict=True):
            kind = type(one)
            if kind in EXACT_ATOMS:
                if kind is not type(other) or one != other:
                    return False
            elif not same(one, other):
                return False
        return True

    def _same_dicts(self, sent: dict[Any, Any], back: dict[Any, Any]) -> bool:
        if len(sent) != len(back):
            return False
        same = self.same
        for key, one in sent.items():
            if type(key) is not str:
                return False
            other = back.get(key, MISSING)
            kind = type(one)
            if kind in EXACT_ATOMS:
                if kind is not type(other) or one != other:
                    return False
            elif not same(one, other):
                return False
        return True

    def _same_objects(self, names: list[str]) -> Callable[[Any, Any], bool]:
        same = self.same

        def compare(sent: Any, back: Any) -> bool:
            for name in names:
                one, other = getattr(sent, name, MISSING), getattr(back, name, MISSING)
                kind = type(one)
                if kind in EXACT_ATOMS:
                    if kind is not type(other) or one != other:
                        return False
                elif not same(one, other):
                    return False
            return True

        return compare

    def _same_models(self, kind: type[BaseModel]) -> Callable[[Any, Any], bool]:
        same = self.same
        names = self._names(kind)

        def compare(sent: BaseModel, back: BaseModel) -> bool:
            if sent.__pydantic_extra__ or back.__pydantic_extra__:
                return False
            ones, others = sent.__dict__, back.__dict__
            for name in names:
                one, other = ones[name], others[name]
                kind = type(one)
                if kind in EXACT_ATOMS:
                    if kind is not type(other) or one != other:
                        return False
                elif not same(one, other):
                    return False
            return True

        return compare

    def difference(self, sent: Any, back: Any, same_bytes: SameBytes, path: Path = ()) -> Difference | None:  # noqa: C901, PLR0911, PLR0912 (one for each kind)
        """The first difference, or None."""
        kind = type(sent)
        if kind is not type(back):
            if kind is int and type(back) is float and sent == back:  # an int where its type is float
                return None
            return _otherwise(path, sent, back)
        if not is_finite(sent):
            return Difference(path, NOT_FINITE)
        flaw = Difference(path, f"holds a {kind.__name__} that would arrive as a different one")

        def within(pairs: Iterable[tuple[Any, Any, Any]]) -> Difference | None:
            for key, one, other in pairs:
                found = self.difference(one, other, same_bytes, (*path, key))
                if found is not None:
                    return found
            return None

        match sent:
            case Enum():
                return None if sent is back or within([("value", sent.value, back.value)]) is None else flaw
            case float():
                return None if _same_floats(sent, back) else flaw
            case datetime():
                return None if same_moments(sent, back) else flaw
            case time():
                return None if sent.replace(tzinfo=None) == back.replace(tzinfo=None) and _offsets(sent, back) else flaw
            case complex():
                return None if repr(sent) == repr(back) else flaw
            case Decimal():
                return None if sent.as_tuple() == back.as_tuple() else flaw
            case SecretStr() | SecretBytes() | Secret():
                return within([("secret", sent.get_secret_value(), back.get_secret_value())]) and flaw
            case BaseModel():
                return within(self._fields_of(sent, back))
            case Mapping():
                return _of_keys(sent, back, flaw) or within(_by_keys(sent, back))
            case set() | frozenset():
                return None if _same_sets(sent, back) else flaw
            case list() | tuple() | deque():
                if len(sent) != len(back) or getattr(sent, "maxlen", None) != getattr(back, "maxlen", None):
                    return flaw
                return within((index, *pair) for index, pair in enumerate(zip(sent, back, strict=True)))
            case _ if isinstance(sent, (*ATOMS, *OTHERS)):
                return None if _plainly_equal(sent, back) else flaw
            case _ if dataclasses.is_dataclass(sent) or hasattr(kind, "__attrs_attrs__"):
                return within(self._fields_of(sent, back))
            case _:
                return None if same_bytes(path) else flaw

    def _fields_of(self, sent: Any, back: Any) -> list[tuple[Any, Any, Any]]:
        ours, theirs = values_of(sent), values_of(back)
        left_out = self._excluded.get(type(sent), frozenset())
        names = [name for name in {**ours, **theirs} if name not in left_out]
        return [(name, ours.get(name, MISSING), theirs.get(name, MISSING)) for name in names]


def same_moments(sent: datetime, back: datetime) -> bool:
    """Whether two datetimes are of the same instant and UTC offset, or of the same local time."""
    # Not by == of aware ones: it is false for those in an hour that a clock change repeats.
    return sent.replace(tzinfo=None) == back.replace(tzinfo=None) and _offsets(sent, back)


def _otherwise(path: Path, sent: object, back: object) -> Difference:
    if sent is MISSING:
        return Difference(path, "was never given a value")
    name = type(sent).__name__
    if back is MISSING:
        return Difference(path, f"holds a {name} that would not arrive")
    other = type(back).__name__
    if name == other:
        name, other = (f"{type(value).__module__}.{type(value).__qualname__}" for value in (sent, back))
    arrives = "None" if back is None else f"a {other}"
    return Difference(path, f"holds {'None' if sent is None else f'a {name}'} and would arrive as {arrives}")


def _same_floats(sent: float, back: float) -> bool:
    return sent == back and sent - sent == 0.0 and (sent != 0.0 or math.copysign(1.0, sent) == math.copysign(1.0, back))


def _offsets(sent: Any, back: Any) -> bool:
    offset = sent.utcoffset()
    if offset != back.utcoffset() or (sent.tzinfo is None) != (back.tzinfo is None):
        return False
    return offset is not None or sent.fold == back.fold


def _plainly_equal(sent: object, back: object) -> bool:
    if isinstance(sent, OTHERS):
        return bool(sent == back)
    # By the base's own: a subclass may have another.
    base: Any = next(kind for kind in ATOMS if isinstance(sent, kind))
    return base.__eq__(sent, back) is True


def _of_keys(sent: Mapping[Any, Any], back: Mapping[Any, Any], flaw: Difference) -> Difference | None:
    ours, theirs = [print_of(key) for key in sent], [print_of(key) for key in back]
    same = ours == theirs if isinstance(sent, OrderedDict) else Counter(ours) == Counter(theirs)
    if not same:
        return flaw._replace(what=f"{flaw.what}: with other keys")
    if isinstance(sent, defaultdict) and isinstance(back, defaultdict):
        factory, other = sent.default_factory, back.default_factory
        if factory is not other:
            return flaw._replace(what=f"{flaw.what}: with another default_factory")
    return None


def _by_keys(sent: Mapping[Any, Any], back: Mapping[Any, Any]) -> list[tuple[Any, Any, Any]]:
    theirs = {print_of(key): value for key, value in back.items()}
    return [(key, value, theirs[print_of(key)]) for key, value in sent.items()]


def _same_sets(sent: AbstractSet[Any], back: AbstractSet[Any]) -> bool:
    return Counter(map(print_of, sent)) == Counter(map(print_of, back)) and find_nan(sent, {}) is None
