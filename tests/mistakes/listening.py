"""Listeners that are functions, or of several events; and how a manager is given its listeners."""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

from eventing_core import EventListener, EventManager, Options, event_listener
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.testing import isolated_declarations
from tests.mistakes.declaring import OnPlaced, Paid, Placed
from tests.mistakes.table import Group, Stage, settings

LISTENING = Group("listening")


def module(stage: Stage, name: str) -> ModuleType:
    """An empty module that can be imported for as long as the mistake takes."""
    made = ModuleType(stage.unique(name))
    sys.modules[made.__name__] = made
    stage.at_end(lambda: sys.modules.pop(made.__name__))
    return made


def start_all(stage: Stage) -> None:
    """Start a manager with all listeners that are declared."""
    manager = EventManager(MemoryProvider("server", MemoryBroker()), pipelines=[], options=Options(stop_timeout=2.0))
    stage.at_end(manager.stop)
    manager.start()


@LISTENING.add("a function without a parameter", "react", fix="Write def react(event)")
def _(_: Stage) -> None:
    @event_listener(Placed)  # type: ignore[arg-type]
    def react() -> None:  # pyright: ignore[reportUnusedFunction]
        pass


@LISTENING.add("a function with two parameters", "react", "headers", fix="Write def react(event)")
def _(_: Stage) -> None:
    @event_listener(Placed)  # type: ignore[arg-type]
    def react(event: Placed, headers: dict[str, str]) -> None:  # pyright: ignore[reportUnusedFunction]
        pass


@LISTENING.add("a method as listener", "Service.react", fix="derive the class from EventListener")
def _(_: Stage) -> None:
    class Service:  # pyright: ignore[reportUnusedClass]
        @event_listener(Placed)  # type: ignore[arg-type]
        def react(self, event: Placed) -> None:
            pass


@LISTENING.add("a generator function", "react", fix="Remove the yield")
def _(_: Stage) -> None:
    @event_listener(Placed)
    def react(event: Placed) -> Any:  # pyright: ignore[reportUnusedFunction]
        yield event


@LISTENING.add("a partial function", "functools.partial", fix="Define a function with def that calls it")
def _(_: Stage) -> None:
    def react(event: Placed, limit: int) -> None:
        pass

    event_listener(Placed)(functools.partial(react, limit=1))


@LISTENING.add("a function without the decorator in the list", "listeners[0]", "react", fix="Put @event_listener(")
def _(stage: Stage) -> None:
    def react(event: Placed) -> None:
        pass

    stage.manager(react)


@LISTENING.add("two decorators on one class", "OnBoth", "two @event_listener", fix="@event_listener(Paid | Placed)")
def _(_: Stage) -> None:
    @event_listener(Placed)
    @event_listener(Paid)
    class OnBoth(EventListener[Any]):  # pyright: ignore[reportUnusedClass]
        def on(self, event: Any) -> None:
            pass


@LISTENING.add("two events with a comma", "one event class", fix="write @event_listener(Placed | Paid)")
def _(_: Stage) -> None:
    event_listener(Placed, Paid)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


@LISTENING.add("a union with a member that isn't an event", "OnUnion", "int", fix="Use a dataclass or a pydantic model")
def _(stage: Stage) -> None:
    @event_listener(Placed | int)
    class OnUnion(EventListener[Placed | int]):
        def on(self, event: Placed | int) -> None:
            pass

    stage.manager(OnUnion).start()


@LISTENING.add("a union with None", "OnOptional", "None is not an event class", fix="Remove it from the union")
def _(stage: Stage) -> None:
    @event_listener(Placed | None)
    class OnOptional(EventListener[Placed | None]):
        def on(self, event: Placed | None) -> None:
            pass

    stage.manager(OnOptional).start()


@LISTENING.add("a union whose base class names one event", "OnOne", "Paid", fix="Write EventListener[Placed | Paid]")
def _(stage: Stage) -> None:
    @event_listener(Placed | Paid)
    class OnOne(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            pass

    stage.manager(OnOne).start()


@LISTENING.add("a module that doesn't exist", "'orders.listenres'", fix="Check the name, and that the module is")
def _(_: Stage) -> None:
    with EventManager.from_config(**settings(listeners=["orders.listenres"], provider="memory")):
        pass


@LISTENING.add("a module without listeners", "declares no listener", fix="Put @event_listener(", by_log=True)
def _(stage: Stage) -> None:
    stage.manager(module(stage, "quiet").__name__).start()


@LISTENING.add("a file's name in place of a module's", "'orders/listeners.py'", fix="Write it as in an import")
def _(stage: Stage) -> None:
    stage.manager("orders/listeners.py")


@LISTENING.add("a number in the list", "listeners[0]", "int", fix="Pass a listener class, a function")
def _(stage: Stage) -> None:
    stage.manager(7)


@LISTENING.add("one module's name in place of a list", "listeners", "str", fix="Write listeners=[")
def _(_: Stage) -> None:
    EventManager(MemoryProvider("server", MemoryBroker()), listeners="orders")


@LISTENING.add("one listener twice in the list", "OnPlaced", fix="Remove one of them")
def _(stage: Stage) -> None:
    stage.manager(OnPlaced, OnPlaced)


@LISTENING.add("a start without listeners", "no listener is declared", fix="Import the modules", by_log=True)
def _(stage: Stage) -> None:
    stage.enter(isolated_declarations(empty=True))
    start_all(stage)


@LISTENING.add("a forgotten decorator", "OnForgotten", fix="put @event_listener(...) on it", by_log=True)
def _(stage: Stage) -> None:
    stage.enter(isolated_declarations(empty=True))

    class OnForgotten(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            pass

    start_all(stage)
    del OnForgotten


@LISTENING.add(
    "two classes of one name for one queue",
    "OnTwice",
    fix="give one of them another name",
    by_log=True,
)
def _(stage: Stage) -> None:
    stage.enter(isolated_declarations(empty=True))

    def declare() -> None:
        @event_listener(Placed)
        class OnTwice(EventListener[Placed]):  # pyright: ignore[reportUnusedClass]
            def on(self, event: Placed) -> None:
                pass

    declare()
    declare()
    start_all(stage)


@LISTENING.add("concurrency as a setting of the manager", "'concurrency'", fix="@event_listener(..., concurrency=...)")
def _(_: Stage) -> None:
    Options(concurrency=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
