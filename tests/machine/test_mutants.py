"""The exploration finds bugs: each of these, which is one line of the machine."""

from __future__ import annotations

import pytest

from tests.machine.hunt import hunt
from tests.machine.mutants import MUTANTS, mutated

#: Searches without a finding, of a machine that has no bug. Most mutants are found in the first few.
_SEARCHES = 20


def test_there_are_enough_of_them():
    assert len(MUTANTS) >= 50


# A busy machine takes a minute for some of them.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found(name: str):
    with mutated(MUTANTS[name]) as hunting:
        assert hunting.hunt() != ""


def test_without_a_bug_nothing_is_found():
    assert not hunt(_SEARCHES)
