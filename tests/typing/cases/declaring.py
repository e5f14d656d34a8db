"""Events, listeners and pipelines, as checkers see them. Never run."""

# What is made here is looked at by checkers alone.
# pyright: reportUnusedExpression=false, reportUnusedClass=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel
from pydantic.dataclasses import dataclass as pydantic_dataclass

from eventing_core import (
    Envelope,
    EnvelopePipeline,
    EventDescriptor,
    EventListener,
    EventListenerDescriptor,
    Retry,
    envelope_pipeline,
    event,
    event_listener,
)


@dataclass
@event()
class Below:
    text: str


@event("above", durable=True)
@dataclass(slots=True, frozen=True, kw_only=True)
class Above:
    number: int


@event()
class Model(BaseModel):
    number: int


@event()
@pydantic_dataclass
class PydanticDataclass:
    number: int


# The constructors are those of the undecorated classes.
Below("text")
Below(text="text")
Below(1)  # expect: error
Below()  # expect: error
Below("text").missing  # expect: error
Above(number=1)
Above(1)  # expect: error
Above(number="1")  # expect: error
Model(number=1)
Model(1)  # expect: error
Model(number=[])  # expect: error
PydanticDataclass(number=1)
PydanticDataclass(wrong=1)  # expect: error
text: str = Below("text").text
number: int = Below("text").text  # expect: error


@event(name=1)  # expect: error
class WrongName(BaseModel): ...


@event("name", volatile=True)  # expect: error
class UnknownKeyword(BaseModel): ...


@event_listener(Below)
class OnBelow(EventListener[Below]):
    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def on(self, event: Below) -> None:
        print(self.greeting + event.text)


# The decorated listener stays the class that it is.
OnBelow("hello").on(Below("text"))
OnBelow("hello").on(Above(number=1))  # expect: error
OnBelow(1)  # expect: error


@event_listener(Below, name="other", per_process=True, concurrency=2, prefetch=10, retry=Retry(max_attempts=2))
class AsyncOnBelow(EventListener[Below]):
    async def on(self, event: Below) -> None:
        print(event.text)


@event_listener(Below)
class WrongArgument(EventListener[Below]):
    def on(self, event: Above) -> None: ...  # expect: error


@event_listener(Below)
class TooManyArguments(EventListener[Below]):
    def on(self, event: Below, more: int) -> None: ...  # expect: error


class NoListener:
    def on(self, event: Below) -> None: ...


event_listener(Below)(NoListener)  # expect: error


@event_listener("Below")  # expect: error
class NotOnAClass(EventListener[Below]):
    def on(self, event: Below) -> None: ...


@event_listener(Below, per_process="yes")  # expect: error
class WrongSetting(EventListener[Below]):
    def on(self, event: Below) -> None: ...


@event_listener(Below, retries=3)  # expect: error
class UnknownSetting(EventListener[Below]):
    def on(self, event: Below) -> None: ...


class Incomplete(EventListener[Below]): ...


Incomplete()  # expect: error

T = TypeVar("T")


class Logging(EventListener[T]):
    def on(self, event: T) -> None:
        print(event)


@event_listener(Below)
class LogBelow(Logging[Below]): ...


LogBelow().on(Below("text"))
LogBelow().on(Above(number=1))  # expect: error


@event_listener(Below)
def on_below(event: Below) -> int:
    return len(event.text)


@event_listener(Below, name="other", concurrency=3, ordered=False, retry=Retry(), timeout=3)
async def on_below_async(event: Below) -> None: ...


@event_listener(Below)
def on_anything(event: object) -> None: ...


@event_listener(Above)  # expect: error
def on_the_wrong_event(event: Below) -> None: ...


@event_listener(Below)  # expect: error
def on_nothing() -> None: ...


@event_listener(Below)  # expect: error
def on_too_much(event: Below, more: int) -> None: ...


@event_listener(Below, retries=3)  # expect: error
def on_with_an_unknown_setting(event: Below) -> None: ...


# The decorated function is still called as the function.
length: int = on_below(Below("text"))
wrong_length: str = on_below(Below("text"))  # expect: error
on_below(Above(number=1))  # expect: error
on_below()  # expect: error
on_below.__name__.upper()


async def call() -> None:
    await on_below_async(Below("text"))
    await on_below(Below("text"))  # expect: error


@event_listener(Below | Above)
class OnBoth(EventListener[Below | Above]):
    def __init__(self, greeting: str) -> None: ...

    def on(self, event: Below | Above) -> None: ...


OnBoth("hello").on(Above(number=1))
OnBoth(1)  # expect: error
OnBoth("hello").on(Model(number=1))  # expect: error


@event_listener(Below | Above, concurrency=2)
class OnOneOfTwo(EventListener[Below | Above]):
    def on(self, event: Below) -> None: ...  # expect: error


@event_listener(Below | Above)
def on_both(event: Below | Above) -> None: ...


@event_listener(Below | Above)
async def on_both_async(event: Below | Above) -> None: ...


on_both(Below("text"))
on_both(Model(number=1))  # expect: error


@event_listener(Below | Above)  # expect: error
def on_neither() -> None: ...


@event_listener((Below, Above))  # expect: error
class OnATuple(EventListener[Below | Above]):
    def on(self, event: Below | Above) -> None: ...


@event_listener(Below, Above)  # expect: error
class OnTwoArguments(EventListener[Below | Above]):
    def on(self, event: Below | Above) -> None: ...


@envelope_pipeline(order=1)
class Session(EnvelopePipeline):
    def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> None:
        envelope.set("session", "1")
        envelope.set("session", 1)  # expect: error
        print(event_descriptor.name)

    def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> Iterator[None]:
        found: str = envelope.get("session")
        perhaps: str | None = envelope.get("session", None)
        never: str = envelope.get("session", None)  # expect: error
        print(found, perhaps, never, event_listener_descriptor.per_process)
        yield


Session().send(Envelope(b"{}"), EventDescriptor("name", False, Below))


@envelope_pipeline()
class WrongPipeline(EnvelopePipeline):
    def send(self, envelope: str, event_descriptor: EventDescriptor) -> None: ...  # expect: error


class NoPipeline: ...


envelope_pipeline()(NoPipeline)  # expect: error


@envelope_pipeline(order="first")  # expect: error
class WrongOrder(EnvelopePipeline): ...
