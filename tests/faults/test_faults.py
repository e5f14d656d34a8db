"""The fault suite in a shortened form: about a tenth of its counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.artemis import Artemis
from tests.faults.parts import PARTS, SHORTENED
from tests.faults.terms import Terms

pytestmark = pytest.mark.timeout(300)

#: Of the full counts, where it isn't a tenth: what takes longest for each.
SCALES = {"cuts": 0.03, "mutations": 0.05, "fuzz": 0.004}


#: What comes on top: each with one kind of listeners on one protocol, by turns.
ON_TOP = [
    (f"{name}-{('computing', 'many')[at % 2]}", ("amqp", "stomp")[at // 2 % 2])
    for at, name in enumerate(name.removesuffix("-many") for name in SHORTENED if name.endswith("-many"))
]
CASES = [*((name, over) for name, part in PARTS.items() if name not in SHORTENED for over in part.over), *ON_TOP]


@pytest.mark.parametrize(("name", "over"), CASES)
def test_the_promises_hold(name: str, over: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    reason = Artemis.unavailable()
    if reason:
        pytest.skip(reason)
    terms = Terms(over=over, folder=tmp_path, scale=SCALES.get(name, 0.1))
    figures = PARTS[name].run(terms)
    with capsys.disabled():
        print(f"\n{PARTS[name].title}, over {over}, seed {terms.seed}")
        for what, figure in figures.items():
            print(f"  {what}: {figure}")
