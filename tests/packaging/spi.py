"""The provider interface in words: what `spi.txt` pins. ``python -m tests.packaging.spi --write`` writes it anew.

Of the public modules that providers are written with, every public name: constants, aliases, functions, and classes
with their fields, members and methods. Where a name is defined makes no difference, and no order but that of
fields, whose order is part of a signature. Attributes that only a constructor sets can't be seen here.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = ("eventing_core.provider", "eventing_core.hookspecs", "eventing_core.testing", "eventing_core.errors")
SNAPSHOT = Path(__file__).with_name("spi.txt")
COMMAND = "python -m tests.packaging.spi --write"

#: What a base class that isn't ours brings is its own business.
OURS = "eventing_core"
#: Of the names with underscores, those that one calls.
CALLED = {"__init__", "__call__"}


def describe() -> str:
    """The whole interface."""
    modules = [importlib.import_module(name) for name in MODULES]
    return "\n".join(line for module in modules for line in describe_module(module))


def describe_module(module: ModuleType) -> Iterator[str]:
    yield f"# {module.__name__}"
    yield ""
    for name in sorted(getattr(module, "__all__", [])) or sorted(defined(module)):
        yield from describe_name(name, getattr(module, name))
        yield ""


def defined(module: ModuleType) -> Iterator[str]:
    """The public names of a module that lists none."""
    for name, value in vars(module).items():
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__:
            yield name


def describe_name(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield from describe_class(name, value)
    elif inspect.isfunction(value):
        yield from hook_options(value)
        yield f"def {name}{signature(value)}"
    else:
        yield f"{name} = {shown(value)}"


def describe_class(name: str, cls: type[Any]) -> Iterator[str]:
    if dataclasses.is_dataclass(cls):
        yield "@dataclass(frozen=True)" if cls.__dataclass_params__.frozen else "@dataclass"  # type: ignore[attr-defined]
    yield f"class {name}" + (f"({', '.join(found)}):" if (found := bases(cls)) else ":")
    yield from (f"    {line}" for line in [*fields(cls), *sorted(members(cls))])


def bases(cls: type[Any]) -> list[str]:
    """The bases that are not ours, as they tell what a class is: an enumeration, a protocol, a model."""
    return [base.__name__ for base in cls.__mro__[1:-1] if not is_ours(base)]


def is_ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).startswith(OURS)


def fields(cls: type[Any]) -> Iterator[str]:
    """The fields of a dataclass, in the order of its constructor's arguments."""
    keywords = False
    found = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    for field in sorted(found, key=lambda field: bool(field.kw_only)):
        if field.kw_only and not keywords:
            keywords = True
            yield "*"
        text = f"{field.name}: {annotation(field.type)}"
        if field.default is not dataclasses.MISSING:
            text += f" = {shown(field.default)}"
        elif field.default_factory is not dataclasses.MISSING:
            text += f" = {getattr(field.default_factory, '__name__', '...')}()"
        yield text


def members(cls: type[Any]) -> Iterator[str]:
    """Everything else that has a public name, in no order. The kit's tests are not part of its interface."""
    own = [base for base in cls.__mro__ if is_ours(base)]
    found = {name: value for base in reversed(own) for name, value in vars(base).items()}
    annotations = {name: kind for base in reversed(own) for name, kind in inspect.get_annotations(base).items()}
    known = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set[str]()
    if dataclasses.is_dataclass(cls) or not is_ours(found.get("__init__")):
        found.pop("__init__", None)  # it says what the fields say, or is typing's own
    for name in sorted(found.keys() | annotations.keys()):
        if name in known or name.startswith("test_") or (name.startswith("_") and name not in CALLED):
            continue
        if name in found and not inspect.ismemberdescriptor(found[name]):
            yield describe_member(name, found[name], annotations.get(name))
        else:
            yield f"{name}: {annotation(annotations[name])}"


def describe_member(name: str, value: Any, kind: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"{name} = {shown(value.value)}"
    if isinstance(value, property):
        return f"property {name}{signature(value.fget)}"
    if isinstance(value, (classmethod, staticmethod)):
        return f"{type(value).__name__} {name}{signature(value.__func__)}"
    if inspect.isfunction(value):
        return f"{'abstract ' if getattr(value, '__isabstractmethod__', False) else ''}def {name}{signature(value)}"
    if hasattr(value, "__wrapped__"):
        return f"fixture {name}{signature(value)}"
    return f"{name}{'' if kind is None else f': {annotation(kind)}'} = {shown(value)}"


def hook_options(function: Any) -> Iterator[str]:
    options = getattr(function, "eventing_spec", None)
    if options is not None:
        yield f"@hookspec({', '.join(f'{key}={value}' for key, value in sorted(options.items()) if value)})"


def signature(function: Any) -> str:
    found = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=Written(annotation(parameter.annotation)))
        if parameter.annotation is not parameter.empty
        else parameter
        for parameter in found.parameters.values()
    ]
    result = "" if found.return_annotation is found.empty else f" -> {annotation(found.return_annotation)}"
    return f"{found.replace(parameters=parameters, return_annotation=found.empty)}{result}"


class Written(str):
    """An annotation that shows itself without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def annotation(kind: Any) -> str:
    """An annotation, however its module writes it; without the modules that its names come from."""
    text = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    return re.sub(r"\b(\w+\.)+(?=[A-Za-z_])", "", text).replace('"', "'")


def shown(value: Any) -> str:
    """A plain value, or an alias; of anything else its kind."""
    if isinstance(value, frozenset):  # in one order, whatever the hashes
        return f"frozenset({sorted(value)!r})"
    if type(value).__module__ == "builtins":
        return repr(value)
    if type(value).__module__ in {"typing", "types", "collections.abc"}:
        return annotation(value)
    return f"{type(value).__name__}(...)"


def main() -> None:
    if sys.argv[1:] == ["--write"]:
        SNAPSHOT.write_text(describe(), encoding="utf-8")
    else:
        sys.stdout.write(describe())


if __name__ == "__main__":
    main()
