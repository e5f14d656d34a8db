from __future__ import annotations

import re

from tests.support.commands import ROOT, check, module, script


def test_ruff_check():
    check(*module("ruff"), "check", "--no-fix")


def test_ruff_format():
    check(*module("ruff"), "format", "--check", "--diff")


def test_import_layers():
    output = check(script("lint-imports"), "--cache-dir", ".cache/import-linter")
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", output)


def test_every_exception_from_a_rule_has_its_reason():
    """``# noqa: CODE (why)``, in what users install and read. The type checkers' codes say enough."""
    bare = re.compile(r"# noqa(?!: [A-Z0-9, ]+ \()")
    flawed = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in ("packages", "examples")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line)
    ]
    assert not flawed, "\n".join(flawed)
