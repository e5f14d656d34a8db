"""What providers that speak to Artemis have in common in their conformance tests: a broker and the way to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import pytest

from eventing_core.provider import Destination
from eventing_core.testing import Network, ProviderConformance
from examples.artemis import Artemis
from tests.support.plain import PlainClient
from tests.support.proxy import Proxy

#: The role of the broker's one user, and one that nobody has. Of the operation's rights, sending is the first.
ALL, NOBODY, OTHER_RIGHTS = "all", "nobody", 9


class ProxiedNetwork:
    """An `eventing_core.testing.Network`: a proxy before the broker."""

    def __init__(
        self, proxy: Proxy, config: Mapping[str, Any], before_mending: Callable[[], object] | None = None
    ) -> None:
        self.config = config
        self.cut = proxy.refuse
        self.silence = proxy.silence
        self._proxy = proxy
        self._before_mending = before_mending

    def mend(self) -> None:
        if self._before_mending is not None:
            self._before_mending()
        self._proxy.speak()
        self._proxy.accept()


class OnArtemis(ProviderConformance):
    """Conformance on an Artemis of the class's own.

    Attributes:
        provider: its name.
        settings: beside host, port, user and password.
        hasty: settings beside these by which a silent peer is noticed soon.
        restarts: the broker is restarted before its network is mended.
    """

    capabilities_file = Path(__file__).with_name("capabilities.json")
    provider: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    hasty: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    restarts: ClassVar[bool] = False

    @pytest.fixture
    def config(self, class_artemis: Artemis) -> dict[str, Any]:
        return self._config(class_artemis, class_artemis.port)

    @pytest.fixture
    def network(self, class_artemis: Artemis) -> Iterator[Network]:
        with Proxy(class_artemis.port) as proxy:
            config = self._config(class_artemis, proxy.port, **self.hasty)
            yield ProxiedNetwork(proxy, config, class_artemis.restart if self.restarts else None)

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
