"""What the health endpoints answer, without any transport."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from eventing_core import ListenerHealth, ManagerHealth, SendingHealth, StuckRun
from eventing_core.manager._probes import SETTLING, Answer, Probes
from eventing_core.provider import Health

STUCK = StuckRun(seconds=1.23456, thread="w-1", stack="File ...")


def a_listener(**settings: Any) -> ListenerHealth:
    return ListenerHealth(**{"listener": "L", "event": "E", "consuming": True, "running": 0, "held": 0, **settings})


def of(*listeners: ListenerHealth, connected: bool = True, generation: int = 1, **settings: Any) -> ManagerHealth:
    provider = settings.pop("provider", Health(connected=connected, generation=generation))
    return ManagerHealth(**{"state": "started", "provider": provider, "listeners": listeners, **settings})


def hung(**settings: Any) -> ManagerHealth:
    return of(a_listener(stuck=(STUCK,)), workers=1, stuck_workers=1, **settings)


class Service:
    """A manager whose health is set, and a clock that is put forward."""

    def __init__(self, health: ManagerHealth | None, *, details: bool = False) -> None:
        self.health: ManagerHealth | Exception | None = health
        self.now = 1000.0
        self.probes = Probes(self._ask, details=details, clock=lambda: self.now)

    def _ask(self) -> ManagerHealth | None:
        if isinstance(self.health, Exception):
            raise self.health
        return self.health

    def get(self, path: str, method: str = "GET") -> Answer:
        return self.probes.answer(method, path)

    def passes(self, path: str) -> bool:
        answer = self.get(path)
        status = json.loads(answer.body)["status"]
        assert (answer.status, status == "fail") in {(200, False), (503, True)}
        return answer.status == 200

    def settle(self) -> None:
        """The connection has been there for long."""
        self.passes("/live")
        self.now += SETTLING


@pytest.mark.parametrize(
    ("health", "reasons"),
    [
        (of(), []),
        (of(a_listener(consuming=False, paused=True)), []),
        (of(sending=SendingHealth(error="the last send failed")), []),
        (of(state="starting"), ["the event manager is starting"]),
        (of(state="not started"), ["the event manager is not started"]),
        (of(state="stopping"), ["the event manager is stopping"]),
        (of(connected=False), ["there is no connection to the broker"]),
        (of(a_listener(), a_listener(consuming=False)), ["1 of 2 listeners do not consume"]),
        (None, ["there is no event manager whose health could be asked for"]),
    ],
)
def test_ready(health: ManagerHealth | None, reasons: list[str]):
    service = Service(health)
    service.settle()
    answer = service.get("/ready")
    assert answer.status == (503 if reasons else 200)
    assert json.loads(answer.body) == {"status": "fail" if reasons else "pass", "reasons": reasons}
    assert service.passes("/live")


@pytest.mark.parametrize(
    ("health", "reasons"),
    [
        (hung(), ["all worker threads are stuck (1)"]),
        (of(loop_blocked=True), ["the event loop of the async listeners is blocked"]),
        (
            of(workers=2, stuck_workers=2, loop_blocked=True),
            ["the event loop of the async listeners is blocked", "all worker threads are stuck (2)"],
        ),
        (of(workers=2, stuck_workers=1), []),
    ],
)
def test_live(health: ManagerHealth, reasons: list[str]):
    service = Service(health)
    service.settle()
    answer = service.get("/live")
    assert answer.status == (503 if reasons else 200)
    assert json.loads(answer.body) == {"status": "fail" if reasons else "pass", "reasons": reasons}


HUNG: list[Callable[..., ManagerHealth]] = [
    hung,
    lambda **settings: of(loop_blocked=True, **settings),
    lambda **settings: of(workers=8, stuck_workers=9, loop_blocked=True, **settings),
]


@pytest.mark.parametrize("health", HUNG)
def test_a_lost_broker_never_fails_liveness(health: Callable[..., ManagerHealth]):
    """Runs that send wait for the broker, and are stuck for as long as it is away."""
    service = Service(health(connected=False))
    for _ in range(3):
        assert service.passes("/live")
        assert not service.passes("/ready")
        service.now += 10_000


@pytest.mark.parametrize("health", HUNG)
def test_when_the_broker_is_back_what_waited_for_it_has_time(health: Callable[..., ManagerHealth]):
    service = Service(health())
    service.settle()
    assert not service.passes("/live")
    service.health = health(connected=False)
    assert service.passes("/live")
    service.health = health(generation=2)
    for _ in range(3):
        assert service.passes("/live")
        service.now += SETTLING / 3 - 0.01
    assert service.passes("/live")
    service.now += 0.1
    assert not service.passes("/live")


def test_an_outage_between_two_probes_counts_too():
    service = Service(hung())
    service.settle()
    service.health = hung(generation=2)
    assert service.passes("/live")
    service.now += SETTLING
    assert not service.passes("/live")


@pytest.mark.parametrize("path", ["/ready", "/health"])
def test_readiness_probes_notice_outages_as_well(path: str):
    service = Service(hung(), details=True)
    service.settle()
    service.health = hung(connected=False)
    service.get(path)
    service.health = hung()  # a provider that counts no generations
    assert service.passes("/live")


def test_health_that_cannot_be_had_restarts_nothing(caplog: pytest.LogCaptureFixture):
    service = Service(of(), details=True)
    service.health = RuntimeError("a provider's flaw")
    with caplog.at_level(logging.ERROR, "eventing"):
        assert service.passes("/live")
        assert not service.passes("/ready")
        assert not service.passes("/health")
    assert [record.getMessage() for record in caplog.records] == [
        "the health can't be determined; /ready fails, and /live passes"
    ]
    service.health = of()
    assert service.passes("/ready")
    service.health = RuntimeError("again")
    assert not service.passes("/ready")
    assert len(caplog.records) == 2


@pytest.mark.parametrize("path", ["/live", "/ready", "/health"])
@pytest.mark.parametrize("connected", [True, False])
def test_head_is_get_without_a_body(path: str, connected: bool):
    service = Service(of(connected=connected), details=True)
    get, head = service.get(path), service.get(path, "HEAD")
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")
    assert get.headers["content-length"] == str(len(get.body))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", ""])
def test_other_methods(method: str):
    answer = Service(of()).get("/live", method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["", "/", "/live/", "/LIVE", "/health", "//live", "/livez", "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_other_paths(path: str, method: str):
    """/health is one where details aren't asked for."""
    assert Service(of()).get(path, method).status == 404


def test_no_answer_may_be_cached():
    service = Service(of())
    answers = [service.get("/live"), service.get("/nothing"), service.get("/ready", "POST"), service.get("/", "HEAD")]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "application/json"


def test_details():
    provider = Health(connected=True, generation=3, place="broker:61616")
    listener = a_listener(stuck=(STUCK,), running=1, held=2, error="a copy can't be stored")
    service = Service(of(listener, provider=provider, workers=8, stuck_workers=1), details=True)
    answer = service.get("/health")
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "status": "warn",
        "reasons": [],
        "state": "started",
        "live": True,
        "ready": True,
        "degraded": True,
        "provider": {"connected": True, "generation": 3, "place": "broker:61616", "error": ""},
        "listeners": [
            {
                "listener": "L",
                "event": "E",
                "consuming": True,
                "paused": False,
                "running": 1,
                "held": 2,
                "stuck": [{"seconds": 1.235, "thread": "w-1"}],
                "error": "a copy can't be stored",
            }
        ],
        "sending": {"in_flight": 0, "error": ""},
        "workers": 8,
        "stuck_workers": 1,
        "loop_blocked": False,
    }


@pytest.mark.parametrize(
    ("health", "status", "code"),
    [
        (of(), "pass", 200),
        (of(a_listener(consuming=False, paused=True)), "warn", 200),
        (of(connected=False), "fail", 503),
        (hung(), "fail", 503),
        (None, "fail", 503),
    ],
)
def test_the_status_of_details(health: ManagerHealth | None, status: str, code: int):
    service = Service(health, details=True)
    service.settle()
    answer = service.get("/health")
    assert (json.loads(answer.body)["status"], answer.status) == (status, code)


def test_urls_are_shown_without_credentials():
    texts = ["OSError: postgres://app:hunter2@db/x and redis://:hunter2@cache", "https://hunter2@host: refused"]
    provider = Health(connected=False, generation=1, error=texts[0])
    health = of(a_listener(error=texts[1]), provider=provider, sending=SendingHealth(error=texts[0]))
    body = Service(health, details=True).get("/health").body.decode()
    assert "hunter2" not in body
    assert "postgres://***@db/x and redis://***@cache" in body
    assert "https://***@host: refused" in body
    for path in ("/live", "/ready"):
        assert "://" not in Service(health).get(path).body.decode()
