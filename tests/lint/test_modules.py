"""Modules import in no circle, and none has grown beyond what can be read at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.lint.test_provider_imports import imported
from tests.support.commands import ROOT

#: Lines that a module may have.
LIMIT = 400


def modules() -> dict[str, Path]:
    """All modules of the packages and examples, by name; packages are named after their folder."""
    found: dict[str, Path] = {}
    for source in [*ROOT.glob("packages/*/src"), *ROOT.glob("examples/*/src")]:
        for path in source.rglob("*.py"):
            parts = path.relative_to(source).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(sources: Mapping[str, str], packages: frozenset[str]) -> dict[str, set[str]]:
    """Which of these modules each one imports, anywhere: at its top, for type checkers, or in a function."""

    def module_of(name: str) -> str:
        while name and name not in sources:
            name = name.rpartition(".")[0]
        return name

    return {
        name: {module_of(each) for _, each in imported(source, name if name in packages else name.rpartition(".")[0])}
        - {"", name}
        for name, source in sources.items()
    }


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other: strongly connected components (Tarjan), smallest ways first."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> Iterator[str]:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in order:
                yield other
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for module in graph:
        ways = [visit(module)] if module not in order else []
        while ways:
            try:
                ways.append(visit(next(ways[-1])))
            except StopIteration:
                ways.pop()
    return sorted(found)


def test_no_module_imports_another_that_imports_it():
    found = modules()
    packages = frozenset(name for name, path in found.items() if path.name == "__init__.py")
    sources = {name: path.read_text(encoding="utf-8") for name, path in found.items()}
    graph = imports(sources, packages)
    assert len(graph) > 100
    flawed = [f"{one} -> {', '.join(sorted(graph[one] & set(circle)))}" for circle in circles(graph) for one in circle]
    assert not flawed, "circles of imports:\n" + "\n".join(flawed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("from p.b import x", "import p.a"),
        ("from p import b", "from .a import y"),
        ("from . import b", "def late():\n    from p.a import y"),
        ("if TYPE_CHECKING:\n    from p.b import X", "if TYPE_CHECKING:\n    import p.a"),
        ("import p.b as b", "importlib.import_module('p.a')"),
        ("from p.b import c", "from p.c import z"),
        ("from p import name", ""),
    ],
)
def test_a_circle_is_found(one: str, other: str):
    sources = {"p": "from p.a import name", "p.a": one, "p.b": other, "p.c": "from p.a import w"}
    found = circles(imports(sources, frozenset({"p"})))
    assert len(found) == 1, found
    assert "p.a" in found[0]


def test_what_is_no_circle_is_not_found():
    sources = {
        "p": "from p.a import x",
        "p.a": "from p.b import x\nfrom p.c import y",
        "p.b": "from p.c import y",
        "p.c": "",
    }
    assert not circles(imports(sources, frozenset({"p"})))


def test_no_module_is_too_long_to_read():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    flawed = [
        f"{name} has {lines} lines, more than {LIMIT}: split it" for name, lines in lengths.items() if lines > LIMIT
    ]
    assert not flawed, "\n".join(flawed)
