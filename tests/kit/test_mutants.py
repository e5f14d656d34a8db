"""The kit finds the bugs that it was written for: each mutant fails the test that is meant for it, and says why."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.artemis import Artemis
from tests.kit.mutants import MUTANTS
from tests.support.commands import ROOT, module

MUTATED = Path(__file__).with_name("mutated.py")

#: ``run(folder, *tests, mutant="")``: the exit code, and what pytest said.
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def run_tests(artemis: Artemis) -> Iterator[Run]:
    place = {"host": artemis.host, "port": artemis.port, "user": artemis.user, "password": artemis.password}
    with subprocess.Popen(
        [*module("tests.kit.forking")],
        cwd=ROOT,
        env={**os.environ, "MUTANT_BROKER": json.dumps(place)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout

        def run_tests(folder: Path, *tests: str, mutant: str = "") -> tuple[int, str]:
            assert process.stdin
            assert process.stdout
            nodes = [f"{MUTATED}::{test}" for test in tests]
            process.stdin.write(json.dumps({"mutant": mutant, "nodes": nodes, "folder": str(folder)}) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline()), (folder / "log").read_text()

        yield run_tests
        process.stdin.close()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_fails_its_test_and_the_failure_names_the_behaviour(run_tests: Run, tmp_path: Path, name: str):
    mutant = MUTANTS[name]
    status, output = run_tests(tmp_path, f"{mutant.on}::{mutant.test}", mutant=name)
    assert status == pytest.ExitCode.TESTS_FAILED, output
    assert f" {mutant.cases} failed" in f" {output.splitlines()[-1]}", output
    errors = [line for line in output.splitlines() if line.startswith("E  ") and mutant.message in line]
    assert len(errors) >= mutant.cases, output
    assert f"FAILED              {mutant.test.removeprefix('test_').replace('_', ' ')}" in output


def test_the_same_tests_pass_without_a_bug(run_tests: Run, tmp_path: Path):
    tests = dict.fromkeys((mutant.on, mutant.test) for mutant in MUTANTS.values())
    status, output = run_tests(tmp_path, *("::".join(test) for test in tests))
    assert status == pytest.ExitCode.OK, output
    for on in {on for on, _ in tests}:
        count = sum(its == on for its, _ in tests)
        assert f"{count} behaviours; holds: {count}" in output
