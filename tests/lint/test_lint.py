from __future__ import annotations

import re
import subprocess

from tests.support.commands import ROOT, check, module, script


def test_ruff_check():
    check(*module("ruff"), "check", "--no-fix")


def test_ruff_format():
    check(*module("ruff"), "format", "--check", "--diff")


def test_import_layers():
    output = check(script("lint-imports"), "--cache-dir", ".cache/import-linter")
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", output)


def test_every_exception_from_a_rule_has_its_reason():
    """``# noqa: CODE (why)``; the like for the type checkers."""
    bare = re.compile(
        r"#\s*(noqa(?!: [A-Z0-9, ]+ \()|type: ignore(?!\[[\w, -]+\] +[#(])|pyright: ignore(?!\[\w+\] +[#(]))"
    )
    files = subprocess.check_output(["git", "ls-files", "--cached", "*.py"], cwd=ROOT, text=True).split()
    flawed = [
        f"{name}:{number}: {line.strip()}"
        for name in files
        if "tests/typing/cases" not in name and (ROOT / name).exists()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line) and not line.lstrip().startswith(("bare =", '"""'))
    ]
    assert not flawed, "\n".join(flawed)
