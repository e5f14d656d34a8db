"""`EventManager`, as checkers see it. Never run."""

# What is made here is looked at by checkers alone.
# pyright: reportUnusedExpression=false, reportUnusedClass=false

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from injector import Injector
from pydantic import BaseModel
from pydantic.dataclasses import dataclass as pydantic_dataclass

from eventing_core import EventLike, EventListener, EventManager, Options, Retry, event, event_listener
from eventing_core.memory import MemoryProvider
from eventing_core.provider import Provider
from eventing_core.testing import isolated_declarations, wait_idle


@dataclass
@event()
class Order:
    number: int


@event_listener(Order)
class Packer(EventListener[Order]):
    def on(self, event: Order) -> None: ...


@event("named", durable=True)
@dataclass(slots=True, frozen=True, kw_only=True)
class Slotted:
    number: int


@event()
class Model(BaseModel):
    number: int


@event()
@pydantic_dataclass
class PydanticDataclass:
    number: int


class Plain:
    number: int


@event_listener(Order)
def pack(event: Order) -> None: ...


def unmarked(event: Order) -> None: ...


class NoEnvironment:
    def find(self, kind: type[object]) -> object:
        return kind


def construct(provider: Provider) -> None:
    EventManager(provider)
    EventManager(provider, environment=Injector(), listeners=[Packer], retry=Retry(), options=Options(workers=2))
    EventManager(provider, listeners=[pack])
    EventManager(provider, listeners=[Packer, pack, "orders.listeners"])
    EventManager(provider, listeners=["orders.listeners"])
    EventManager(provider, listeners=[unmarked])  # expect: error
    EventManager(provider, listeners=[1])  # expect: error
    EventManager.from_config(listeners=["orders.listeners"])
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
    manager.send_event(Slotted(number=1))
    manager.send_event(Model(number=1))
    manager.send_event(PydanticDataclass(number=1))
    manager.send_event({"number": 1})  # expect: error
    manager.send_event([Order(1)])  # expect: error
    manager.send_event((Order(1),))  # expect: error
    manager.send_event("Order")  # expect: error
    manager.send_event(b"{}")  # expect: error
    manager.send_event(1)  # expect: error
    manager.send_event(None)  # expect: error
    manager.send_event(Order)  # expect: error
    manager.send_event(Slotted)  # expect: error
    manager.send_event(Model)  # expect: error
    manager.send_event(PydanticDataclass)  # expect: error
    manager.send_event(Plain())  # expect: error
    manager.send_event(lambda: Order(1))  # expect: error
    manager.submit_event({"number": 1})  # expect: error
    manager.submit_event([Order(1)])  # expect: error
    manager.submit_event(Order)  # expect: error
    manager.submit_event("Order")  # expect: error
    manager.send_events([Order(1), Slotted(number=2), Model(number=3)])
    manager.send_events([{"number": 1}])  # expect: error
    manager.send_events([Order])  # expect: error
    manager.send_events("Order")  # expect: error
    manager.send_events(Order(1))  # expect: error
    manager.send_events(Model(number=1))  # expect: error
    manager.send_events(Order)  # expect: error
    manager.send_events(Order(number) for number in range(3))
    manager.send_events(1)  # expect: error
    future: Future[None] = manager.submit_event(Order(1))
    wrong: Future[int] = manager.submit_event(Order(1))  # expect: error
    print(future, wrong)


async def send_async(manager: EventManager) -> None:
    await manager.send_event_async(Order(1))
    await manager.send_event(Order(1))  # expect: error
    await manager.send_event_async({"number": 1})  # expect: error
    await manager.send_event_async([Order(1)])  # expect: error
    await manager.send_event_async(Order)  # expect: error
    await manager.send_event_async("Order")  # expect: error
    async with manager as started:
        await started.send_event_async(Order(1))


def publish(manager: EventManager, event: EventLike) -> None:
    manager.send_event(event)
    publish(manager, Order(1))
    publish(manager, {})  # expect: error


def idle(manager: EventManager) -> None:
    wait_idle(manager)
    wait_idle([manager, manager], timeout=3)
    wait_idle("manager")  # expect: error
    with isolated_declarations(empty=True):
        pass


def names(envelope: EventManager.Envelope, descriptor: EventManager.EventDescriptor) -> None:
    text: str = envelope.get_body()
    number: int = envelope.get_body()  # expect: error
    print(text, number, descriptor.durable)


with EventManager.from_config(provider="memory") as started:
    same: EventManager = started
