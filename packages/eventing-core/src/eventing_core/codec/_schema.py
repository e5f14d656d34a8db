"""What pydantic's core schema of an event class says: which values provably arrive as they were sent.

A core schema is data (nested dictionaries), and the only complete statement of what pydantic does with a class. Only
what is known here node by node and key by key counts as proven. Whatever a later pydantic adds is unproven, and
therefore verified at each send.
"""

from __future__ import annotations

import dataclasses
import inspect
import keyword
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from types import MemberDescriptorType, NoneType
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import SchemaValidator

Node: TypeAlias = Mapping[str, Any]

#: Containers and records within each other: they become loops within loops, of which Python allows twenty.
_DEEPEST = 15

#: Nodes of one class, with those of the classes in it: each becomes code.
_MOST_NODES = 1000

#: Configuration that changes neither what is written of an exactly typed value nor what is read of it.
_HARMLESS_CONFIG = frozenset(
    {
        *("title", "from_attributes", "loc_by_alias", "hide_input_in_errors", "validation_error_cause", "frozen"),
        *("populate_by_name", "validate_by_name", "validate_by_alias", "serialize_by_alias", "revalidate_instances"),
        *("coerce_numbers_to_str", "validate_default", "cache_strings", "regex_engine"),
        *("ser_json_inf_nan", "allow_inf_nan"),  # only finite numbers are proven
    }
)

_BY_ALIAS = "serialize_by_alias"

_ALWAYS = frozenset({"type", "ref", "metadata"})

#: Kinds of nodes that may yield NaN or an infinity.
_MAY_BE_NAN = frozenset({"float", "any", "complex", "is-instance", "callable", "generator", "call", "custom-error"})


#: Containers, which are of anything where no schema says of what.
_CONTAINERS = frozenset({"list", "tuple", "set", "frozenset", "dict"})

#: Keys of nodes whose values are no nodes, or don't concern what is read.
_NO_SCHEMA = frozenset(
    {*("metadata", "serialization", "default", "function", "cls", "config", "members", "expected", "computed_fields")}
)


class Scalar(NamedTuple):
    """A value of exactly that type; a float or Decimal is finite, a datetime naive or in UTC, a time naive."""

    kind: type[Any]


class Choice(NamedTuple):
    """One of these strings."""

    values: frozenset[str]


class Bounded(NamedTuple):
    """A value of exactly that type which keeps within bounds."""

    kind: type[Any]
    accepts: Callable[[object], bool]


class Anything(NamedTuple):
    """What JSON has itself: strings, numbers, booleans, None, and lists and string-keyed dictionaries of these."""


class Maybe(NamedTuple):
    """None, or that."""

    inner: Shape


class Many(NamedTuple):
    """A list of that."""

    inner: Shape


class Row(NamedTuple):
    """A tuple of that, of any length."""

    inner: Shape


class Table(NamedTuple):
    """A dictionary from strings to that."""

    inner: Shape


class Record(NamedTuple):
    """An object of exactly that dataclass or model."""

    kind: type[Any]
    fields: tuple[tuple[str, Shape], ...]


class Unproven(NamedTuple):
    """Anything else."""

    may_be_nan: bool


Shape: TypeAlias = Scalar | Choice | Bounded | Anything | Maybe | Many | Row | Table | Record | Unproven

_SCALARS: dict[str, type[Any]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": float,
    "none": NoneType,
    "uuid": UUID,
    "date": date,
    "datetime": datetime,
    "time": time,
    "timedelta": timedelta,
    "bytes": bytes,
    "decimal": Decimal,
}

#: Constraints that say no or yes, and change nothing.
_BOUNDS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("int", "float"), frozenset({"gt", "ge", "lt", "le", "multiple_of"})),
    "str": frozenset({"min_length", "max_length"}),
    "decimal": frozenset({"gt", "ge", "lt", "le", "multiple_of", "max_digits", "decimal_places"}),
}

#: Keys that a scalar's node may have. JSON has these four types itself, so strictness changes nothing.
_SCALAR_KEYS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("str", "bool", "int"), frozenset({"strict"})),
    "float": frozenset({"strict", "allow_inf_nan"}),
    **dict.fromkeys(("datetime", "time", "timedelta"), frozenset({"microseconds_precision"})),
}


def shape_of(schema: Node) -> Shape:
    """What values of that schema look like."""
    definitions = {node["ref"]: node for node in schema.get("definitions", ())}
    return _Reader(definitions).read(schema["schema"] if schema["type"] == "definitions" else schema, ())


def is_written_by_name(schema: Node) -> bool:
    """Whether pydantic's defaults write no aliases and no computed fields, so that neither has to be turned off."""
    return not any(
        node.get("serialization_alias") or node.get("computed_fields") or (node.get("config") or {}).get(_BY_ALIAS)
        for node in nodes_in(schema)
    )


def is_proven(shape: Shape) -> bool:
    """Whether values of that shape provably arrive as they were sent."""
    match shape:
        case Unproven():
            return False
        case Maybe(inner) | Many(inner) | Row(inner) | Table(inner):
            return is_proven(inner)
        case Record(_, fields):
            return all(is_proven(inner) for _, inner in fields)
        case _:
            return True


class _Reader:
    def __init__(self, definitions: Mapping[str, Node]) -> None:
        self._definitions = definitions
        self._nodes = 0

    def read(self, node: Node, within: tuple[str, ...]) -> Shape:
        shape = self._proven(node, within)
        return Unproven(self._may_be_nan(node, set())) if shape is None else shape

    def _proven(self, node: Node, within: tuple[str, ...]) -> Shape | None:  # noqa: C901, PLR0911, PLR0912 (one for each kind)
        kind: str = node["type"]
        if kind == "definition-ref":
            target = node["schema_ref"]
            if not _has_only(node, "schema_ref") or target in within:  # recursive: as deep as its values
                return None
            return self._proven(self._definitions[target], within)
        if "ref" in node or kind in _CONTAINERS:
            within = (*within, node.get("ref", ""))
        self._nodes += 1
        if len(within) > _DEEPEST or self._nodes > _MOST_NODES:
            return None
        if kind in _SCALARS:
            return _scalar(node)
        match kind:
            case "enum":
                return _enum(node)
            case "literal":
                values = node["expected"]
                proven = _has_only(node, "expected") and all(type(value) is str for value in values)
                return Choice(frozenset(values)) if proven else None
            case "nullable":
                return Maybe(self.read(node["schema"], within)) if _has_only(node, "schema") else None
            case "default":
                return self._default(node, within)
            case "list":
                return Many(self.read(node["items_schema"], within)) if _has_only(node, "items_schema") else None
            case "tuple":
                proven = _has_only(node, "items_schema", "variadic_item_index") and len(node["items_schema"]) == 1
                is_row = proven and node.get("variadic_item_index") == 0
                return Row(self.read(node["items_schema"][0], within)) if is_row else None
            case "any":
                return Anything() if _has_only(node) else None
            case "dict":
                proven = _has_only(node, "keys_schema", "values_schema") and "values_schema" in node
                if not proven or self._proven(node["keys_schema"], within) != Scalar(str):
                    return None
                return Table(self.read(node["values_schema"], within))
            case "model":
                return self._model(node, within)
            case "dataclass":
                return self._dataclass(node, within)
            case _:
                return None

    def _default(self, node: Node, within: tuple[str, ...]) -> Shape | None:
        """A default is not used for what was written."""
        known = ("schema", "default", "default_factory", "default_factory_takes_data", "validate_default")
        return self.read(node["schema"], within) if _has_only(node, *known) else None

    def _model(self, node: Node, within: tuple[str, ...]) -> Shape | None:
        cls, fields = node["cls"], node["schema"]
        known = ("cls", "schema", "config", "custom_init", "root_model", "generic_origin", "frozen")
        if not _has_only(node, *known) or node.get("custom_init") or node.get("root_model"):
            return None
        if not _has_only(fields, "fields", "model_name", "computed_fields") or fields["type"] != "model-fields":
            return None
        if not _is_harmless(node.get("config")) or _attributes_of(cls) is not _attributes_of(BaseModel):
            return None
        named = dict(fields["fields"])
        return self._record(cls, named, within) if set(named) == set(cls.model_fields) else None

    def _dataclass(self, node: Node, within: tuple[str, ...]) -> Shape | None:
        cls, arguments = node["cls"], node["schema"]
        known = ("cls", "schema", "config", "post_init", "fields", "slots", "generic_origin", "frozen", "cls_name")
        if not _has_only(node, *known) or node.get("post_init") or not _is_harmless(node.get("config")):
            return None
        parts = ("fields", "dataclass_name", "computed_fields", "collect_init_only")
        if not _has_only(arguments, *parts) or arguments["type"] != "dataclass-args":
            return None
        named = {field["name"]: field for field in arguments["fields"]}
        if set(named) != {field.name for field in dataclasses.fields(cls)}:
            return None
        return self._record(cls, named, within)

    def _record(self, cls: type[Any], named: Mapping[str, Node], within: tuple[str, ...]) -> Shape | None:
        own = (inspect.getattr_static(cls, name) for name in ("__new__", "__getattribute__"))
        plain = list(own) == [inspect.getattr_static(object, name) for name in ("__new__", "__getattribute__")]
        if not plain or not all(_is_plain_field(cls, name, field, named) for name, field in named.items()):
            return None
        return Record(cls, tuple((name, self.read(field["schema"], within)) for name, field in named.items()))

    def _may_be_nan(self, node: object, seen: set[str]) -> bool:
        for inner in nodes_in(node):
            kind = inner["type"]
            if kind == "definition-ref":
                target = inner["schema_ref"]
                if target not in seen:
                    seen.add(target)
                    if self._may_be_nan(self._definitions[target], seen):
                        return True
            elif kind in _MAY_BE_NAN or str(kind).startswith("function-"):
                if inner.get("allow_inf_nan") is not False:
                    return True
            elif kind in _CONTAINERS and not any(key.endswith("_schema") for key in inner):
                return True  # of anything
            elif (kind == "decimal" and inner.get("allow_inf_nan")) or _keeps_extra(inner):
                return True
        return False


def nodes_in(value: object) -> list[Node]:
    """Every node in a part of a schema, itself included. Classes, functions, defaults are not schema."""
    found: list[Node] = []
    if isinstance(value, Mapping):
        if isinstance(value.get("type"), str):
            found.append(value)
            parts = [part for key, part in value.items() if key not in _NO_SCHEMA]
        else:  # fields, or choices, by their names
            parts = list(value.values())
    elif isinstance(value, list | tuple):
        parts = list(value)
    else:
        return []
    for part in parts:
        found += nodes_in(part)
    return found


def _has_only(node: Node, *keys: str) -> bool:
    return set(node) <= {*_ALWAYS, *keys}


def _keeps_extra(node: Node) -> bool:
    config = node.get("config") or {}
    return "allow" in {node.get("extra_behavior"), config.get("extra_fields_behavior")} or bool(
        config.get("allow_inf_nan")
    )


def _is_harmless(config: Node | None) -> bool:
    return all(
        key in _HARMLESS_CONFIG or (key == "extra_fields_behavior" and value in {"ignore", "forbid"})
        for key, value in (config or {}).items()
    )


def _attributes_of(cls: type[Any]) -> object:
    """What is asked for attributes that aren't there."""
    return inspect.getattr_static(cls, "__getattr__", None)


def _scalar(node: Node) -> Shape | None:
    kind = node["type"]
    rest = set(node) - _ALWAYS - _SCALAR_KEYS.get(kind, frozenset())
    if not rest:
        return Scalar(_SCALARS[kind])
    if not rest <= _BOUNDS.get(kind, frozenset()):
        return None
    schema: Any = node
    return Bounded(_SCALARS[kind], SchemaValidator(schema).isinstance_python)


def _enum(node: Node) -> Shape | None:
    cls: type[Enum] = node["cls"]
    if not _has_only(node, "cls", "members", "sub_type") or issubclass(cls, Flag):
        return None
    kinds = {type(member.value) for member in node["members"]}
    proven = kinds in ({str}, {int}) and all(cls(member.value) is member for member in node["members"])
    return Scalar(cls) if proven else None


def _is_plain_field(cls: type[Any], name: str, field: Node, named: Mapping[str, Node]) -> bool:
    """Whether a field takes part in ``__init__``, and is read as it is written."""
    known = ("name", "schema", "kw_only", "init", "frozen", "validation_alias", "serialization_alias")
    if not _has_only(field, *known) or field.get("init") is False:
        return False
    alias = field.get("validation_alias", name)
    if not isinstance(alias, str) or (alias != name and alias in named):  # the alias is looked for first
        return False
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        return False
    attribute = inspect.getattr_static(cls, name, None)
    if issubclass(cls, BaseModel):
        return attribute is None
    return isinstance(attribute, MemberDescriptorType) or not hasattr(type(attribute), "__set__")
