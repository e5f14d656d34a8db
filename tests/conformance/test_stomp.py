"""The STOMP provider passes the conformance kit on a real Artemis.

Where a STOMP connection breaks, Artemis 2.44 can hold a message back until it is restarted (decision 22). Where its
management tells of such a message, an outage includes a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from eventing_core.testing import ProxyNetwork
from examples.artemis import Artemis
from tests.conformance.on_artemis import OnArtemis, StompNetwork


class TestStomp(OnArtemis):
    provider = "stomp"
    settings = MappingProxyType({"server_name_timeout": 2, "backoff_initial": 0.05, "backoff_max": 0.3})
    hasty = MappingProxyType({"heartbeat": 0.3, "connect_timeout": 5})

    def network_of(self, config: Callable[[int], Mapping[str, Any]], broker: Artemis) -> ProxyNetwork:
        return StompNetwork(config, broker)

    def test_a_cut_loses_no_event_that_is_not_durable(self, kit: Any, network: Any) -> None:
        """Such an event doesn't outlive a restart: where there was one, the broker is to hold nothing back once."""
        for _ in range(3):
            restarts = network.restarts
            try:
                super().test_a_cut_loses_no_event_that_is_not_durable(kit, network=network)
            except AssertionError:
                if network.restarts == restarts:
                    raise
            else:
                return
        raise AssertionError
