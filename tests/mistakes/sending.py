"""Events that can't arrive as they are, and calls on the wrong thread."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, Field, SecretStr

from eventing_amqp import AMQProvider
from eventing_core import event
from eventing_core.testing import wait_idle
from tests.mistakes.declaring import OnPlaced, Placed
from tests.mistakes.table import SECRET, Group, Stage
from tests.support import workers

SENDING = Group("sending")

T = TypeVar("T")


@event()
@dataclass
class Numbered:
    """Its field has no default."""

    number: int


@SENDING.add("a secret in an event", "Account.token", fix="Give it a serializer that writes its value")
def _(stage: Stage) -> None:
    @event()
    class Account(BaseModel):
        token: SecretStr

    stage.manager().send_event(Account(token=SecretStr(SECRET)))


@SENDING.add("a required InitVar", "Priced.rate", fix="Give it a default, or make it a field")
def _(stage: Stage) -> None:
    @event()
    @dataclass
    class Priced:
        rate: InitVar[int]
        price: int = 0

    stage.manager().send_event(Priced(7))


@SENDING.add("a callable in an event", "Notified.then", fix="send a name in its place")
def _(stage: Stage) -> None:
    @event()
    class Notified(BaseModel):
        then: Callable[[], None]

    stage.manager().send_event(Notified(then=list[int]().clear))


@SENDING.add("a number out of its bounds", "'amount'", "greater than 0", fix="that the event class accepts")
def _(stage: Stage) -> None:
    @event()
    @dataclass
    class Bounded:
        amount: Annotated[int, Field(gt=0)]

    stage.manager().send_event(Bounded(0))


@SENDING.add("a union that reads something else", "'when'", "date", fix="declare the exact type")
def _(stage: Stage) -> None:
    @event()
    @dataclass
    class Dated:
        when: str | dt.date

    stage.manager().send_event(Dated(dt.date(2026, 1, 1)))


@SENDING.add("a generic dataclass", "'content'", "date", fix="declare the exact type")
def _(stage: Stage) -> None:
    @event()
    @dataclass
    class Box(Generic[T]):
        content: T

    stage.manager().send_event(Box(dt.date(2026, 1, 1)))


@SENDING.add("an infinite number in a list", "sizes[1]", fix="Send None")
def _(stage: Stage) -> None:
    @event()
    @dataclass
    class Sized:
        sizes: list[float] = field(default_factory=list[float])

    stage.manager().send_event(Sized([1.0, float("inf")]))


@SENDING.add("a field that was never set", "'number'", fix="Assign one before you send the event")
def _(stage: Stage) -> None:
    stage.manager().send_event(object.__new__(Numbered))


@SENDING.add("an object in a field of any type", "'value'", fix="Convert it to a type that JSON has")
def _(stage: Stage) -> None:
    @event()
    @dataclass
    class Loose:
        value: Any

    stage.manager().send_event(Loose(object()))


@SENDING.add("a blocking send on an event loop", "send_event", fix="use 'await send_event_async(...)'", by_log=True)
def _(stage: Stage) -> None:
    manager = stage.manager(OnPlaced)
    manager.start()

    async def main() -> None:
        manager.send_event(Placed())

    asyncio.run(main())


@SENDING.add("a start on an event loop", "start", fix="use 'async with manager'", by_log=True)
def _(stage: Stage) -> None:
    manager = stage.manager(OnPlaced)

    async def main() -> None:
        manager.start()

    asyncio.run(main())


@SENDING.add("wait_idle on an event loop", "wait_idle", fix="use 'await await_idle(...)'", by_log=True)
def _(stage: Stage) -> None:
    manager = stage.manager(OnPlaced)
    manager.start()

    async def main() -> None:
        wait_idle(manager)

    asyncio.run(main())


@SENDING.add("wait_idle without a manager", "wait_idle", "OnPlaced", fix="Pass the manager itself")
def _(_: Stage) -> None:
    wait_idle(OnPlaced)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@SENDING.add("events that aren't durable", "not durable", fix="@event(durable=True)", broker=True, by_log=True)
def _(stage: Stage) -> None:
    @event(stage.unique("Volatile"))
    class Volatile(workers.Numbered):
        pass

    listener = workers.listener_of(Volatile, stage.unique("Listener"), abs)
    stage.manager(listener, provider=stage.at_broker(AMQProvider)).start()
