"""The kit finds the bugs that it was written for: each mutant fails the test that is meant for it, and says why."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kit.mutants import MUTANTS
from tests.support.commands import module, run

MUTATED = Path(__file__).with_name("mutated.py")


def run_tests(folder: Path, *tests: str, mutant: str = "") -> subprocess.CompletedProcess[str]:
    nodes = [f"{MUTATED}::TestMutated::{test}" for test in tests]
    return run(*module("pytest"), "-o", f"cache_dir={folder}", *nodes, env={"MUTANT": mutant})


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_fails_its_test_and_the_failure_names_the_behaviour(tmp_path: Path, name: str):
    mutant = MUTANTS[name]
    done = run_tests(tmp_path, mutant.test, mutant=name)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert f" {mutant.cases} failed" in done.stdout.splitlines()[-1], done.stdout
    errors = [line for line in done.stdout.splitlines() if line.startswith("E  ") and mutant.message in line]
    assert len(errors) >= mutant.cases, done.stdout
    assert f"FAILED              {mutant.test.removeprefix('test_').replace('_', ' ')}" in done.stdout


def test_the_same_tests_pass_without_a_bug(tmp_path: Path):
    done = run_tests(tmp_path, *dict.fromkeys(mutant.test for mutant in MUTANTS.values()))
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    assert f"{len(MUTANTS)} behaviours; holds: {len(MUTANTS)}" in done.stdout
