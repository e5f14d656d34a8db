"""Each mistake is answered by an error, a warning or a log line that names what, where, and how to fix it."""

from __future__ import annotations

import pytest

from examples.artemis import Artemis
from tests.mistakes.everything import MISTAKES
from tests.mistakes.table import LINES, SECRET, Mistake, outcome


@pytest.fixture
def broker(request: pytest.FixtureRequest, mistake: Mistake) -> Artemis | None:
    """A real one, for those that need it."""
    return request.getfixturevalue("artemis") if mistake.needs_broker else None


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.group}: {mistake.name}")
def test_each_is_told_what_where_and_how_to_fix_it(mistake: Mistake, broker: Artemis | None) -> None:
    told = outcome(mistake, broker)
    print(f"{mistake.group}: {mistake.name}\n{told.message}")  # noqa: T201 (to be read: pytest -s)
    assert told.message, "nothing was said"
    if not mistake.by_log:
        assert isinstance(told.error, mistake.raises)
    for name in mistake.names:
        assert name in told.message
    assert mistake.fix in told.message
    # Without the stack that follows.
    text = told.message.partition("\neventing-")[0].partition('\n  File "')[0]
    assert text.count("\n") < LINES
    assert SECRET not in told.shown


def test_there_are_enough() -> None:
    assert len(MISTAKES) >= 60
    names = [(mistake.group, mistake.name) for mistake in MISTAKES]
    assert len(set(names)) == len(names)
