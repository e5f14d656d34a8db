"""What providers that speak to Artemis have in common in their conformance tests: a broker and the way to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import pytest

from eventing_core.provider import Destination
from eventing_core.testing import Network, ProviderConformance, ProxyNetwork
from examples.artemis import Artemis
from tests.support.plain import PlainClient

#: The role of the broker's one user, and one that nobody has. Of the operation's rights, sending is the first.
ALL, NOBODY, OTHER_RIGHTS = "all", "nobody", 9

#: A message that is delivered to nobody for so long, in seconds, is held back.
HELD_BACK = 3.0


class StompNetwork(ProxyNetwork):
    """The same for STOMP: before it is restored the broker is restarted, if it holds a message back (decision 22).

    Attributes:
        restarts: how often it was.
    """

    def __init__(self, config: Callable[[int], Mapping[str, Any]], broker: Artemis) -> None:
        super().__init__(broker.port, config)
        self.restarts = 0
        self._broker = broker

    def restore(self) -> None:
        # What a silent peer still holds is lost, too.
        self._proxy.refuse()
        if not self._rolls_back():
            self.restarts += 1
            self._broker.restart()
        super().restore()

    def _rolls_back(self) -> bool:
        """Whether what lost connections had goes back to its queues, soon."""
        deadline = time.monotonic() + HELD_BACK
        with PlainClient(self._broker) as plain:
            while self._held(plain):
                if time.monotonic() > deadline:
                    return False
                threading.Event().wait(0.05)
        return True

    @staticmethod
    def _held(plain: PlainClient) -> bool:
        """Whether a queue has messages that are being delivered, and no consumer."""
        delivering = plain.queues("DELIVERING_COUNT", "GREATER_THAN", "0")
        return any(int(row["consumerCount"]) == 0 for row in delivering)


class OnArtemis(ProviderConformance):
    """Conformance on an Artemis of the class's own.

    Attributes:
        provider: its name.
        settings: beside host, port, user and password.
        hasty: settings beside these by which a silent peer is noticed soon.
    """

    capabilities_file = Path(__file__).with_name("capabilities.json")
    provider: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    hasty: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    @pytest.fixture
    def config(self, class_artemis: Artemis) -> dict[str, Any]:
        return self._config(class_artemis, class_artemis.port)

    @pytest.fixture
    def network(self, class_artemis: Artemis) -> Iterator[Network]:
        with self.network_of(lambda port: self._config(class_artemis, port, **self.hasty), class_artemis) as network:
            yield network

    def network_of(self, config: Callable[[int], Mapping[str, Any]], broker: Artemis) -> ProxyNetwork:
        return ProxyNetwork(broker.port, config)

    @pytest.fixture
    def restart_broker(self, class_artemis: Artemis) -> Callable[[], None]:
        return class_artemis.restart

    @pytest.fixture
    def refuse_sends(self, class_artemis: Artemis) -> Callable[[Destination], AbstractContextManager[None]]:
        @contextmanager
        def refuse(destination: Destination) -> Iterator[None]:
            queue = "-".join(filter(None, (destination.group, destination.member)))
            address = f"{queue}.dead" if destination.kind == "dead" else destination.topic
            with PlainClient(class_artemis) as plain:
                plain.manage("broker", "addSecuritySettings", address, NOBODY, *[ALL] * OTHER_RIGHTS)
                yield
                plain.manage("broker", "removeSecuritySettings", address)

        return refuse

    def _config(self, broker: Artemis, port: int, **more: Any) -> dict[str, Any]:
        place = {"host": broker.host, "port": port, "user": broker.user, "password": broker.password}
        return {"provider": self.provider, self.provider: {**place, **self.settings, **more}}
