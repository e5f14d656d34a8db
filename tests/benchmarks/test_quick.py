"""No price in speed: ratios to the raw clients in the same run, by the benchmark's quick form, with wide margins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_no_ratio_has_fallen_by_a_third() -> None:
    """Also beside a thread that computes all the time."""
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--quick"], cwd=ROOT, check=False)
    assert done.returncode == 0
