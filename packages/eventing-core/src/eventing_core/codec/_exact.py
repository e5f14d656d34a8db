"""Code made for one class: whether an event's values are exactly of their types, and whether its numbers are finite.

Written out for the class, as `dataclasses` does it: loops over fields would take several times as long as the encoding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, time
from decimal import Decimal
from types import NoneType
from typing import Any

from pydantic import BaseModel

from eventing_core.codec._schema import (
    Anything,
    Bounded,
    Choice,
    Many,
    Maybe,
    Record,
    Row,
    Scalar,
    Shape,
    Table,
    Unproven,
    is_proven,
)
from eventing_core.codec._structure import is_json

#: JSON readers take integers of no more digits. Runs of digits are looked at from their beginning alone.
_MOST_DIGITS = 4300
_too_long = re.compile(rb"(?<![0-9])[0-9]{%d}" % (_MOST_DIGITS - 1)).search

#: What pydantic writes in place of a lone surrogate, in keys of dictionaries alone; in values it refuses them.
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()


def encoder(  # noqa: PLR0913 (what an event is written and read with)
    shape: Record,
    to_json: Callable[..., bytes],
    validate_json: Callable[..., Any],
    same: Callable[[Any, Any], bool],
    otherwise: Callable[[object], bytes],
    *,
    by_name: bool,
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
        by_name: ``to_json`` writes neither aliases nor computed fields; each argument takes 20 ns.
    """
    names = {"to_json": to_json, "validate_json": validate_json, "same": same, "otherwise": otherwise}
    code = _Code("event", {**names, "too_long": _too_long, "is_json": is_json})
    proven = Record(shape.kind, tuple(field for field in shape.fields if is_proven(field[1])))
    others = [name for name, _ in shape.fields if name not in dict(proven.fields)]
    code.add(1, "try:")
    code.check_fields(2, proven, "event")
    turned_off = "" if by_name and not others else "by_alias=False, round_trip=True, "
    code.add(2, f"body = to_json(event, {turned_off}warnings=False)")
    if code.has_keys:
        code.add(2, f"if {_REPLACEMENT!r} in body: {code.otherwise}")
    if others:
        code.add(2, "back = validate_json(body, by_alias=True, by_name=True)")
        sent, read = code.fields(2, proven.kind, "event"), code.fields(2, proven.kind, "back")
        equal = " and ".join(f"same({sent % name}, {read % name})" for name in others)
        code.add(2, f"if {equal}: return body")
    elif code.has_integers:
        code.add(2, f"if len(body) < {_MOST_DIGITS} or not too_long(body): return body")
    else:
        code.add(2, "return body")
    code.add(1, "except Exception: pass")
    return code.function("encode")


def decoder(
    shape: Shape,
    validate_json: Callable[..., Any],
    is_finite: Callable[[object], bool],
    otherwise: Callable[[bytes], Any],
    max_bytes: int,
) -> Callable[[bytes], Any]:
    """Make the function that decodes a body.

    Args:
        shape: of the event.
        validate_json: reads.
        is_finite: looks for NaN in values of unknown shape.
        otherwise: decodes, or refuses, a body that isn't certain to be one.
        max_bytes: a larger body is left to ``otherwise``.
    """
    names = {"validate_json": validate_json, "is_finite": is_finite, "otherwise": otherwise}
    code = _Code("body", {**names, "max_bytes": max_bytes})
    code.add(1, "try:")
    code.add(2, "if len(body) <= max_bytes:")
    code.add(3, "event = validate_json(body, by_alias=True, by_name=True)")
    code.find_nan(3, shape, "event")
    code.add(3, "return event")
    code.add(1, "except Exception: pass")
    return code.function("decode")


def _may_be_nan(shape: Shape) -> bool:
    match shape:
        case Scalar(kind) | Bounded(kind):
            return kind is float
        case Anything():
            return True
        case Unproven(may_be_nan):
            return may_be_nan
        case Maybe(inner) | Many(inner) | Row(inner) | Table(inner):
            return _may_be_nan(inner)
        case Record(_, fields):
            return any(_may_be_nan(inner) for _, inner in fields)
        case _:
            return False


class _Code:
    """The lines of one function, and the names that they use."""

    def __init__(self, argument: str, names: dict[str, Any]) -> None:
        self._argument = argument
        self.otherwise = f"return otherwise({argument})"
        self._names: dict[str, Any] = {"isfinite": math.isfinite, "UTC": UTC, **names}
        self._lines: list[str] = []
        self._variables = 0
        self.has_integers = False
        self.has_keys = False

    def add(self, depth: int, line: str) -> None:
        self._lines.append("    " * depth + line)

    def function(self, name: str) -> Callable[[Any], Any]:
        self.add(1, self.otherwise)
        source = "\n".join([f"def {name}({self._argument}):", *self._lines])
        exec(compile(source, f"<eventing {name}>", "exec"), self._names)  # noqa: S102 (of checked field names alone)
        made: Callable[[Any], Any] = self._names[name]
        return made

    def fields(self, depth: int, kind: type[Any], value: str) -> str:
        """How a field of an object is written, with %s for its name."""
        if not issubclass(kind, BaseModel):
            return f"{value}.%s"
        held = self._variable()  # as attributes, a model's fields take twice as long
        self.add(depth, f"{held} = {value}.__dict__")
        return f'{held}["%s"]'

    def check_fields(self, depth: int, record: Record, value: str) -> None:
        """Leave for `otherwise` what is not exact in an object's fields."""
        written = self.fields(depth, record.kind, value)
        for name, shape in record.fields:
            attribute = written % name
            if isinstance(shape, Scalar) and shape.kind not in {float, Decimal, datetime, time}:  # looked at once
                self._check(depth, shape, attribute)
            else:
                variable = self._variable()
                self.add(depth, f"{variable} = {attribute}")
                self._check(depth, shape, variable)

    def _check(self, depth: int, shape: Shape, value: str) -> None:
        flaw = self._flaw(shape, value)
        if flaw is not None:
            self.add(depth, f"if {flaw}: {self.otherwise}")
            return
        match shape:
            case Maybe(inner):
                self.add(depth, f"if {value} is not None:")
                self._check(depth + 1, inner, value)
            case Record(kind):
                self.add(depth, f"if type({value}) is not {self._name(kind)}: {self.otherwise}")
                self.check_fields(depth, shape, value)
            case Many(inner) | Row(inner):
                item = self._variable()
                sequence = "list" if isinstance(shape, Many) else "tuple"
                self.add(depth, f"if type({value}) is not {sequence}: {self.otherwise}")
                self.add(depth, f"for {item} in {value}:")
                self._check(depth + 1, inner, item)
            case Table(inner):
                self.has_keys = True
                key, item = self._variable(), self._variable()
                self.add(depth, f"if type({value}) is not dict: {self.otherwise}")
                self.add(depth, f"for {key}, {item} in {value}.items():")
                self.add(depth + 1, f"if type({key}) is not str: {self.otherwise}")
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
            case Anything():
                self.has_integers = True
                return f"not is_json({value})"
            case Bounded(kind, accepts):
                self.has_integers = self.has_integers or kind is int
                return f"{_scalar_flaw(kind, self._name(kind), value)} or not {self._name(accepts)}({value})"
            case Scalar(kind):
                self.has_integers = self.has_integers or kind is int
                return _scalar_flaw(kind, self._name(kind), value)
            case _:
                return None

    def find_nan(self, depth: int, shape: Shape, value: str) -> None:
        """Leave for `otherwise` what is not finite: subtracted from itself, such a number is NaN, which is true."""
        if not _may_be_nan(shape):
            return
        match shape:
            case Scalar() | Bounded():
                self.add(depth, f"if {value} - {value}: {self.otherwise}")
            case Maybe(inner):
                self.add(depth, f"if {value} is not None:")
                self.find_nan(depth + 1, inner, value)
            case Many(Scalar() | Bounded()) | Row(Scalar() | Bounded()):
                self.add(depth, f"if not isfinite(sum({value})): {self.otherwise}")
            case Table(Scalar() | Bounded()):
                self.add(depth, f"if not isfinite(sum({value}.values())): {self.otherwise}")
            case Many(inner) | Row(inner) | Table(inner):
                variable = self._variable()
                self.add(depth, f"for {variable} in {value}{'.values()' if isinstance(shape, Table) else ''}:")
                self.find_nan(depth + 1, inner, variable)
            case Record(kind, fields):
                written = self.fields(depth, kind, value)
                for name, inner in fields:
                    if _may_be_nan(inner):
                        variable = self._variable()
                        self.add(depth, f"{variable} = {written % name}")
                        self.find_nan(depth, inner, variable)
            case _:
                self.add(depth, f"if not is_finite({value}): {self.otherwise}")

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
    if kind is time:
        return f"{wrong} or {value}.tzinfo is not None or {value}.fold"
    if kind is datetime:
        return f"{wrong} or ({value}.tzinfo is not UTC and ({value}.tzinfo is not None or {value}.fold))"
    return wrong
