"""The SQLite provider passes the conformance kit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eventing_core.testing import ProviderConformance


class TestSqlite(ProviderConformance):
    """See the module."""

    capabilities_file = Path(__file__).with_name("capabilities.json")

    @pytest.fixture
    def config(self, tmp_path: Path) -> dict[str, Any]:
        """A database for each test."""
        return {"provider": "sqlite", "sqlite": {"file": tmp_path / "events.db", "lease": 2.0}}
