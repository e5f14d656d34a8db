"""What an event class shows by itself: fields that can never arrive, and fields that are left out on purpose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from pydantic_core import SchemaSerializer, SchemaValidator

from eventing_core.codec._schema import Node

#: Nodes of which each value goes on in a node within, by that key.
_ONE_WITHIN = {
    "nullable": "schema",
    "default": "schema",
    "function-after": "schema",
    "list": "items_schema",
    "set": "items_schema",
    "frozenset": "items_schema",
    "dict": "values_schema",
    "lax-or-strict": "lax_schema",
    "json-or-python": "json_schema",
    "model": "schema",
    "dataclass": "schema",
}

#: Nodes that no JSON satisfies, and what to say of them.
_NOT_JSON = {
    "generator": "is an iterable, which is read lazily. Annotate it as a list",
    "callable": "is a callable, which JSON can't hold. Remove it, or send a name in its place",
    "is-instance": "is of a class that can't be made from JSON. Give it a validator that makes one",
    "is-subclass": "is a class, which JSON can't hold. Send its name as a string in its place",
}


class Findings:
    """What was found in the schema of an event class.

    Attributes:
        flaws: one sentence for each field that can never arrive, which begins with the class and the field.
        excluded: by class, the fields with ``exclude=True`` and a default.
    """

    def __init__(self, schema: Node) -> None:
        self.flaws: list[str] = []
        self.excluded: dict[type[Any], frozenset[str]] = {}
        self._definitions: dict[str, Node] = {node["ref"]: node for node in schema.get("definitions", ())}
        self._left_out: defaultdict[type[Any], set[str]] = defaultdict(set)
        self._seen: set[str] = set()
        for node in self._definitions.values():
            self._look(node, "", certain=False)
        self._seen.clear()
        self._look(schema["schema"] if schema["type"] == "definitions" else schema, "", certain=True)
        self.excluded = {cls: frozenset(names) for cls, names in self._left_out.items()}

    def _look(  # noqa: C901, PLR0912 (one for each kind)
        self, node: Node, where: str, *, certain: bool, cls: type[Any] | None = None
    ) -> None:
        """Look into a node.

        Args:
            node: to look into.
            where: class and field that it belongs to.
            certain: the values of the field can't do without this node, as with one of several in a union.
            cls: the class that it is the inside of.
        """
        kind = node.get("type", "")  # arguments of calls have none
        if "serialization" in node:
            if certain and _is_secret(node["serialization"]):
                self._add(
                    f"{where} is a secret, which is written as asterisks. Give it a serializer that writes its value"
                )
            return
        if kind == "definition-ref":
            target = node["schema_ref"]
            if target not in self._seen:
                self._seen.add(target)
                self._look(self._definitions[target], where, certain=certain)
        elif kind in {"model-fields", "dataclass-args", "typed-dict"}:
            label = where if cls is None else f"{cls.__module__}.{cls.__qualname__}"
            for name, field in _fields_of(node):
                self._look_at_field(cls, name, field, f"{label}.{name}", certain=certain)
        elif kind in _ONE_WITHIN:
            inside = node.get(_ONE_WITHIN[kind])
            if inside is not None:
                self._look(inside, where, certain=certain, cls=node.get("cls", cls))
        elif kind == "literal":
            if certain and not any(map(_arrives, [node] * len(node["expected"]), node["expected"])):
                enums = any(isinstance(value, Enum) for value in node["expected"])
                hint = "Derive the enum from str (or use StrEnum)" if enums else "Use strings or integers"
                self._add(f"{where} is a Literal whose values can't be read back from JSON. {hint}")
        elif kind in _NOT_JSON:
            if certain:
                self._add(f"{where} {_NOT_JSON[kind]}")
        else:
            for inside in _inside(node):
                self._look(inside, where, certain=False, cls=cls)

    def _look_at_field(self, cls: type[Any] | None, name: str, field: Node, where: str, *, certain: bool) -> None:
        required = field["schema"]["type"] != "default" and field.get("required") is not False
        if field.get("init_only"):
            if required and certain:
                self._add(f"{where} is a required InitVar, which is not written. Give it a default, or make it a field")
        elif field.get("serialization_exclude"):
            if required and certain:
                self._add(f"{where} has exclude=True and no default, and is not written. Give it a default")
            if cls is not None and not required:
                self._left_out[cls].add(name)
        else:
            self._look(field["schema"], where, certain=certain)

    def _add(self, flaw: str) -> None:
        if flaw not in self.flaws:
            self.flaws.append(flaw)


def _fields_of(node: Node) -> list[tuple[str, Node]]:
    fields = node["fields"]
    return list(fields.items()) if isinstance(fields, Mapping) else [(field["name"], field) for field in fields]


def _inside(node: Node) -> Iterator[Node]:
    """The nodes directly within one of another kind."""
    for key in ("schema", "choices", "steps", "items_schema", "arguments_schema"):
        found = node.get(key, ())
        if isinstance(found, Mapping):
            found = [found] if "type" in found and isinstance(found["type"], str) else list(found.values())
        for part in found:
            inside = part[0] if isinstance(part, tuple) else part
            if isinstance(inside, Mapping):
                yield inside


def _is_secret(serialization: Node) -> bool:
    function = serialization.get("function")
    return getattr(function, "__module__", "") == "pydantic.types" and "secret" in getattr(function, "__name__", "")


def _arrives(node: Node, value: object) -> bool:
    """Whether one of a literal's values is read back as itself."""
    schema: Any = node
    try:
        body = SchemaSerializer(schema).to_json(value, warnings=False)
        back = SchemaValidator(schema).validate_json(body)
    except ValueError:
        return False
    return type(back) is type(value) and back is value if isinstance(value, Enum) else type(back) is type(value)
