"""The table at the end of a run of the kit, as an outsider's project sees it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.commands import ROOT, module, run

TESTS = """
from dataclasses import replace

import pytest

from eventing_core.memory import MemoryBroker
from eventing_core.memory._provider import MemoryProvider
from eventing_core.testing import ProviderConformance

class TestWhole(ProviderConformance):
    broker = MemoryBroker.shared("whole")
    broker_in_process = True

    @pytest.fixture
    def config(self):
        return {"provider": "memory", "memory": {"broker": self.broker.name}}

    @pytest.fixture
    def restart_broker(self):
        return self.broker.restart

class TestLess(TestWhole):
    @pytest.fixture(autouse=True)
    def less(self, monkeypatch):
        capabilities = replace(MemoryProvider.capabilities, network=False, per_process=False, uncounted_release=False)
        monkeypatch.setattr(MemoryProvider, "capabilities", capabilities)

class TestAbsent(ProviderConformance):
    @pytest.fixture(scope="class")
    def broker(self):
        pytest.skip("no broker here")

    @pytest.fixture
    def config(self, broker):
        return {}

class TestBroken(TestWhole):
    def test_order_per_sender_is_kept(self, kit):
        assert not "kept"

def test_another():
    pass
"""

CHOSEN = "restart or cut or per_process or unicode or release or order_per_sender or another"


@pytest.fixture
def run_kit(tmp_path: Path):
    def run_kit(*options: str) -> subprocess.CompletedProcess[str]:
        # Otherwise it would take the settings of a project above.
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        (tmp_path / "test_sample.py").write_text(TESTS)
        return run(*module("pytest"), "--rootdir", tmp_path, *options, cwd=tmp_path)

    return run_kit


def table(output: str, test_class: str) -> list[str]:
    """The lines of one table, without its title."""
    lines = output.splitlines()
    [begin] = [number for number, line in enumerate(lines) if line.startswith("=") and f".{test_class})" in line]
    [end, *_] = [number for number in range(begin, len(lines)) if " behaviours; " in lines[number]]
    return lines[begin + 1 : end + 1]


def test_the_table_tells_of_every_behaviour_what_became_of_it(run_kit):
    done = run_kit("-k", CHOSEN)
    whole = table(done.stdout, "TestWhole")
    assert "holds               unicode bodies arrive as sent" in whole
    assert "holds               durable events survive a restart of the broker" in whole
    cut = "health and consumers come back after a cut"
    reason = "TestWhole has no fixture 'network': an eventing_core.testing.Network, which cuts the network"
    assert f"could not be tried  {cut} ({reason})" in whole
    less = table(done.stdout, "TestLess")
    assert "refused             per process listeners get a copy each (per_process = False)" in less
    assert f"not applicable      {cut} (network = False)" in less
    assert "not applicable      durable events survive a restart of the broker (network = False)" in less
    again = "a release is delivered again at once and in order"
    assert f"holds               {again} (uncounted_release = False)" in less
    assert f"could not be tried  {again} (no broker here)" in table(done.stdout, "TestAbsent")
    broken = table(done.stdout, "TestBroken")
    assert "FAILED              order per sender is kept" in broken
    assert broken[-1].endswith(", FAILED: 1")
    assert "another" not in "".join(whole + less + broken)


def test_what_could_not_be_tried_is_skipped_and_so_a_failure_where_nothing_may_be(run_kit, tmp_path: Path):
    done = run_kit("-k", "TestWhole and after_a_cut")
    assert done.returncode == 0
    assert " 1 skipped" in done.stdout.splitlines()[-1]
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    strict = run(
        *module("pytest"), "-k", "TestWhole and after_a_cut", "--rootdir", tmp_path, cwd=tmp_path, env={"CI": "true"}
    )
    assert strict.returncode == pytest.ExitCode.TESTS_FAILED, strict.stdout
    assert table(strict.stdout, "TestWhole")[0].startswith("could not be tried  health and consumers come back after")


def test_a_run_without_the_kit_has_no_table(run_kit):
    done = run_kit("-k", "another")
    assert "conformance" not in done.stdout
