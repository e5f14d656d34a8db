"""Fixtures for tests on a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from eventing_amqp import AMQProvider
from eventing_core import EventManager
from eventing_core.provider import Provider
from examples.artemis import Artemis, Tls
from tests.support.bench import PROVIDERS, Bench
from tests.support.plain import PlainClient
from tests.support.processes import Worker
from tests.support.rabbitmq import RabbitMQ
from tests.support.tls import Authority


@pytest.fixture(params=PROVIDERS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A test that uses it runs on each provider."""
    monkeypatch.setattr(Bench, "kind", request.param)
    return str(request.param)


@pytest.fixture
def make_provider(artemis: Artemis) -> Callable[..., Provider]:
    """``make_provider(server_name="server", **settings)``, for the broker of all tests."""

    def make(server_name: str = "server", **settings: Any) -> Provider:
        place = {"host": artemis.host, "port": artemis.port, "user": artemis.user, "password": artemis.password}
        return AMQProvider(server_name, **{**place, **settings})

    return make


@pytest.fixture
def make_manager(make_provider: Callable[..., Provider]) -> Iterator[Callable[..., EventManager]]:
    """``make_manager(*listeners, provider=None, server_name="server", **options)``; stopped after the test."""
    with ExitStack() as stack:

        def make(
            *listeners: Any, provider: Provider | None = None, server_name: str = "server", **options: Any
        ) -> EventManager:
            manager = EventManager(
                provider or make_provider(server_name), listeners=listeners, **{"pipelines": [], **options}
            )
            stack.callback(manager.stop)
            return manager

        yield make


@pytest.fixture
def plain(artemis: Artemis) -> Iterator[PlainClient]:
    """A plain client of the broker of all tests."""
    with PlainClient(artemis) as client:
        yield client


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """``start_worker(broker, server_name, *arguments, provider="amqp")``: one of `tests.support.workers`.

    It is killed after the test.
    """
    with ExitStack() as stack:
        yield lambda broker, server_name, /, *arguments, **options: stack.enter_context(
            Worker(broker, server_name, tmp_path / f"{server_name}.log", *arguments, **options)
        )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca").create()


@pytest.fixture(scope="module")
def secure_artemis(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Artemis]:
    reason = Artemis.unavailable()
    if reason:
        pytest.skip(reason)
    tls = Tls(keystore=authority.keystore("broker", "IP:127.0.0.1"), password="changeit")
    with Artemis(folder=tmp_path_factory.mktemp("secure") / "broker", tls=tls) as broker:
        yield broker


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[RabbitMQ]:
    """One RabbitMQ for all tests. Nobody stops it, and each test takes names of its own, by `unique`."""
    reason = RabbitMQ.unavailable()
    if reason:
        pytest.skip(reason)
    certificate = (*authority.issue("rabbitmq", "IP:127.0.0.1"), authority.certificate)
    broker = RabbitMQ(tmp_path_factory.mktemp("rabbitmq") / "broker", certificate=certificate)
    broker.start()
    yield broker
    broker.close()
