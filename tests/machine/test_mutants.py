"""The exploration finds bugs: each of these, one line of the machine, within a minute of searching."""

from __future__ import annotations

import pytest

from tests.machine.hunt import hunt
from tests.machine.mutants import MUTANTS, mutated

#: Seconds that a search may take; most take less than one.
_LIMIT = 90.0


def test_there_are_enough_of_them():
    assert len(MUTANTS) >= 50


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found(name: str):
    with mutated(MUTANTS[name]) as hunting:
        assert hunting.hunt(_LIMIT) != ""


def test_without_a_bug_nothing_is_found():
    assert not hunt(5.0)
