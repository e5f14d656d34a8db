"""`health_app`, by the ASGI specification and within a framework."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from eventing_core import ConfigError, EventManager
from eventing_core.asgi import ASGIApp, health_app
from eventing_core.memory import MemoryBroker, MemoryProvider

Message = MutableMapping[str, Any]


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def manager(broker: MemoryBroker) -> Iterator[EventManager]:
    manager = EventManager(MemoryProvider("here", broker), listeners=[], pipelines=[])
    yield manager
    manager.stop()


def statuses(app: ASGIApp, *paths: str, method: str = "GET", root_path: str = "") -> list[int]:
    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app, root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [(await client.request(method, path)).status_code for path in paths]

    return asyncio.run(ask())


def talk(app: ASGIApp, scope: Message, *received: Message) -> list[Message]:
    """What the application sends, without any server."""
    sent: list[Message] = []
    waiting = list(received)

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(_awaited(app, scope, receive, send))
    return sent


async def _awaited(app: ASGIApp, scope: Message, receive: Any, send: Any) -> None:
    await app(scope, receive, send)


def test_the_life_of_a_manager(manager: EventManager, broker: MemoryBroker):
    app = health_app(manager)
    assert statuses(app, "/live", "/ready") == [200, 503]
    manager.start()
    assert statuses(app, "/live", "/ready", "/health", "/") == [200, 200, 404, 404]
    broker.stop()
    assert statuses(app, "/live", "/ready") == [200, 503]
    manager.stop()
    assert statuses(app, "/live", "/ready") == [200, 503]


def test_details(manager: EventManager):
    assert statuses(health_app(manager, details=True), "/health") == [503]
    manager.start()
    assert statuses(health_app(manager, details=True), "/health") == [200]
    assert statuses(health_app(manager, details=True), "/health", method="POST") == [405]


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize("prefix", ["", "/events", "/a/b", "/live"])
def test_mounted(manager: EventManager, framework: Any, prefix: str):
    app = framework(routes=[Mount(prefix or "/", app=health_app(manager))])
    manager.start()
    assert statuses(app, f"{prefix}/live", f"{prefix}/ready", f"{prefix}/live/live") == [200, 200, 404]


def test_behind_a_proxy_that_takes_a_prefix_off(manager: EventManager):
    """The path has the prefix in servers that follow the specification, and has none in others."""
    assert statuses(health_app(manager), "/api/live", "/live", "/apilive", root_path="/api") == [200, 200, 404]
    assert statuses(health_app(manager), "/api/live", root_path="/api/") == [200]


def test_a_manager_that_is_made_later(manager: EventManager, caplog: pytest.LogCaptureFixture):
    made: list[EventManager] = []
    app = health_app(lambda: made[0] if made else None, details=True)
    assert statuses(app, "/live", "/ready", "/health") == [200, 503, 503]
    assert not [record for record in caplog.records if record.name == "eventing"]
    made.append(manager)
    manager.start()
    assert statuses(app, "/live", "/ready", "/health") == [200, 200, 200]


def test_several_managers(manager: EventManager):
    app = Starlette(
        routes=[
            Mount("/orders", app=health_app(manager)),
            Mount("/billing", app=health_app(EventManager(MemoryProvider("there"), listeners=[], pipelines=[]))),
        ]
    )
    manager.start()
    assert statuses(app, "/orders/ready", "/billing/ready") == [200, 503]


def test_its_messages(manager: EventManager):
    start, body = talk(health_app(manager), {"type": "http", "method": "GET", "path": "/live"})
    assert (start["type"], start["status"], body["type"]) == ("http.response.start", 200, "http.response.body")
    headers = start["headers"]
    assert (b"cache-control", b"no-store") in headers
    assert (b"content-length", str(len(body["body"])).encode()) in headers
    assert all(name == name.lower() for name, _ in headers)


def test_as_an_application_of_its_own(manager: EventManager):
    app = health_app(manager)
    sent = talk(app, {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_web_sockets_are_closed(manager: EventManager):
    sent = talk(health_app(manager), {"type": "websocket", "path": "/live"}, {"type": "websocket.connect"})
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_an_unknown_protocol(manager: EventManager):
    with pytest.raises(NotImplementedError, match="'gopher'"):
        talk(health_app(manager), {"type": "gopher"})


async def later() -> None: ...


@pytest.mark.parametrize("wrong", [None, "manager", EventManager, {}, 1, later])
def test_what_is_no_manager(wrong: Any):
    with pytest.raises(ConfigError, match=r"health_app: manager must be an EventManager.*Pass the manager\.$"):
        health_app(wrong)
