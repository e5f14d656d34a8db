"""A bench for the in-memory broker, at the provider interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.provider import Destination, Subscription
from eventing_core.testing import Confirmations, Recorder
from eventing_core.testing._probe import deadline_in, texts

TOPIC = Destination("Event")
QUEUE = Destination("Event", "Listener", kind="queue")
DURABLE = Destination("Event", "Listener", kind="queue", durable=True)


class Bench:
    """A broker with providers that are closed at the end."""

    def __init__(self, max_messages: int) -> None:
        self.broker = MemoryBroker("test", max_messages=max_messages)
        self.providers: list[MemoryProvider] = []
        self.observed: list[bool] = []

    def provider(self, server_name: str = "server") -> MemoryProvider:
        provider = MemoryProvider(server_name, self.broker)
        provider.open(lambda connected, _: self.observed.append(connected))
        self.providers.append(provider)
        return provider

    def send(
        self,
        provider: MemoryProvider,
        *bodies: str,
        to: Destination = TOPIC,
        deadline: float | None = None,
        delay: float = 0.0,
        durable: bool = False,
    ) -> Confirmations:
        done = Confirmations()
        deadline = deadline_in(10) if deadline is None else deadline
        provider.producer(to).send(texts(*bodies, durable=durable), done, deadline=deadline, delay=delay)
        return done

    def listen(
        self, provider: MemoryProvider, to: Destination = QUEUE, *, window: int = 0, exclusive: bool = False
    ) -> Recorder:
        recorder = Recorder(window)
        dead = Destination(to.topic, to.group, to.member, "dead")
        subscription = Subscription(destination=to, dead_letter=dead, exclusive=exclusive)
        recorder.attach(provider.subscribe(subscription, recorder))
        return recorder

    def stored(self, destination: Destination = QUEUE) -> list[str]:
        return [message.body.decode() for message in self.broker.messages(destination)]


@contextmanager
def open_bench(max_messages: int) -> Iterator[Bench]:
    """A bench whose queues hold so many messages."""
    bench = Bench(max_messages)
    yield bench
    for provider in bench.providers:
        provider.close(0)
