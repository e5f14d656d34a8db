"""Events, listeners and pipelines that are declared wrongly."""

from __future__ import annotations

import decimal
from dataclasses import InitVar, dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, SecretStr

from eventing_core import (
    Envelope,
    EnvelopePipeline,
    EventListener,
    EventManager,
    Retry,
    envelope_pipeline,
    event,
    event_listener,
)
from eventing_core.memory import MemoryBroker, MemoryProvider
from tests.mistakes.table import Group, Stage

DECLARING = Group("declaring")


@event()
@dataclass
class Placed:
    """A good event."""

    number: int = 0


@event("Paid")
class Paid(BaseModel):
    """Another one."""

    amount: decimal.Decimal = decimal.Decimal(0)


@event_listener(Placed)
class OnPlaced(EventListener[Placed]):
    """A good listener."""

    def on(self, event: Placed) -> None:
        """Do nothing."""


@DECLARING.add("@event without parentheses", "Placed", fix="write @event()")
def _(_: Stage) -> None:
    @event  # type: ignore[arg-type]
    @dataclass
    class Placed:
        number: int


@DECLARING.add("a class without @event is sent", "Plain", fix="Put @event() on it")
def _(stage: Stage) -> None:
    @dataclass
    class Plain:
        number: int

    stage.manager().send_event(Plain(1))


@DECLARING.add("an event that is no dataclass and no model", "Bare", fix="Put @dataclass on it")
def _(stage: Stage) -> None:
    @event()
    class Bare:
        pass

    stage.manager().send_event(Bare())  # type: ignore[arg-type]


@DECLARING.add("a dictionary is sent", "dict", fix="Use a dataclass or a pydantic model with @event()")
def _(stage: Stage) -> None:
    stage.manager().send_event({"number": 1})  # type: ignore[arg-type]


@DECLARING.add(
    "the class is sent and no object of it", "Placed", fix="Send an object of it, as in send_event(Placed(...))"
)
def _(stage: Stage) -> None:
    stage.manager().send_event(Placed)  # type: ignore[arg-type]


@DECLARING.add("a subclass of an event is sent", "Express", fix="Put @event() on it")
def _(stage: Stage) -> None:
    @dataclass
    class Express(Placed):
        pass

    stage.manager().send_event(Express(1))


@DECLARING.add("an event's name with white space", "'order placed'", fix="Choose another with @event(")
def _(stage: Stage) -> None:
    @event("order placed")
    @dataclass
    class Spaced:
        number: int = 0

    stage.manager().send_event(Spaced())


@DECLARING.add("two events of one name", "'Paid'", "Paying", fix="@event(")
def _(stage: Stage) -> None:
    @event("Paid")
    @dataclass
    class Paying:
        number: int = 0

    manager = stage.manager()
    manager.send_event(Paid())
    manager.send_event(Paying())


@DECLARING.add("a field that pydantic can't handle", "Odd", fix="Give it a type that pydantic can serialise")
def _(stage: Stage) -> None:
    class Handle:
        pass

    @event()
    @dataclass
    class Odd:
        handle: Handle

    stage.manager().send_event(Odd(Handle()))


@DECLARING.add("@event_listener without its event", "OnNothing", fix="write @event_listener(<event class>)")
def _(_: Stage) -> None:
    @event_listener
    class OnNothing(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            pass


@DECLARING.add("a listener without its base class", "OnPlain", fix="Derive it from EventListener[")
def _(stage: Stage) -> None:
    @event_listener(Placed)
    class OnPlain:  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
        def on(self, event: Placed) -> None:
            pass

    stage.manager(OnPlain).start()


@DECLARING.add("a listener without a decorator", "OnUndeclared", fix="Put @event_listener(")
def _(stage: Stage) -> None:
    class OnUndeclared(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            pass

    stage.manager(OnUndeclared).start()


@DECLARING.add("a listener that defines no on", "OnMissing", fix="Write def on(self, event)")
def _(stage: Stage) -> None:
    @event_listener(Placed)
    class OnMissing(EventListener[Placed]):
        pass

    stage.manager(OnMissing).start()


@DECLARING.add("an on without a parameter", "OnEmpty", fix="Write def on(self, event)")
def _(stage: Stage) -> None:
    @event_listener(Placed)
    class OnEmpty(EventListener[Placed]):
        def on(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
            pass

    stage.manager(OnEmpty).start()


@DECLARING.add("an on that yields", "OnYield", fix="Remove the yield")
def _(stage: Stage) -> None:
    @event_listener(Placed)
    class OnYield(EventListener[Placed]):
        def on(self, event: Placed) -> Any:
            yield event

    stage.manager(OnYield).start()


@DECLARING.add(
    "decorator and base class name different events", "OnBoth", "Placed", "Paid", fix="EventListener[Placed]"
)
def _(stage: Stage) -> None:
    @event_listener(Placed)
    class OnBoth(EventListener[Paid]):
        def on(self, event: Paid) -> None:
            pass

    stage.manager(OnBoth).start()


@DECLARING.add("two listeners of one name", "'OnPlaced'", fix="Give one of them another name")
def _(stage: Stage) -> None:
    @event_listener(Placed, name="OnPlaced")
    class OnAgain(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            pass

    stage.manager(OnPlaced, OnAgain).start()


@DECLARING.add("ordered and concurrent", "OnOrdered", "concurrency=4", fix="Remove concurrency")
def _(stage: Stage) -> None:
    @event_listener(Placed, ordered=True, concurrency=4)
    class OnOrdered(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            pass

    stage.manager(OnOrdered).start()


@DECLARING.add("concurrency of 0", "OnNone", "concurrency=0", fix="at least 1")
def _(stage: Stage) -> None:
    @event_listener(Placed, concurrency=0)
    class OnNone(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            pass

    stage.manager(OnNone).start()


@DECLARING.add("less prefetch than concurrency", "OnLittle", "prefetch=2", fix="at least its concurrency")
def _(stage: Stage) -> None:
    @event_listener(Placed, concurrency=4, prefetch=2)
    class OnLittle(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            pass

    stage.manager(OnLittle).start()


@DECLARING.add("more concurrency than workers", "OnMany", "concurrency=9", fix="Lower it, or set workers=9")
def _(stage: Stage) -> None:
    @event_listener(Placed, concurrency=9)
    class OnMany(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            pass

    stage.manager(OnMany, workers=2).start()


@DECLARING.add("a number as retry", "OnRetry", "retry", fix="Retry(max_attempts=3)")
def _(stage: Stage) -> None:
    @event_listener(Placed, retry=3)  # type: ignore[call-overload]
    class OnRetry(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            pass

    stage.manager(OnRetry).start()


@DECLARING.add("no attempts at all", "Retry", "max_attempts", fix="at least 1")
def _(_: Stage) -> None:
    Retry(max_attempts=0)


@DECLARING.add("an object in place of a listener's class", "listeners[0]", "OnPlaced", fix="Pass its class")
def _(stage: Stage) -> None:
    stage.manager(OnPlaced())


@DECLARING.add("one class in place of a list", "listeners", "OnPlaced", fix="Write listeners=[OnPlaced]")
def _(_: Stage) -> None:
    EventManager(MemoryProvider("server", MemoryBroker()), listeners=OnPlaced)  # type: ignore[arg-type]


@DECLARING.add("@envelope_pipeline without parentheses", "Tracing", fix="write @envelope_pipeline()")
def _(_: Stage) -> None:
    @envelope_pipeline  # type: ignore[arg-type]
    class Tracing(EnvelopePipeline):
        pass


@DECLARING.add("an async pipeline", "Slow.send", fix="write a plain method")
def _(_: Stage) -> None:
    class Slow(EnvelopePipeline):
        async def send(self, envelope: Envelope, descriptor: Any) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
            pass

    with EventManager(MemoryProvider("server", MemoryBroker()), listeners=[], pipelines=[Slow()]) as manager:
        manager.send_event(Placed())


@DECLARING.add(
    "a listener that needs a constructor's argument and has no container", "OnInjected", "mailer", fix="environment="
)
def _(stage: Stage) -> None:
    class Mailer:
        pass

    @event_listener(Placed)
    class OnInjected(EventListener[Placed]):
        def __init__(self, mailer: Mailer) -> None:
            self.mailer = mailer

        def on(self, event: Placed) -> None:
            pass

    stage.manager(OnInjected).start()


@DECLARING.add("a container that isn't one", "environment", "dict", fix="Pass the container")
def _(stage: Stage) -> None:
    stage.manager(environment={})


@DECLARING.add("a constructor that raises", "OnBroken", "KeyError", "SMTP_HOST", fix="See the traceback of that error")
def _(stage: Stage) -> None:
    @event_listener(Placed)
    class OnBroken(EventListener[Placed]):
        def __init__(self) -> None:
            raise KeyError("SMTP_HOST")

        def on(self, event: Placed) -> None:
            pass

    stage.manager(OnBroken).start()


@DECLARING.add("two decorators on one class", "OnBoth", fix="@event_listener(Paid | Placed)")
def _(_: Stage) -> None:
    @event_listener(Placed)
    @event_listener(Paid)
    class OnBoth(EventListener[Any]):
        def on(self, event: Any) -> None: ...


@DECLARING.add(
    "a union with a member that is no event", "int", fix="Use a dataclass or a pydantic model with @event() instead"
)
def _(stage: Stage) -> None:
    @event_listener(Placed | int)
    class OnMany(EventListener[Any]):
        def on(self, event: Any) -> None: ...

    stage.manager(OnMany).start()


@DECLARING.add("a function that takes two parameters", "on_placed", fix="Write def on_placed(event)")
def _(stage: Stage) -> None:
    @event_listener(Placed)  # type: ignore[arg-type]
    def on_placed(event: Placed, context: object) -> None: ...

    stage.manager(on_placed).start()


@DECLARING.add("a generator function as a listener", "on_placed", fix="Remove the yield")
def _(stage: Stage) -> None:
    @event_listener(Placed)
    def on_placed(event: Placed) -> Any:
        yield event

    stage.manager(on_placed).start()


@DECLARING.add("a field that is a secret", "Login", "token", fix="Give it a serializer")
def _(stage: Stage) -> None:
    @event()
    class Login(BaseModel):
        token: SecretStr

    @event_listener(Login)
    class OnLogin(EventListener[Login]):
        def on(self, event: Login) -> None: ...

    stage.manager(OnLogin).start()


@DECLARING.add(
    "a field that is only for the constructor", "Placed", "code", fix="Give it a default, or make it a field"
)
def _(stage: Stage) -> None:
    @event()
    @dataclass
    class Placed:
        code: InitVar[str]

    @event_listener(Placed)
    class OnPlaced(EventListener[Placed]):
        def on(self, event: Placed) -> None: ...

    stage.manager(OnPlaced).start()


@DECLARING.add("a value that its own bound refuses", "Bounded", "number", fix="should be greater than 0")
def _(stage: Stage) -> None:
    @event()
    @dataclass
    class Bounded:
        number: Annotated[int, Field(gt=0)]

    stage.manager().send_event(Bounded(-1))
