"""What a manager, and what it is made of, says to bad input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from eventing_core import (
    ConfigError,
    DeclarationError,
    EnvelopePipeline,
    EventListener,
    EventManager,
    Options,
    Retry,
    envelope_pipeline,
    event,
    event_listener,
)
from eventing_core.memory import MemoryBroker, MemoryProvider


@event()
@dataclass
class Ping:
    number: int


@event_listener(Ping)
class Secret(EventListener[Ping]):
    def on(self, event: Ping) -> None: ...

    def __repr__(self) -> str:
        return "s3cret"


class Unnamed(MemoryProvider):
    def __init__(self) -> None:
        """Forgets its base's."""


class Piped(EnvelopePipeline):
    pass


PROVIDER = MemoryProvider("here")
PIPED = Piped()


def named(name: Any) -> MemoryProvider:
    return MemoryProvider(name)


@pytest.mark.parametrize(
    ("provider", "arguments", "text"),
    [
        ("memory", {}, "provider must be a Provider object, not of type str. EventManager.from_config takes"),
        (MemoryProvider, {}, "not the class MemoryProvider. Create one: MemoryProvider(...)."),
        (None, {}, "provider must be a Provider object, not None"),
        (named(5), {}, "server_name must be a string, not of type int"),
        (Unnamed(), {}, "server_name must be a string, not None. Give the provider another one."),
        (PROVIDER, {"environment": 5}, "environment must be a container, an object with a method get(type), not"),
        (PROVIDER, {"environment": dict}, "environment must be a container, an object with a method get(type), not"),
        (named("a::b"), {}, "server_name: 'a::b' is not a valid name: it contains '::'"),
        (PROVIDER, {"retry": {"max_attempts": 1}}, "retry must be a Retry, such as Retry(max_attempts=3)"),
        (PROVIDER, {"options": {"workers": 1}}, "options must be an Options, such as Options(workers=4)"),
    ],
)
def test_a_manager_refuses_arguments_of_another_kind(provider: Any, arguments: Any, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EventManager(provider, listeners=[], **arguments)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"listeners": Secret},
            "listeners must be a list of classes, not the class Secret. Write listeners=[Secret]",
        ),
        ({"listeners": "Secret"}, "listeners must be a list of classes, not of type str. Write listeners=[...]"),
        (
            {"listeners": [Secret()]},
            "listeners[0] must be a listener class or function, not of type Secret. Pass its class",
        ),
        ({"listeners": [Secret, 5]}, "listeners[1] must be a listener class or function, not of type int"),
        ({"listeners": (Secret, Secret)}, f"listeners names the class {__name__}.Secret twice"),
        ({"pipelines": Secret}, "pipelines must be a list of classes, not the class Secret"),
        ({"pipelines": [Secret]}, "pipelines[0] must be an EnvelopePipeline, not the class Secret"),
        ({"pipelines": [Piped, PIPED, Piped]}, "pipelines[2] is the class Piped a second time. Remove one of them."),
        ({"pipelines": [PIPED, Piped(), PIPED]}, "pipelines[2] is of type Piped a second time. Remove one of them."),
        (
            {"listeners": b"Secret"},
            "listeners must be a list of classes, not of type bytes. Write listeners=[...]",
        ),
        ({"listeners": {Secret: 1}}, "listeners must be a list of classes, not of type dict"),
        ({"listeners": (one for one in [Secret])}, "listeners must be a list of classes, not of type generator"),
        ({"pipelines": iter([Piped])}, "pipelines must be a list of classes, not of type list_iterator"),
        ({"pipelines": [Secret()]}, "pipelines[0] must be an EnvelopePipeline, not of type Secret"),
    ],
)
def test_a_manager_refuses_what_is_no_list_of_classes(arguments: Any, text: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        EventManager(PROVIDER, **arguments)
    assert text in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("count", ["3", 0, 2.5, True, None])
def test_a_memory_broker_refuses_a_bound_that_is_none(count: Any) -> None:
    with pytest.raises(ConfigError, match="max_messages must be a whole number, at least 1"):
        MemoryBroker(max_messages=count)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_attempts": "3"},
        {"max_attempts": 2.5},
        {"max_attempts": True},
        {"initial": "1"},
        {"initial": True},
        {"factor": True},
        {"fatal": (int,)},
        {"fatal": (ValueError, "s3cret")},
        {"fatal": ValueError},
        {"factor": None},
        {"max_delay": "s3cret"},
        {"jitter": []},
    ],
)
def test_retry_refuses_values_of_another_type(settings: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^Retry: {next(iter(settings))} must be a") as caught:
        Retry(**settings)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", [5, None, object()])
def test_an_event_refuses_a_name_of_another_type(name: Any) -> None:
    with pytest.raises(DeclarationError, match=f"the name must be a string, not of type {type(name).__name__}$"):
        event(name)


@pytest.mark.parametrize("durable", ["no", 1, None])
def test_an_event_is_durable_or_not(durable: Any) -> None:
    with pytest.raises(DeclarationError, match=f"durable must be True or False, not of type {type(durable).__name__}"):
        event(durable=durable)


@pytest.mark.parametrize("order", [True, "1", 1.5])
def test_the_order_of_a_pipeline_is_a_whole_number(order: Any) -> None:
    with pytest.raises(DeclarationError, match=f"takes a whole number, not what is of type {type(order).__name__}"):
        envelope_pipeline(order)


@pytest.mark.parametrize("name", [5, [], None])
def test_a_memory_broker_has_a_string_for_a_name(name: Any) -> None:
    for make in (MemoryBroker, MemoryBroker.shared):
        with pytest.raises(ConfigError, match=f"the name must be a string, not of type {type(name).__name__}"):
            make(name)


def test_a_memory_provider_takes_a_broker_and_no_name() -> None:
    broker: Any = "orders"
    with pytest.raises(ConfigError, match=r"not of type str\. MemoryBroker\.shared\(\.\.\.\) takes a name"):
        MemoryProvider("here", broker)


def test_an_async_listener_may_have_more_concurrency_than_there_are_workers() -> None:
    @event_listener(Ping, concurrency=3)
    class Async(EventListener[Ping]):
        async def on(self, event: Ping) -> None: ...

    with EventManager(named("here"), listeners=[Async], pipelines=[], options=Options(workers=1)) as manager:
        assert manager.health().consuming
