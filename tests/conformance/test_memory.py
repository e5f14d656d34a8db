"""The in-memory provider passes the conformance kit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from eventing_core.memory import MemoryBroker
from eventing_core.provider import Destination
from eventing_core.testing import Network, ProviderConformance


class MemoryNetwork:
    """The way to a `MemoryBroker`. Nothing of it is ever half open: silence is noticed at once."""

    def __init__(self, broker: MemoryBroker, config: dict[str, Any]) -> None:
        self.config = config
        self.cut = self.silence = self.hold_answers = broker.cut
        self.restore = broker.start


class TestMemory(ProviderConformance):
    capabilities_file = Path(__file__).with_name("capabilities.json")

    broker_in_process = True

    @pytest.fixture
    def broker(self, unique: Callable[[str], str]) -> MemoryBroker:
        """Held, so that it outlives managers that come and go. One for each test, so that its locks are watched."""
        return MemoryBroker.shared(unique("conformance"))

    @pytest.fixture
    def config(self, broker: MemoryBroker) -> dict[str, Any]:
        return {"provider": "memory", "memory": {"broker": broker.name}}

    @pytest.fixture
    def network(self, broker: MemoryBroker, config: dict[str, Any]) -> Iterator[Network]:
        yield MemoryNetwork(broker, config)
        broker.start()

    @pytest.fixture
    def restart_broker(self, broker: MemoryBroker) -> Callable[[], None]:
        return broker.restart

    @pytest.fixture
    def refuse_sends(self, broker: MemoryBroker) -> Callable[[Destination], AbstractContextManager[None]]:
        return broker.refusing
