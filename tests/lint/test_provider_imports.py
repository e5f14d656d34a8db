"""A provider sees of the core only what every stranger's may: errors, provider and hookspecs."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator

import pytest

from tests.support.commands import ROOT

#: All that a provider may import of the core.
ALLOWED = ("eventing_core.errors", "eventing_core.hookspecs", "eventing_core.provider")

#: The providers: what their modules are named by, and where they are.
PROVIDERS = {
    "eventing_core.memory": ROOT / "packages/eventing-core/src/eventing_core/memory",
    "eventing_amqp": ROOT / "packages/eventing-amqp/src/eventing_amqp",
    "eventing_stomp": ROOT / "packages/eventing-stomp/src/eventing_stomp",
    "eventing_sqlite": ROOT / "examples/eventing-sqlite/src/eventing_sqlite",
}


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """What a module of a package imports, with the line: type checkers' imports and ``import_module`` included."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                parts = package.split(".")
                base = parts[: len(parts) - level + 1] if level else []
                start = ".".join([*base, *([module] if module else [])])
                yield from ((node.lineno, f"{start}.{alias.name}") for alias in names)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(what)), *_]):
                if name in {"import_module", "__import__"}:
                    yield node.lineno, what


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def forbidden(source: str, package: str, provider: str) -> list[tuple[int, str]]:
    return [
        (line, name)
        for line, name in imported(source, package)
        if is_within(name, "eventing_core") and not any(is_within(name, each) for each in (*ALLOWED, provider))
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_imports_nothing_else_of_the_core(provider: str):
    folder = PROVIDERS[provider]
    modules = sorted(folder.rglob("*.py"))
    assert modules
    flawed = []
    for path in modules:
        package = ".".join([provider, *path.relative_to(folder).parent.parts])
        found = forbidden(path.read_text(encoding="utf-8"), package, provider)
        flawed += [f"{path.relative_to(ROOT)}:{line}: {name}" for line, name in found]
    assert not flawed, "\n".join(flawed)


@pytest.mark.parametrize(
    "source",
    [
        "from eventing_core.runtime._workers import Timer",
        "from eventing_core import _workers",
        "from eventing_core import EventManager",
        "import eventing_core",
        "import eventing_core.receive._shell as d",
        "if TYPE_CHECKING:\n    from eventing_core.receive._shell import Shell",
        "def late():\n    from eventing_core.testing import ProviderConformance",
        "from .._retry import Retry",
        "importlib.import_module('eventing_core.declare._retry')",
        "from eventing_core.providers import x",
    ],
)
def test_what_is_forbidden_is_found(source: str):
    assert len(forbidden(source, "eventing_core.memory", "eventing_core.memory")) == 1


def test_what_is_allowed_is_not():
    source = (
        "from eventing_core import errors, provider\n"
        "from eventing_core.provider.sockets import Loop\n"
        "from eventing_core.memory._queue import Queue\n"
        "from ._queue import Queue\n"
        "from ..provider import Delivery\n"
        "import json, eventing_core.hookspecs\n"
    )
    assert not forbidden(source, "eventing_core.memory", "eventing_core.memory")


def test_every_distribution_with_a_provider_is_looked_at():
    folders = {
        path.parent for path in ROOT.glob("*/*/pyproject.toml") if "eventing.providers" in path.read_text("utf-8")
    }
    assert {folder for folder in folders if any(folder in each.parents for each in PROVIDERS.values())} == folders
    assert len(folders) == len(PROVIDERS)


def test_the_contracts_forbid_every_other_room():
    """What import-linter forbids providers is a list, which a new room has to be on."""
    core = ROOT / "packages/eventing-core/src/eventing_core"
    rooms = {f"eventing_core.{path.parent.name}" for path in core.glob("*/__init__.py")}
    rooms |= {f"eventing_core.{path.stem}" for path in core.glob("[a-z]*.py")}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    [contract] = [one for one in settings["contracts"] if one["id"] == "providers"]
    assert set(contract["source_modules"]) == set(PROVIDERS)
    assert set(contract["forbidden_modules"]) == rooms - {*ALLOWED, "eventing_core.memory"}
