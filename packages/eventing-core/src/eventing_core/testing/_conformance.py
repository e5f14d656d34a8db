"""`ProviderConformance`: the tests that every provider passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from eventing_core.testing._capabilities import CapabilityTests
from eventing_core.testing._delivery import DeliveryTests
from eventing_core.testing._failures import FailureTests
from eventing_core.testing._kit import Kit
from eventing_core.testing._lifecycle import LifecycleTests
from eventing_core.testing._transport import TransportTests


class ProviderConformance(DeliveryTests, FailureTests, LifecycleTests, TransportTests, CapabilityTests):
    """What every provider does.

    Derive a class ``Test...`` from it, and give it a fixture ``config``::

        class TestExample(ProviderConformance):
            capabilities_file = Path(__file__).with_name("capabilities.json")

            @pytest.fixture
            def config(self, broker):
                return {"provider": "example", "example": {"port": broker.port}}

    Each test uses names of its own, so that one broker serves all of them. What the capabilities rule out
    is asserted to be refused; nothing is skipped.
    """

    @pytest.fixture
    def config(self) -> Mapping[str, Any]:
        """Keyword arguments for `EventManager.from_config`: override it."""
        msg = f"give {type(self).__name__} a fixture 'config': the keyword arguments for EventManager.from_config"
        raise NotImplementedError(msg)

    @pytest.fixture
    def kit(self, config: Mapping[str, Any]) -> Iterator[Kit]:
        """What the tests are written with."""
        kit = Kit(config)
        yield kit
        kit.close()
