"""What a manager, and what it is made of, says to bad input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from eventing_core import ConfigError, DeclarationError, EventListener, EventManager, Retry, event, event_listener
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


PROVIDER = MemoryProvider("here")


def named(name: Any) -> MemoryProvider:
    return MemoryProvider(name)


@pytest.mark.parametrize(
    ("provider", "arguments", "text"),
    [
        ("memory", {}, "provider has to be a Provider's object, and is of type str. EventManager.from_config takes"),
        (MemoryProvider, {}, "is the class MemoryProvider. Make one: MemoryProvider(...)."),
        (None, {}, "provider has to be a Provider's object, and is None"),
        (named(5), {}, "server_name has to be a string, and is of type int"),
        (named("a::b"), {}, "server_name: 'a::b' can't be a name, it contains '::'"),
        (PROVIDER, {"retry": {"max_attempts": 1}}, "retry has to be a Retry, such as Retry(max_attempts=3)"),
        (PROVIDER, {"options": {"workers": 1}}, "options has to be an Options, such as Options(workers=4)"),
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
            "listeners has to be a list of classes, and is the class Secret. Write listeners=[Secret]",
        ),
        ({"listeners": "Secret"}, "listeners has to be a list of classes, and is of type str. Write listeners=[...]"),
        ({"listeners": [Secret()]}, "listeners[0] has to be a class, and is of type Secret. Pass its class"),
        ({"listeners": [Secret, 5]}, "listeners[1] has to be a class, and is of type int"),
        ({"listeners": (Secret, Secret)}, f"listeners names the class {__name__}.Secret twice"),
        ({"pipelines": Secret}, "pipelines has to be a list of classes, and is the class Secret"),
        ({"pipelines": [Secret]}, "pipelines[0] has to be an EnvelopePipeline, and is the class Secret"),
        ({"pipelines": [Secret()]}, "pipelines[0] has to be an EnvelopePipeline, and is of type Secret"),
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
    with pytest.raises(DeclarationError, match=f"the name has to be a string, and is of type {type(name).__name__}$"):
        event(name)
