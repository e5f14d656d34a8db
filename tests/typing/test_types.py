"""mypy and pyright over the packages, and over ``cases``, which say line by line what has to be an error."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, check, module, run

CASES = sorted((Path(__file__).parent / "cases").glob("*.py"))
EXPECTED = re.compile(r"#\s*expect: error\b")


def expected_errors() -> set[tuple[str, int]]:
    return {
        (path.name, number)
        for path in CASES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if EXPECTED.search(line)
    }


def errors_of_mypy() -> set[tuple[str, int]]:
    done = run(*module("mypy"), "--output=json", "--no-error-summary", "--hide-error-context", *CASES)
    assert done.returncode in {0, 1}, done.stdout
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(Path(row["file"]).name, row["line"]) for row in found if row["severity"] == "error"}


def errors_of_pyright() -> set[tuple[str, int]]:
    done = run(*module("pyright"), "--outputjson", "--pythonpath", sys.executable, *CASES)
    assert done.returncode in {0, 1}, done.stdout
    report = json.loads(done.stdout[done.stdout.index("{") :])
    assert report["summary"]["filesAnalyzed"] == len(CASES)
    rows = report["generalDiagnostics"]
    return {(Path(row["file"]).name, row["range"]["start"]["line"] + 1) for row in rows if row["severity"] == "error"}


@pytest.mark.timeout(300)
def test_mypy():
    check(*module("mypy"), "--no-error-summary")


@pytest.mark.timeout(300)
def test_pyright():
    output = check(*module("pyright"), "--pythonpath", sys.executable, "--project", ROOT, "--stats")
    # Where it finds no file it is content, too.
    checked = re.search(r"Total files checked: (\d+)", output)
    assert checked
    files = [*ROOT.glob("packages/*/src/**/*.py"), *ROOT.glob("examples/eventing-*/**/*.py")]
    assert int(checked[1]) == len(files)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_cases(checker: str):
    expected = expected_errors()
    assert len(expected) > 10
    found = errors_of_mypy() if checker == "mypy" else errors_of_pyright()
    assert found == expected
