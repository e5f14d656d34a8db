"""The conformance of providers with a bug, named by the environment; run by `test_mutants`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventing_core.testing import Network, ProviderConformance, ProxyNetwork, _probe
from tests.conformance.test_memory import TestMemory
from tests.kit.mutants import MUTANTS

if name := os.environ.get("MUTANT"):
    MUTANTS[name].breaks()
    # What will not happen is waited for no longer than a test of a test should take.
    _probe.LIMIT = 3.0


class TestMutated(TestMemory):
    pass


class TestMutatedSqlite(ProviderConformance):
    """Where other processes reach the broker."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> dict[str, Any]:
        return {"provider": "sqlite", "sqlite": {"file": tmp_path / "events.db", "lease": 1.0}}


class TestMutatedAmqp(ProviderConformance):
    """Where bytes lie between a send and its answer. The broker is the parent's."""

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        return self._config(self._place()["port"])

    @pytest.fixture
    def network(self) -> Iterator[Network]:
        with ProxyNetwork(self._place()["port"], self._config) as network:
            yield network

    @staticmethod
    def _place() -> dict[str, Any]:
        place: dict[str, Any] = json.loads(os.environ["MUTANT_BROKER"])
        return place

    def _config(self, port: int) -> dict[str, Any]:
        settings = {"heartbeat": 0.3, "backoff_initial": 0.05, "backoff_max": 0.3, "connect_timeout": 5}
        return {"provider": "amqp", "amqp": {**self._place(), **settings, "port": port}}


del TestMemory, ProviderConformance  # which pytest would collect here, too
