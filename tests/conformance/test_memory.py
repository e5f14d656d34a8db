"""The in-memory provider passes the conformance kit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eventing_core.memory import MemoryBroker
from eventing_core.testing import ProviderConformance


class TestMemory(ProviderConformance):
    capabilities_file = Path(__file__).with_name("capabilities.json")

    #: Held, so that it outlives managers that come and go.
    broker = MemoryBroker.shared("conformance")

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        return {"provider": "memory", "memory": {"broker": self.broker.name}}
