"""Each lock says what it guards."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.support.commands import ROOT

#: What makes a lock, by its name.
LOCKS = frozenset({"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "allocate_lock"})


def names_lock(node: ast.AST) -> bool:
    """Of asyncio's it is no lock between threads."""
    match node:
        case ast.Attribute(value=ast.Name(id="asyncio")):
            return False
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name in LOCKS
    return False


def makes_lock(node: ast.AST) -> bool:
    """It calls one of these, or gives it to somebody who does, such as ``field(default_factory=threading.Lock)``."""
    return isinstance(node, ast.Call) and any(
        names_lock(part) for part in (node.func, *node.args, *(keyword.value for keyword in node.keywords))
    )


def targets(statement: ast.stmt) -> tuple[str, ...]:
    match statement:
        case ast.Assign(targets=found):
            return tuple(sorted({ast.unparse(part) for one in found for part in getattr(one, "elts", [one])}))
        case ast.AnnAssign(target=target):
            return (ast.unparse(target),)
    return ()


def locks(source: str) -> Iterator[tuple[ast.stmt, tuple[str, ...]]]:
    """The statements that make locks, each with the names that it gives, within its class."""
    # The innermost statement comes last, and is the one that counts.
    inner: dict[ast.AST, tuple[ast.stmt, str]] = {}

    def visit(node: ast.AST, statement: ast.stmt | None, cls: str) -> None:
        if isinstance(node, ast.stmt):
            statement = node
        if isinstance(node, ast.ClassDef):
            cls = f"{cls}{node.name}."
        if statement is not None and makes_lock(node):
            inner[node] = statement, cls
        for child in ast.iter_child_nodes(node):
            visit(child, statement, cls)

    visit(ast.parse(source), None, "")
    for statement, cls in dict.fromkeys(inner.values()):
        yield statement, tuple(f"{cls}{name}" for name in targets(statement))


def silent(source: str) -> list[int]:
    """The lines of locks without a comment beside them, or directly above; one for two that stand together will do.

    A lock that is made anew, after a fork say, needs none if the first one has it.
    """
    comments = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith("# noqa")
    }
    found = list(locks(source))
    told: set[int] = set()
    for statement, _ in sorted(found, key=lambda one: one[0].lineno):
        first, last = statement.lineno, statement.end_lineno or statement.lineno
        if comments.intersection(range(first - 1, last + 1)) or first - 1 in told:
            told.update(range(first, last + 1))
    known = {name for statement, names in found for name in names if statement.lineno in told}
    return sorted(
        statement.lineno for statement, names in found if statement.lineno not in told and not known.intersection(names)
    )


def test_each_lock_says_what_it_guards():
    flawed, count = [], 0
    for folder in ("packages", "examples"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text("utf-8")
            count += len(list(locks(source)))
            flawed += [f"{path.relative_to(ROOT)}:{line}" for line in silent(source)]
    assert count > 20
    assert not flawed, "\n".join(flawed)


@pytest.mark.parametrize(
    "source",
    [
        "lock = threading.Lock()",
        "lock = Lock()",
        "# about something else\n\nlock = threading.RLock()",
        "class A:\n    def __init__(self):\n        self._a = 1\n        self._lock = threading.Lock()",
        "changed = threading.Condition(threading.Lock())",
        "class A:\n    lock: threading.Lock = field(default_factory=threading.Lock)",
        "lock, other = threading.Lock(), 1",
        "lock = threading.Lock()  # noqa: X1 (why)",
        "room = threading.BoundedSemaphore(3)",
        "lock = _thread.allocate_lock()",
        "serve(threading.Lock())",
        "class A:\n    # Guards a.\n    lock = threading.Lock()\n\nclass B:\n    lock = threading.Lock()",
    ],
)
def test_a_lock_without_a_comment_is_found(source: str):
    assert len(silent(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "# Guards all.\nlock = threading.Lock()",
        "lock = threading.Lock()  # guards all",
        "#: Guards all.\nlock: threading.Lock = threading.Lock()",
        "# Guards all.\nlock = threading.Lock()\nchanged = threading.Condition(lock)",
        "# Guards all.\nchanged = threading.Condition(\n    threading.Lock()\n)",
        "class A:\n    # Guards all.\n    a = threading.Lock()\n\n    def anew(self):\n        a = threading.Lock()",
        "class A:\n    def __init__(self, lock: threading.Lock) -> None: ...",
        "import threading",
        "changed = asyncio.Condition()",
    ],
)
def test_a_lock_with_a_comment_is_not(source: str):
    assert not silent(source)


def test_what_is_said_to_rely_on_the_gil_is_there():
    [record] = (ROOT / "docs" / "decisions").glob("*-what-relies-on-the-gil.md")
    places = re.findall(r"^\| `(\w+)(/[\w/]+\.py)` `(\w+)` \|", record.read_text("utf-8"), re.MULTILINE)
    assert len(places) > 20
    for package, path, name in places:
        [source] = ROOT.glob(f"packages/*/src/{package}")
        file = source / path.removeprefix("/")
        assert file.exists(), f"{package}{path} is gone"
        assert re.search(rf"\b{name}\b", file.read_text("utf-8")), f"{package}{path} has no {name}"
