"""The fault suite in a shortened form: about a tenth of its counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.artemis import Artemis
from tests.faults.parts import PARTS, SHORTENED
from tests.faults.terms import Terms

pytestmark = pytest.mark.timeout(300)

#: Of the full counts, where it isn't a tenth: what takes longest for each.
SCALES = {"cuts": 0.04, "mutations": 0.05, "fuzz": 0.02}


#: What comes on top runs on one protocol, by turns.
CASES = [
    (name, over)
    for at, (name, part) in enumerate(PARTS.items())
    for over in (part.over[at % 2 :][:1] if name in SHORTENED else part.over)
]


@pytest.mark.parametrize(("name", "over"), CASES)
def test_the_promises_hold(name: str, over: str, tmp_path: Path):
    reason = Artemis.unavailable()
    if reason:
        pytest.skip(reason)
    terms = Terms(over=over, folder=tmp_path, scale=SCALES.get(name, 0.1))
    print(f"seed {terms.seed}")
    for what, figure in PARTS[name].run(terms).items():
        print(f"{what}: {figure}")
