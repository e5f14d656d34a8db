"""What values are made of, as far as two of them are compared: fields, keys, numbers, what is equal by ``==``."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from types import NoneType
from typing import Any, TypeAlias
from uuid import UUID

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import MultiHostUrl, Url, to_json

#: Where a value is: names of fields, keys and indices, from the event inwards.
Path: TypeAlias = tuple[Any, ...]

MISSING: Any = object()

#: Types whose values are equal if ``==`` says so, which is Python's own or pydantic's.
ATOMS = (str, int, bool, bytes, bytearray, NoneType, UUID, date, timedelta)
OTHERS = (PurePath, ipaddress._IPAddressBase, re.Pattern, Fraction, Url, MultiHostUrl, tzinfo, range)  # noqa: SLF001 (the base)

EXACT_ATOMS = frozenset(ATOMS)

#: Types that JSON has itself, and of which each value can be written.
_JSON = frozenset({str, int, bool, NoneType})


def field_names(kind: type[Any]) -> list[str]:
    """The fields of a class."""
    if issubclass(kind, BaseModel):
        return list(kind.model_fields)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    return [attribute.name for attribute in getattr(kind, "__attrs_attrs__", ())]


def values_of(record: Any) -> dict[str, Any]:
    """The fields of an object, and what is extra in it, as far as they have values."""
    kind = type(record)
    if isinstance(record, BaseModel):  # not as attributes: those of deprecated fields warn
        held = record.__dict__
        return {**{name: held[name] for name in field_names(kind) if name in held}, **(record.__pydantic_extra__ or {})}
    found = {name: getattr(record, name, MISSING) for name in field_names(kind)}
    if keeps_extra(kind):
        found |= vars(record)
    return {name: value for name, value in found.items() if value is not MISSING}


def keeps_extra(kind: type[Any]) -> bool:
    """Whether objects of a dataclass may have more than its fields."""
    return getattr(kind, "__pydantic_config__", {}).get("extra") == "allow" and hasattr(kind, "__dict__")


def is_finite(value: object) -> bool:
    """Whether a value isn't a number that JSON lacks."""
    match value:
        case float() | complex():
            return math.isfinite(value.real) and math.isfinite(value.imag)
        case Decimal():
            return value.is_finite()
        case _:
            return True


def find_nan(value: object, excluded: Mapping[type[Any], frozenset[str]], path: Path = ()) -> Path | None:
    """The path of the first number that is not finite, or None."""
    if not is_finite(value):
        return path
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        left_out = excluded.get(type(value), frozenset())
        items = [(name, item) for name, item in values_of(value).items() if name not in left_out]
    elif isinstance(value, Mapping):
        items = [*value.items(), *((key, key) for key in value if type(key) is not str)]
    elif isinstance(value, list | tuple | set | frozenset | deque):
        items = enumerate(value)
    else:
        return None
    for key, item in items:
        kind = type(item)
        if kind in EXACT_ATOMS:
            continue
        found = find_nan(item, excluded, (*path, key))
        if found is not None:
            return found
    return None


def all_strings(keys: Iterable[Any]) -> bool:
    """Whether all are strings, and of no subclass."""
    for key in keys:  # noqa: SIM110 (a generator takes twice as long)
        if type(key) is not str:
            return False
    return True


def is_json(value: Any, levels: int = 100) -> bool:
    """Whether a value is what JSON is read as, and not nested too deeply for readers."""
    kind = type(value)
    if kind in _JSON:
        return True
    if kind is dict:
        if not all_strings(value):
            return False
        items = value.values()
    elif kind is list:
        items = value
    else:
        return kind is float and value - value == 0.0
    for item in items:  # noqa: SIM110 (a generator takes twice as long)
        if type(item) not in _JSON and not (levels and is_json(item, levels - 1)):
            return False
    return True


def print_of(value: Any) -> object:  # noqa: C901, PLR0911, PLR0912 (one for each kind)
    """Something hashable that two values share only if they are equal by structure: for keys, and members of sets."""
    kind = type(value)
    if kind in EXACT_ATOMS:
        return kind, value
    match value:
        case Enum():
            return kind, value.name, print_of(value.value)
        case float() | complex():
            return kind, repr(value)
        case Decimal():
            return kind, value.as_tuple()
        case datetime() | time():
            offset = value.utcoffset()
            fold = value.fold if offset is None else 0
            return kind, value.replace(tzinfo=None, fold=0), offset, fold
        case tuple():
            return kind, tuple(map(print_of, value))
        case frozenset():
            return kind, frozenset(Counter(map(print_of, value)).items())
        case _ if isinstance(value, OTHERS):
            return kind, value
        case SecretStr() | SecretBytes() | Secret():
            return kind, print_of(value.get_secret_value())
        case _ if field_names(kind):
            return kind, tuple((name, print_of(item)) for name, item in values_of(value).items())
        case list():
            return kind, tuple(map(print_of, value))
        case Mapping():
            return kind, frozenset((print_of(key), print_of(item)) for key, item in value.items())
        case _:
            return kind, to_json(value, fallback=repr)
