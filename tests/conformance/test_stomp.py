"""The STOMP provider passes the conformance kit on a real Artemis."""

from __future__ import annotations

from types import MappingProxyType

from tests.conformance.on_artemis import OnArtemis


class TestStomp(OnArtemis):
    provider = "stomp"
    settings = MappingProxyType({"server_name_timeout": 2, "backoff_initial": 0.05, "backoff_max": 0.3})
    hasty = MappingProxyType({"heartbeat": 0.3, "connect_timeout": 5})
