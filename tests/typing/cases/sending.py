"""`EventManager`, as checkers see it. Never run."""

# What is made here is looked at by checkers alone.
# pyright: reportUnusedExpression=false, reportUnusedClass=false

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from injector import Injector

from eventing_core import EventListener, EventManager, Options, Retry, event, event_listener
from eventing_core.memory import MemoryProvider
from eventing_core.provider import Provider


@dataclass
@event()
class Order:
    number: int


@event_listener(Order)
class Packer(EventListener[Order]):
    def on(self, event: Order) -> None: ...


class NoEnvironment:
    def find(self, kind: type[object]) -> object:
        return kind


def construct(provider: Provider) -> None:
    EventManager(provider)
    EventManager(provider, environment=Injector(), listeners=[Packer], retry=Retry(), options=Options(workers=2))
    EventManager()  # expect: error
    EventManager("memory")  # expect: error
    EventManager(provider, listeners=[Packer()])  # expect: error
    EventManager(provider, listeners=[Order])  # expect: error
    EventManager(provider, pipelines=[Packer])  # expect: error
    EventManager(provider, retry=3)  # expect: error
    EventManager(provider, environment=NoEnvironment())  # expect: error
    EventManager(MemoryProvider)  # expect: error


def send(manager: EventManager) -> None:
    manager.send_event(Order(1))
    manager.send_event(Order(1), headers={"a": "b"}, timeout=1.5)
    manager.send_event(Order(1), headers={"a": 1})  # expect: error
    manager.send_event(Order(1), timeout="1")  # expect: error
    manager.send_event()  # expect: error
    manager.send_events(Order(number) for number in range(3))
    manager.send_events(1)  # expect: error
    future: Future[None] = manager.submit_event(Order(1))
    wrong: Future[int] = manager.submit_event(Order(1))  # expect: error
    print(future, wrong)


async def send_async(manager: EventManager) -> None:
    await manager.send_event_async(Order(1))
    await manager.send_event(Order(1))  # expect: error


def names(envelope: EventManager.Envelope, descriptor: EventManager.EventDescriptor) -> None:
    text: str = envelope.get_body()
    number: int = envelope.get_body()  # expect: error
    print(text, number, descriptor.durable)


with EventManager.from_config(provider="memory") as started:
    same: EventManager = started
