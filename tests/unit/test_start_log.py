"""What a start logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from eventing_amqp import AMQProvider
from eventing_core import EventListener, EventManager, Options, event, event_listener
from eventing_core.declare._listener import EventListenerDescriptor, describe_listeners
from eventing_core.manager._start_log import events_that_are_not_kept, log_start
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.provider import Destination, Provider
from eventing_core.testing import isolated_declarations
from eventing_stomp import StompProvider


@event()
@dataclass
class Ping:
    number: int


@event("pong", durable=True)
@dataclass
class Pong:
    number: int


@pytest.fixture(autouse=True)
def isolated(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    with isolated_declarations(empty=True):
        yield


@event_listener(Ping | Pong, concurrency=3)
class Audit(EventListener[Ping | Pong]):
    def on(self, event: Ping | Pong) -> None: ...


@event_listener(Ping, per_process=True)
async def count(event: Ping) -> None: ...


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def described(*listeners: Any) -> list[EventListenerDescriptor]:
    classes = [getattr(one, "__eventing_listener__", one) if not isinstance(one, type) else one for one in listeners]
    return [descriptor for cls in classes for descriptor in describe_listeners(cls)]


def test_one_line_for_each_listener_and_queue(caplog: pytest.LogCaptureFixture) -> None:
    with EventManager(MemoryProvider("server-1", MemoryBroker()), listeners=[Audit, count], pipelines=[]):
        pass
    assert [line for line in lines(caplog) if "listening" in line] == [
        "Audit on Ping: listening: queue Ping::Audit.Ping, concurrency 3 over its 2 queues, server server-1",
        "Audit on pong: listening: queue pong::Audit.pong, concurrency 3 over its 2 queues, server server-1",
        "count on Ping: listening: queue Ping::count-server-1, concurrency 1, server server-1",
    ]
    assert lines(caplog, logging.WARNING) == []


@pytest.mark.parametrize(
    "provider",
    [
        AMQProvider("server-1", queue_name="{event}.{listener}"),
        StompProvider("server-1", queue_name="{event}.{listener}"),
        StompProvider("server-1", queue_name="{event}.{listener}", broker="rabbitmq"),
    ],
)
def test_queues_are_called_what_the_broker_calls_them(caplog: pytest.LogCaptureFixture, provider: Provider) -> None:
    log_start(provider, described(count), Options())
    assert lines(caplog) == ["count on Ping: listening: queue Ping.count-server-1, concurrency 1, server server-1"]
    dead = Destination("Ping", "count", "server-1", "dead")
    assert provider.queue_name(dead) == "Ping.count-server-1.dead"


def test_events_that_are_not_durable_are_named(caplog: pytest.LogCaptureFixture) -> None:
    provider = AMQProvider("server-1")
    log_start(provider, described(Audit, count), Options())
    (text,) = lines(caplog, logging.WARNING)
    assert text == (
        "not durable, and lost when the broker restarts: Ping. Declare them with @event(durable=True); if they may be "
        "lost, set warn_not_durable = false"
    )
    caplog.clear()
    log_start(provider, described(Audit, count), Options(warn_not_durable=False))
    assert lines(caplog, logging.WARNING) == []
    assert len(lines(caplog)) == 3


@pytest.mark.parametrize("provider", [MemoryProvider("here"), MemoryProvider("here", MemoryBroker())])
def test_a_memory_broker_keeps_nothing_anyway(provider: Provider) -> None:
    assert events_that_are_not_kept(provider, described(Audit)) == ()


def test_a_logging_handler_that_raises_keeps_nothing_from_starting() -> None:
    class Raises(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError(record.getMessage())

    handler, logger = Raises(), logging.getLogger("eventing")
    logger.addHandler(handler)
    try:
        with EventManager(MemoryProvider("here"), listeners=[Audit], pipelines=[]) as manager:
            assert manager.health().ready
        with EventManager(MemoryProvider("here"), pipelines=[]) as manager:  # where none is declared
            assert manager.health().ready
    finally:
        logger.removeHandler(handler)
