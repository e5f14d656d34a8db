"""Classes that the tests of injection make: a listener with a plain constructor, as users write it."""

from __future__ import annotations

from dataclasses import dataclass

from eventing_core import EnvelopePipeline, EventListener, event, event_listener


@event()
@dataclass
class Hello:
    world: str


class Greeter:
    """A dependency."""


class Unregistered:
    """A dependency that no container knows."""

    def __init__(self, number: int) -> None:
        self.number = number


@event_listener(Hello)
class Plain(EventListener[Hello]):
    def on(self, event: Hello) -> None:
        """Do nothing."""


@event_listener(Hello)
class Greeting(EventListener[Hello]):
    def __init__(self, greeter: Greeter) -> None:
        self.greeter = greeter

    def on(self, event: Hello) -> None:
        """Do nothing."""


@event_listener(Hello)
class Needy(EventListener[Hello]):
    def __init__(self, dependency: Unregistered) -> None:
        self.dependency = dependency

    def on(self, event: Hello) -> None:
        """Do nothing."""


@event_listener(Hello)
class Failing(EventListener[Hello]):
    def __init__(self) -> None:
        raise ZeroDivisionError("by intent")

    def on(self, event: Hello) -> None:
        """Do nothing."""


class Session(EnvelopePipeline):
    def __init__(self, greeter: Greeter) -> None:
        self.greeter = greeter
