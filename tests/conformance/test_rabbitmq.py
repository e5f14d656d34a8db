"""The STOMP provider passes what RabbitMQ's model allows of the conformance kit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eventing_core.provider import Destination
from eventing_core.testing import Network, ProviderConformance, ProxyNetwork
from tests.support.rabbitmq import RabbitMQ


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    reason = RabbitMQ.unavailable()
    if reason:
        pytest.skip(reason)
    broker = RabbitMQ(tmp_path_factory.mktemp("rabbitmq") / "broker")
    broker.start()
    yield broker
    broker.close()


class TestRabbitMQ(ProviderConformance):
    capabilities_file = Path(__file__).with_name("capabilities-rabbitmq.json")

    @pytest.fixture
    def config(self, broker: RabbitMQ) -> dict[str, Any]:
        return self._config(broker, broker.port)

    @pytest.fixture
    def network(self, broker: RabbitMQ) -> Iterator[Network]:
        make = partial(self._config, broker, heartbeat=0.3, connect_timeout=5)
        with ProxyNetwork(broker.port, make) as network:
            yield network

    @pytest.fixture
    def restart_broker(self, broker: RabbitMQ) -> Callable[[], None]:
        return broker.restart

    @pytest.fixture
    def refuse_sends(self, broker: RabbitMQ) -> Callable[[Destination], AbstractContextManager[None]]:
        @contextmanager
        def refuse(destination: Destination) -> Iterator[None]:
            if destination.kind == "topic":
                but_this = f"^(?!{re.escape(destination.topic)}$)"
                change: tuple[str, ...] = ("set_topic_permissions", broker.user, "amq.topic", but_this, ".*")
                back: tuple[str, ...] = ("clear_topic_permissions", broker.user, "amq.topic")
            else:
                # Rights to send to queues are given for all of them.
                change = ("set_permissions", broker.user, ".*", r"^(?!amq\.default$)", ".*")
                back = ("set_permissions", broker.user, ".*", ".*", ".*")
            broker.control(*change)
            yield
            broker.control(*back)

        return refuse

    def _config(self, broker: RabbitMQ, port: int, **more: Any) -> dict[str, Any]:
        settings = {"server_name_timeout": 2, "backoff_initial": 0.05, "backoff_max": 0.3, **more}
        place = {"host": broker.host, "port": port, "user": broker.user, "password": broker.password}
        return {"provider": "stomp", "stomp": {"broker": "rabbitmq", **place, **settings}}
