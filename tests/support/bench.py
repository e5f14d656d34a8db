"""Providers on a real broker, for tests beneath the manager."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import uuid4

from eventing_amqp import AMQProvider
from eventing_core.provider import Destination, Message, Provider, Subscription, SubscriptionState
from eventing_core.testing import Confirmations, Log, Recorder
from eventing_stomp import StompProvider

#: By the names of their plugins.
PROVIDERS: dict[str, Callable[..., Provider]] = {"amqp": AMQProvider, "stomp": StompProvider}

#: Comes back fast: these tests wait for it.
QUICK = {"backoff_initial": 0.05, "backoff_max": 0.3}


class Broker(Protocol):
    """Where a provider connects to, and as whom."""

    host: str
    port: int
    user: str
    password: str


class Bench:
    """A provider on a broker, and what tests do with one."""

    #: Which provider; the fixture `kind` sets it for a test.
    kind = "amqp"

    def __init__(self, broker: Broker, name: str, /, **settings: Any) -> None:
        options = {"user": broker.user, "password": broker.password, "port": broker.port, **QUICK, **settings}
        self.provider = PROVIDERS[self.kind](name, broker.host, **options)
        self.connected: Log[tuple[bool, Exception | None]] = Log()
        self.topic = Destination(f"Event-{name}", durable=True)
        self.queue = Destination(f"Event-{name}", f"Listener-{name}", kind="queue", durable=True)
        self.dead = Destination(f"Event-{name}", f"Listener-{name}", kind="dead", durable=True)

    def open(self) -> Bench:
        self.provider.open(lambda connected, error: self.connected.add((connected, error)))
        return self

    def listen(self, queue: Destination | None = None, *, window: int = 0, **settings: Any) -> Recorder:
        """Subscribe; the caller waits for its state."""
        queue = queue or self.queue
        recorder = Recorder(window)
        dead = Destination(queue.topic, queue.group, queue.member, "dead", durable=True)
        settings.setdefault("dead_letter", None if queue.kind == "dead" else dead)
        recorder.attach(self.provider.subscribe(Subscription(destination=queue, **settings), recorder))
        return recorder

    def listen_active(self, queue: Destination | None = None, *, window: int = 0, **settings: Any) -> Recorder:
        recorder = self.listen(queue, window=window, **settings)
        recorder.wait_active()
        return recorder

    def send(self, *bodies: str, to: Destination | None = None, seconds: float = 30.0) -> Confirmations:
        """Send durable messages."""
        done = Confirmations()
        batch = [
            Message(body=body.encode(), message_id=body[:40], dedup_id=uuid4().hex, durable=True) for body in bodies
        ]
        self.provider.producer(to or self.topic).send(batch, done, deadline=time.monotonic() + seconds)
        return done

    def put(self, *bodies: str, to: Destination | None = None) -> None:
        """Send, and have it confirmed."""
        errors = [error for _, error in self.send(*bodies, to=to).wait(len(bodies)) if error]
        assert not errors, errors


def accepting(recorder: Recorder) -> Recorder:
    """Let a recorder accept everything at once."""
    recorder.react = lambda batch: recorder.settle([*batch])
    # What came before; settling twice does nothing.
    recorder.settle(recorder.deliveries.items())
    return recorder


def failure_of(recorder: Recorder) -> Exception:
    """What a subscription ends with that can't be had."""
    failed = SubscriptionState.FAILED
    states = recorder.states.until(lambda states: bool(states) and states[-1][0] is failed, "it is refused")
    assert states[-1][2] is not None
    return states[-1][2]


@contextmanager
def opened(broker: Broker, name: str, /, **settings: Any) -> Iterator[Bench]:
    """An open provider that is closed at the end."""
    bench = Bench(broker, name, **settings)
    bench.open()
    try:
        yield bench
    finally:
        bench.provider.close(5.0)
