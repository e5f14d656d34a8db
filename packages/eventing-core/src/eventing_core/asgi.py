"""`health_app`: liveness and readiness as an ASGI application, for Starlette, FastAPI, Django and others."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from eventing_core.configure._checks import shown
from eventing_core.errors import ConfigError
from eventing_core.manager._manager import EventManager
from eventing_core.manager._probes import (
    HealthReport,
    ListenerReport,
    ProbeReport,
    Probes,
    ProviderReport,
    SendingReport,
    StuckReport,
)
from eventing_core.runtime._health import ManagerHealth

__all__ = [
    "ASGIApp",
    "HealthReport",
    "ListenerReport",
    "ProbeReport",
    "ProviderReport",
    "SendingReport",
    "StuckReport",
    "health_app",
]

_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: An application by the ASGI specification, version 3.
ASGIApp: TypeAlias = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


def health_app(manager: EventManager | Callable[[], EventManager | None], *, details: bool = False) -> ASGIApp:
    """Make an ASGI application that answers ``/live``, ``/ready`` and, with ``details``, ``/health``.

    It runs on the application's own event loop, so it doesn't answer while something blocks that; the server of the
    table ``[health]`` does. It needs no library and never blocks. Mounted under a path, it answers below that path.

    - ``/ready``: 200 where `ManagerHealth.ready` is True, otherwise 503.
    - ``/live``: 503 only where a restart is the only remedy: all worker threads are stuck, or the event loop of the
      async listeners is blocked, each for as long as `StuckRun` says. Always 200 without a connection to the broker,
      and for 30 seconds after one was first seen; also while the manager starts or stops.
    - ``/health``: a `HealthReport` with names and errors. For operators, not for the public.

    Bodies are JSON: a `ProbeReport` or `HealthReport`. HEAD is answered as GET, without the body; other methods get
    405, other paths 404. No answer may be cached.

    Args:
        manager: the manager; or a function that returns it, or None as long as there is none, for managers that are
            made when the application starts. It is called with each request, and has to return at once.
        details: whether there is ``/health``.

    Raises:
        ConfigError: ``manager`` is neither.
    """
    probes = Probes(_asking(manager), details=details)

    async def app(scope: _Scope, receive: _Receive, send: _Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await _respond(probes, scope, send)
        elif kind == "lifespan":
            await _live(receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            msg = f"health_app answers http, and doesn't know the ASGI scope {kind!r}; route it elsewhere"
            raise NotImplementedError(msg)

    return app


def _asking(manager: EventManager | Callable[[], EventManager | None]) -> Callable[[], ManagerHealth | None]:
    if isinstance(manager, EventManager):
        return manager.health
    if isinstance(manager, type) or not callable(manager) or inspect.iscoroutinefunction(manager):
        what = "a coroutine function" if inspect.iscoroutinefunction(manager) else shown(manager)
        msg = (
            f"health_app: manager must be an EventManager, or a function that returns one, not {what}. "
            "Pass the manager."
        )
        raise ConfigError(msg)

    current: Callable[[], EventManager | None] = manager

    def ask() -> ManagerHealth | None:
        found = current()
        return found.health() if found is not None else None

    return ask


async def _respond(probes: Probes, scope: _Scope, send: _Send) -> None:
    answer = probes.answer(scope["method"], _own_path(scope))
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _own_path(scope: _Scope) -> str:
    """The path below the one that the application is mounted under."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path[len(root) :] if path.startswith(f"{root}/") else path


async def _live(receive: _Receive, send: _Send) -> None:
    """As an application of its own, it starts and stops with nothing to do."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
