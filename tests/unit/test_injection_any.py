"""Listeners without container, and with one that we don't know."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from eventing_core.errors import ListenerCreationError
from eventing_core.inject._environment import create
from tests.unit.injection_fixtures import Failing, Greeter, Greeting, Needy, Plain, Session


class Custom:
    """A container of the user's own."""

    def __init__(self, factory: Callable[[type[Any]], Any]) -> None:
        self.get = factory


def test_without_container() -> None:
    assert isinstance(create(None, Plain), Plain)


def test_without_container_but_with_arguments() -> None:
    with pytest.raises(ListenerCreationError, match=r"Greeting needs .*\(greeter: Greeter\).*Pass environment="):
        create(None, Greeting)


def test_defaults_are_no_needs() -> None:
    class Defaulted:
        def __init__(self, number: int = 3, *rest: int, **more: int) -> None:
            self.number = number

    assert create(None, Defaulted).number == 3


def test_constructor_that_raises() -> None:
    with pytest.raises(ListenerCreationError, match=r"Failing.*ZeroDivisionError: by intent") as caught:
        create(None, Failing)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_any_object_with_get() -> None:
    made = create(Custom(lambda kind: kind(Greeter())), Greeting)
    assert isinstance(made.greeter, Greeter)


def test_pipelines_too() -> None:
    assert isinstance(create(Custom(lambda kind: kind(Greeter())), Session), Session)


def test_failure_is_chained() -> None:
    def fail(kind: type[Any]) -> Any:
        raise LookupError(kind.__name__)

    with pytest.raises(
        ListenerCreationError, match=r"container Custom: LookupError: Needy\n.*register Needy"
    ) as caught:
        create(Custom(fail), Needy)
    assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize(
    ("made", "shown"), [(None, "None"), (3, "an object of type int"), (Greeting, "the class Greeting")]
)
def test_something_else_is_refused(made: object, shown: str) -> None:
    with pytest.raises(ListenerCreationError, match=f"returned {shown} instead of an instance"):
        create(Custom(lambda _: made), Greeting)


def test_a_dictionary_is_no_container_that_works() -> None:
    environment: Any = {Plain: Plain()}
    assert isinstance(create(environment, Plain), Plain)
    with pytest.raises(ListenerCreationError, match="returned None"):
        create(environment, Greeting)


def test_awaitables_are_refused_and_closed() -> None:
    async def make(_: type[Any]) -> Any: ...

    with pytest.raises(ListenerCreationError, match="asynchronous"):
        create(Custom(make), Greeting)


@pytest.mark.parametrize("environment", [object(), dict, 3])
def test_no_container_at_all(environment: Any) -> None:
    with pytest.raises(ListenerCreationError, match=re.escape("no method get(type)")):
        create(environment, Plain)
