from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.commands import ROOT, module, run

TESTS = """
import pytest

def test_passes(): ...

def test_skips_itself():
    pytest.skip("no broker")

@pytest.mark.skip(reason="not today")
def test_is_marked(): ...

@pytest.mark.xfail(reason="known")
def test_fails_as_expected():
    assert 0
"""


@pytest.mark.parametrize(
    ("ci", "code", "summary"),
    [("", 0, "1 passed, 3 skipped, 1 xfailed"), ("true", 1, "1 failed, 1 passed, 1 xfailed, 2 errors")],
)
def test_a_skipped_test_is_a_failed_one_in_ci(tmp_path: Path, ci: str, code: int, summary: str):
    shutil.copy(ROOT / "conftest.py", tmp_path)
    # Otherwise it would take the settings of a project above.
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_sample.py").write_text(TESTS)
    (tmp_path / "test_whole.py").write_text("import pytest\npytest.skip('no java', allow_module_level=True)\n")
    done = run(
        *module("pytest"), "-ra", "--continue-on-collection-errors", "--rootdir", tmp_path, cwd=tmp_path, env={"CI": ci}
    )
    for reason in ("no broker", "not today", "no java"):
        assert reason in done.stdout
    assert done.returncode == code, done.stdout
    assert summary in done.stdout.splitlines()[-1]
