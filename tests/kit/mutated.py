"""The conformance of the in-memory provider with a bug, named by the environment; run by `test_mutants`."""

from __future__ import annotations

import os

from eventing_core.testing import _probe
from tests.conformance.test_memory import TestMemory
from tests.kit.mutants import MUTANTS

if name := os.environ.get("MUTANT"):
    MUTANTS[name].breaks()
    # What will not happen is waited for no longer than a test of a test should take.
    _probe.LIMIT = 3.0


class TestMutated(TestMemory):
    pass


del TestMemory  # which pytest would collect here, too
