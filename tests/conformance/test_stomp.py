"""The STOMP provider passes the conformance kit, on a real Artemis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eventing_core.testing import ProviderConformance
from examples.artemis import Artemis


class TestStomp(ProviderConformance):
    capabilities_file = Path(__file__).with_name("capabilities.json")

    @pytest.fixture
    def config(self, artemis: Artemis) -> dict[str, Any]:
        settings = {"port": artemis.port, "user": artemis.user, "password": artemis.password, "host": artemis.host}
        return {"provider": "stomp", "stomp": {**settings, "server_name_timeout": 2}}
