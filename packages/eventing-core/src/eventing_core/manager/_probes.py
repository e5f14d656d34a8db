"""What the health endpoints answer. Pure but for a clock; `asgi` and `_health_server` only carry it over."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from eventing_core.runtime._health import ListenerHealth, ManagerHealth

_log = logging.getLogger("eventing")

#: For so many seconds after a connection was first seen, nothing makes the process count as hung: sends that waited
#: for the broker, and kept their threads, are being confirmed.
SETTLING = 30.0

_OK, _NOT_FOUND, _WRONG_METHOD, _UNAVAILABLE = 200, 404, 405, 503

#: What stands before the host in a URL may be a password.
_USERINFO = re.compile(r"(?<=://)[^\s/@]+(?=@)")


class ProbeReport(TypedDict):
    """The body of ``/live`` and ``/ready``: nothing that could be a secret, and no names.

    Attributes:
        status: ``pass`` with status code 200, ``fail`` with 503.
        reasons: why it fails, for people; empty where it passes.
    """

    status: Literal["pass", "fail"]
    reasons: list[str]


class ProviderReport(TypedDict):
    """`eventing_core.provider.Health`, in ``/health``."""

    connected: bool
    generation: int
    place: str
    error: str


class SendingReport(TypedDict):
    """`SendingHealth`, in ``/health``."""

    in_flight: int
    error: str


class StuckReport(TypedDict):
    """`StuckRun`, in ``/health``, without the stack."""

    seconds: float
    thread: str


class ListenerReport(TypedDict):
    """`ListenerHealth`, in ``/health``."""

    listener: str
    event: str
    consuming: bool
    paused: bool
    running: int
    held: int
    stuck: list[StuckReport]
    error: str


class HealthReport(TypedDict):
    """The body of ``/health``. Texts of errors are shown as `EventManager.health` has them, URLs without credentials.

    Attributes:
        status: ``pass``; ``warn`` where it is ready and degraded, also with status code 200; ``fail`` with 503 where
            ``/live`` or ``/ready`` fails.
        reasons: of ``/live`` and ``/ready``.
        state: of the manager, as in `ManagerHealth`.
        live: whether ``/live`` passes.
        ready: whether ``/ready`` passes.
        degraded: as in `ManagerHealth`.
        provider: the connection; None where there is no manager yet.
        listeners: one row for each listener and event.
        sending: how sending is; None where there is no manager yet.
        workers: threads for listeners.
        stuck_workers: of these, how many a stuck run takes.
        loop_blocked: the event loop of async listeners does not answer.
    """

    status: Literal["pass", "warn", "fail"]
    reasons: list[str]
    state: str
    live: bool
    ready: bool
    degraded: bool
    provider: ProviderReport | None
    listeners: list[ListenerReport]
    sending: SendingReport | None
    workers: int
    stuck_workers: int
    loop_blocked: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response. ``headers`` has the length of the body also where the body isn't sent, for HEAD."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Probes:
    """Answers requests. Thread-safe.

    Args:
        ask: the health of the manager; None where there is no manager yet. May raise: ``/live`` passes then, since an
            error in asking shows no need of a restart, and ``/ready`` fails.
        details: whether there is ``/health``.
        clock: seconds, as from `time.monotonic`.
    """

    def __init__(
        self, ask: Callable[[], ManagerHealth | None], *, details: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        #: The generation of the connection that was seen last, and when it was seen first.
        self._connection: tuple[int, float] | None = None
        self._reported = False
        self._pages: dict[str, Callable[[ManagerHealth | None], ProbeReport | HealthReport]] = {
            "/live": lambda health: _probe(self._flaws_in_life(health)),
            "/ready": lambda health: _probe(_flaws_in_readiness(health)),
        }
        if details:
            self._pages["/health"] = self._details

    def answer(self, method: str, path: str) -> Answer:
        """Answer ``GET /ready`` and the like. Never raises."""
        page = self._pages.get(path)
        if page is None:
            return _answer(_NOT_FOUND, {"error": "not found", "paths": list(self._pages)}, method)
        if method not in {"GET", "HEAD"}:
            wrong = {"error": "method not allowed", "methods": ["GET", "HEAD"]}
            return _answer(_WRONG_METHOD, wrong, method, allow="GET, HEAD")
        health = self._health()
        self._notice(health)
        report = page(health)
        return _answer(_UNAVAILABLE if report["status"] == "fail" else _OK, report, method)

    def _health(self) -> ManagerHealth | None:
        try:
            health = self._ask()
        except Exception:  # noqa: BLE001 (a provider's own; the probes have to be answered all the same)
            if not self._reported:
                self._reported = True
                _log.exception("the health can't be determined; /ready fails, and /live passes")
            return None
        self._reported = False
        return health

    def _notice(self, health: ManagerHealth | None) -> None:
        """Note since when there is this connection."""
        if health is None or not health.provider.connected:
            self._connection = None
        elif self._connection is None or self._connection[0] != health.provider.generation:
            self._connection = (health.provider.generation, self._clock())

    def _flaws_in_life(self, health: ManagerHealth | None) -> list[str]:
        """Why only a restart helps. Nothing while there is no connection: whatever hangs may be waiting for it."""
        connection = self._connection
        if health is None or health.alive or connection is None or self._clock() - connection[1] < SETTLING:
            return []
        flaws = ["the event loop of the async listeners is blocked"] if health.loop_blocked else []
        if health.workers and health.stuck_workers >= health.workers:
            flaws.append(f"all worker threads are stuck ({health.workers})")
        return flaws

    def _details(self, health: ManagerHealth | None) -> HealthReport:
        dead, unready = self._flaws_in_life(health), _flaws_in_readiness(health)
        degraded = health is not None and health.degraded
        return {
            "status": "fail" if dead or unready else "warn" if degraded else "pass",
            "reasons": [*dead, *unready],
            "state": health.state if health else "unknown",
            "live": not dead,
            "ready": not unready,
            "degraded": degraded,
            "provider": _provider(health) if health else None,
            "listeners": [_listener(listener) for listener in health.listeners] if health else [],
            "sending": _sending(health) if health else None,
            "workers": health.workers if health else 0,
            "stuck_workers": health.stuck_workers if health else 0,
            "loop_blocked": health is not None and health.loop_blocked,
        }


def _probe(flaws: list[str]) -> ProbeReport:
    return {"status": "fail" if flaws else "pass", "reasons": flaws}


def _flaws_in_readiness(health: ManagerHealth | None) -> list[str]:
    if health is None:
        return ["there is no event manager whose health could be asked for"]
    if health.ready:
        return []
    flaws = [] if health.state == "started" else [f"the event manager is {health.state}"]
    if not health.provider.connected:
        flaws.append("there is no connection to the broker")
    idle = sum(not (listener.consuming or listener.paused) for listener in health.listeners)
    if idle:
        flaws.append(f"{idle} of {len(health.listeners)} listeners do not consume")
    return flaws


def _provider(health: ManagerHealth) -> ProviderReport:
    provider = health.provider
    return {
        "connected": provider.connected,
        "generation": provider.generation,
        "place": _shown(provider.place),
        "error": _shown(provider.error),
    }


def _sending(health: ManagerHealth) -> SendingReport:
    return {"in_flight": health.sending.in_flight, "error": _shown(health.sending.error)}


def _listener(health: ListenerHealth) -> ListenerReport:
    return {
        "listener": health.listener,
        "event": health.event,
        "consuming": health.consuming,
        "paused": health.paused,
        "running": health.running,
        "held": health.held,
        "stuck": [{"seconds": round(run.seconds, 3), "thread": run.thread} for run in health.stuck],
        "error": _shown(health.error),
    }


def _shown(text: str) -> str:
    """An error's text without the credentials of URLs, which the errors of users' own code may quote."""
    return _USERINFO.sub("***", text)


def _answer(status: int, report: Mapping[str, Any], method: str, **more: str) -> Answer:
    body = json.dumps(report).encode() + b"\n"
    headers = {"content-type": "application/json", "content-length": str(len(body)), "cache-control": "no-store"}
    return Answer(status, {**headers, **more}, b"" if method == "HEAD" else body)
