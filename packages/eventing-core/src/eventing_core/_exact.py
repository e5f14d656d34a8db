"""Code made for one class: whether an event's values are exactly of their types, and whether its numbers are finite.

Written out for the class, as `dataclasses` does it: loops over fields would take several times as long as the encoding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from types import NoneType
from typing import Any

from eventing_core._schema import Choice, Many, Maybe, Record, Scalar, Shape, Table, Unproven, is_proven

#: JSON readers take integers of no more digits. Runs of digits are looked at from their beginning alone.
_MOST_DIGITS = 4300
_too_long = re.compile(rb"(?<![0-9])[0-9]{%d}" % (_MOST_DIGITS - 1)).search


def encoder(
    shape: Record,
    to_json: Callable[..., bytes],
    validate_json: Callable[..., Any],
    same: Callable[[Any, Any], bool],
    otherwise: Callable[[object], bytes],
) -> Callable[[object], bytes]:
    """Make the function that encodes an event.

    Fields of proven shapes are checked for their exact types. If there are others, what was written is read back, and
    these are compared.

    Args:
        shape: of the event.
        to_json: writes.
        validate_json: reads.
        same: compares a field that was sent with the one that was read.
        otherwise: encodes, or refuses, an event that isn't certain to arrive equal.
    """
    code = _Code(
        {
            "to_json": to_json,
            "validate_json": validate_json,
            "same": same,
            "otherwise": otherwise,
            "too_long": _too_long,
        }
    )
    proven = Record(shape.kind, tuple(field for field in shape.fields if is_proven(field[1])))
    others = [name for name, _ in shape.fields if name not in dict(proven.fields)]
    code.add(1, "try:")
    code.check_fields(2, proven, "event")
    code.add(2, "body = to_json(event, by_alias=False, round_trip=True, warnings=False)")
    if others:
        code.add(2, "back = validate_json(body, by_alias=True, by_name=True)")
        equal = " and ".join(f"same(event.{name}, back.{name})" for name in others)
        code.add(2, f"if {equal}: return body")
    elif code.has_integers:
        code.add(2, f"if len(body) < {_MOST_DIGITS} or not too_long(body): return body")
    else:
        code.add(2, "return body")
    code.add(1, "except Exception: pass")
    return code.function("encode", "return otherwise(event)")


def finite_check(shape: Shape, is_finite: Callable[[object], bool]) -> Callable[[object], bool] | None:
    """Make the function that tells whether all numbers of an event are certainly finite, or None if they always are.

    Args:
        shape: of the event.
        is_finite: looks into values of unknown shape.
    """
    if not _may_be_nan(shape):
        return None
    code = _Code({"is_finite": is_finite})
    code.add(1, "try:")
    code.find_nan(2, shape, "event")
    code.add(2, "return True")
    code.add(1, "except Exception: pass")  # a default that isn't of its type
    return code.function("finite", "return False")


def _may_be_nan(shape: Shape) -> bool:
    match shape:
        case Scalar(kind):
            return kind is float
        case Unproven(may_be_nan):
            return may_be_nan
        case Maybe(inner) | Many(inner) | Table(inner):
            return _may_be_nan(inner)
        case Record(_, fields):
            return any(_may_be_nan(inner) for _, inner in fields)
        case _:
            return False


class _Code:
    """The lines of one function, and the names that they use."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = {**names, "isfinite": math.isfinite, "UTC": UTC}
        self._lines: list[str] = []
        self._variables = 0
        self.has_integers = False

    def add(self, depth: int, line: str) -> None:
        self._lines.append("    " * depth + line)

    def function(self, name: str, last: str) -> Callable[[object], Any]:
        self.add(1, last)
        source = "\n".join([f"def {name}(event):", *self._lines])
        exec(compile(source, f"<eventing {name}>", "exec"), self._names)  # noqa: S102 (of checked field names alone)
        made: Callable[[object], Any] = self._names[name]
        return made

    def check_fields(self, depth: int, record: Record, value: str) -> None:
        """Leave for `otherwise` what is not exact in an object's fields."""
        for name, shape in record.fields:
            attribute = f"{value}.{name}"
            if isinstance(shape, Scalar) and shape.kind not in {float, Decimal, datetime}:  # looked at once
                self._check(depth, shape, attribute)
            else:
                variable = self._variable()
                self.add(depth, f"{variable} = {attribute}")
                self._check(depth, shape, variable)

    def _check(self, depth: int, shape: Shape, value: str) -> None:
        flaw = self._flaw(shape, value)
        if flaw is not None:
            self.add(depth, f"if {flaw}: return otherwise(event)")
            return
        match shape:
            case Maybe(inner):
                self.add(depth, f"if {value} is not None:")
                self._check(depth + 1, inner, value)
            case Record(kind):
                self.add(depth, f"if type({value}) is not {self._name(kind)}: return otherwise(event)")
                self.check_fields(depth, shape, value)
            case Many(inner):
                item = self._variable()
                self.add(depth, f"if type({value}) is not list: return otherwise(event)")
                self.add(depth, f"for {item} in {value}:")
                self._check(depth + 1, inner, item)
            case Table(inner):
                key, item = self._variable(), self._variable()
                self.add(depth, f"if type({value}) is not dict: return otherwise(event)")
                self.add(depth, f"for {key}, {item} in {value}.items():")
                self.add(depth + 1, f"if type({key}) is not str: return otherwise(event)")
                self._check(depth + 1, inner, item)
            case _:  # pragma: no cover (only proven shapes come here)
                raise AssertionError

    def _flaw(self, shape: Shape, value: str) -> str | None:
        """The condition under which a value is not exact, for what is told by one expression."""
        match shape:
            case Maybe(inner):
                flaw = self._flaw(inner, value)
                return None if flaw is None else f"{value} is not None and ({flaw})"
            case Choice(values):
                return f"type({value}) is not str or {value} not in {self._name(values)}"
            case Scalar(kind):
                self.has_integers = self.has_integers or kind is int
                return _scalar_flaw(kind, self._name(kind), value)
            case _:
                return None

    def find_nan(self, depth: int, shape: Shape, value: str) -> None:
        """Return False where a number is not finite: subtracted from itself, it is NaN, which is true."""
        if not _may_be_nan(shape):
            return
        match shape:
            case Scalar():
                self.add(depth, f"if {value} - {value}: return False")
            case Maybe(inner):
                self.add(depth, f"if {value} is not None:")
                self.find_nan(depth + 1, inner, value)
            case Many(Scalar()):
                self.add(depth, f"if not isfinite(sum({value})): return False")
            case Table(Scalar()):
                self.add(depth, f"if not isfinite(sum({value}.values())): return False")
            case Many(inner) | Table(inner):
                variable = self._variable()
                self.add(depth, f"for {variable} in {value}{'' if isinstance(shape, Many) else '.values()'}:")
                self.find_nan(depth + 1, inner, variable)
            case Record(_, fields):
                for name, inner in fields:
                    if _may_be_nan(inner):
                        variable = self._variable()
                        self.add(depth, f"{variable} = {value}.{name}")
                        self.find_nan(depth, inner, variable)
            case _:
                self.add(depth, f"if not is_finite({value}): return False")

    def _variable(self) -> str:
        self._variables += 1
        return f"value{self._variables}"

    def _name(self, thing: object) -> str:
        if thing in _BUILT_IN:
            return _BUILT_IN[thing]
        name = f"known{len(self._names)}"
        self._names[name] = thing
        return name


_BUILT_IN: dict[object, str] = {str: "str", int: "int", bool: "bool", float: "float"}


def _scalar_flaw(kind: type[Any], name: str, value: str) -> str:
    wrong = f"type({value}) is not {name}"
    if kind is NoneType:
        return f"{value} is not None"
    if kind is float:  # NaN and infinities give NaN, which is true
        return f"{wrong} or {value} - {value}"
    if kind is Decimal:
        return f"{wrong} or not {value}.is_finite()"
    if kind is datetime:
        return f"{wrong} or ({value}.tzinfo is not UTC and ({value}.tzinfo is not None or {value}.fold))"
    return wrong
