"""Listeners made by ``injector.Injector``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NewType

import pytest
from injector import CallError, Inject, Injector, ProviderOf, UnsatisfiedRequirement, inject, noninjectable, singleton

from eventing_core.errors import ListenerCreationError
from eventing_core.inject._environment import create
from tests.unit.injection_fixtures import Failing, Greeter, Greeting, Needy, Plain, Session

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers

Url = NewType("Url", str)


def test_without_arguments() -> None:
    assert isinstance(create(Injector(), Plain), Plain)
    assert isinstance(create(Injector(auto_bind=False), Plain), Plain)


def test_plain_constructor_without_inject() -> None:
    greeter = Greeter()
    environment = Injector(lambda binder: binder.bind(Greeter, to=greeter))
    assert create(environment, Greeting).greeter is greeter
    assert create(environment, Session).greeter is greeter
    assert create(environment, Greeting) is not create(environment, Greeting)
    assert not hasattr(Greeting.__init__, "__bindings__"), "the user's class was changed"


class Decorated:
    @inject
    def __init__(self, greeter: Greeter) -> None:
        self.greeter = greeter


class Marked:
    def __init__(self, greeter: Inject[Greeter], number: int = 3) -> None:
        self.greeter = greeter
        self.number = number


@pytest.mark.parametrize("cls", [Decorated, Marked])
@pytest.mark.parametrize("auto_bind", [True, False])
def test_constructor_with_inject(cls: type[Any], auto_bind: bool) -> None:
    greeter = Greeter()
    environment = Injector(lambda binder: binder.bind(Greeter, to=greeter), auto_bind=auto_bind)
    made = create(environment, cls)
    assert made.greeter is greeter
    assert getattr(made, "number", 3) == 3


def test_binding_of_the_class_is_honoured() -> None:
    listener = Greeting(Greeter())
    environment = Injector(lambda binder: binder.bind(Greeting, to=listener))
    assert create(environment, Greeting) is listener


def test_binding_in_the_parent_is_honoured() -> None:
    class Special(Greeter):
        pass

    listener = Greeting(Greeter())
    parent = Injector([lambda binder: binder.bind(Greeting, to=listener), lambda binder: binder.bind(str, to="bound")])
    child = parent.create_child_injector(lambda binder: binder.bind(Greeter, to=Special))
    assert create(child, Greeting) is listener
    assert isinstance(create(child, Session).greeter, Special)
    assert create(child, WithUrl).url == "bound"


@singleton
class Scoped:
    @inject
    def __init__(self, greeter: Greeter) -> None:
        self.greeter = greeter


@singleton
class ScopedWithoutArguments:
    pass


@pytest.mark.parametrize("cls", [Scoped, ScopedWithoutArguments])
def test_scope_of_the_class_is_honoured(cls: type[Any]) -> None:
    environment = Injector()
    assert create(environment, cls) is environment.get(cls)


class WithUrl:
    def __init__(self, url: str) -> None:
        self.url = url


class WithDecoratedUrl:
    @inject
    def __init__(self, url: str) -> None:
        self.url = url


class WithPath:
    def __init__(self, url: Path) -> None:
        self.url = url


class WithNewType:
    def __init__(self, url: Url) -> None:
        self.url = url


class WithOptional:
    def __init__(self, url: str | None) -> None:
        self.url = url


@pytest.mark.parametrize("cls", [WithUrl, WithDecoratedUrl, WithPath, WithNewType, WithOptional])
def test_unbound_value_is_refused_rather_than_made_up(cls: type[Any]) -> None:
    for environment in (Injector(), Injector(auto_bind=False)):
        with pytest.raises(
            ListenerCreationError, match=f"{cls.__name__} can't be created: its parameter 'url' is .*bind"
        ):
            create(environment, cls)


@pytest.mark.parametrize("cls", [WithUrl, WithDecoratedUrl, WithOptional])
def test_bound_value(cls: type[Any]) -> None:
    assert create(Injector(lambda binder: binder.bind(str, to="tcp://x")), cls).url == "tcp://x"


def test_bound_new_type() -> None:
    assert create(Injector(lambda binder: binder.bind(Url, to=Url("tcp://x"))), WithNewType).url == "tcp://x"


class WithDefaults:
    def __init__(self, greeter: Greeter | None = None, number: int = 3) -> None:
        self.values = (greeter, number)


class WithDecoratedDefaults:
    @inject
    def __init__(self, greeter: Greeter | None = None, number: int = 3) -> None:
        self.values = (greeter, number)


def test_defaults() -> None:
    assert create(Injector(), WithDefaults).values == (None, 3)
    greeter, number = create(Injector(), WithDecoratedDefaults).values
    assert isinstance(greeter, Greeter)
    assert number == 3
    bound = Injector([lambda binder: binder.bind(int, to=7), lambda binder: binder.bind(Greeter, to=Greeter)])
    classes: list[Any] = [WithDefaults, WithDecoratedDefaults]
    for cls in classes:
        greeter, number = create(bound, cls).values
        assert isinstance(greeter, Greeter)
        assert number == 7


class Unannotated:
    def __init__(self, greeter) -> None:
        self.greeter = greeter


class Excluded:
    @inject
    @noninjectable("number")
    def __init__(self, greeter: Greeter, number: int) -> None:
        self.values = (greeter, number)


@pytest.mark.parametrize(("cls", "parameter"), [(Unannotated, "greeter"), (Excluded, "number")])
def test_parameter_that_can_not_be_injected(cls: type[Any], parameter: str) -> None:
    with pytest.raises(ListenerCreationError, match=f"{cls.__name__}.*parameter '{parameter}' has no annotation"):
        create(Injector(), cls)


class Unresolved:
    def __init__(self, amount: OnlyForCheckers) -> None:
        self.amount = amount


class UnresolvedDecorated:
    @inject
    def __init__(self, amount: OnlyForCheckers) -> None:
        self.amount = amount


@pytest.mark.parametrize("cls", [Unresolved, UnresolvedDecorated])
def test_annotation_that_is_unknown_at_run_time(cls: type[Any]) -> None:
    with pytest.raises(ListenerCreationError, match=r"'OnlyForCheckers'.*TYPE_CHECKING"):
        create(Injector(), cls)


def test_dependency_that_can_not_be_made_is_named() -> None:
    with pytest.raises(ListenerCreationError, match=r"Needy.*no Unregistered for its parameter 'dependency'") as caught:
        create(Injector(), Needy)
    assert isinstance(caught.value.__cause__, CallError)
    assert "binder.bind(Unregistered, to=...)" in str(caught.value)


def test_unbound_without_auto_bind() -> None:
    with pytest.raises(ListenerCreationError, match="no Greeter for its parameter 'greeter'") as caught:
        create(Injector(auto_bind=False), Greeting)
    assert isinstance(caught.value.__cause__, UnsatisfiedRequirement)


def test_constructor_that_raises() -> None:
    with pytest.raises(ListenerCreationError, match="ZeroDivisionError: by intent") as caught:
        create(Injector(), Failing)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_binding_to_something_else_is_refused() -> None:
    with pytest.raises(ListenerCreationError, match="returned None instead of an instance"):
        create(Injector(lambda binder: binder.bind(Greeting, to=lambda: None)), Greeting)


class WithProvider:
    def __init__(self, greeter: ProviderOf[Greeter], *rest: int, make: Greeter, **more: int) -> None:
        self.greeter = greeter
        self.make = make


def test_providers_keywords_and_variadics() -> None:
    made = create(Injector(), WithProvider)
    assert isinstance(made.greeter.get(), Greeter)
    assert isinstance(made.make, Greeter)


def test_positional_only_parameters() -> None:
    class Positional:
        def __init__(self, number: int = 5, greeter: Greeter = Greeter(), /, *, other: Greeter) -> None:  # noqa: B008
            self.values = (number, greeter, other)

    made = create(Injector(lambda binder: binder.bind(Greeter)), Positional)
    assert made.values[0] == 5
    assert type(made.values[1]) is type(made.values[2]) is Greeter
    assert create(Injector(), Positional).values[0] == 5


def test_an_unbound_list_is_named_with_what_is_in_it() -> None:
    class Many:
        def __init__(self, greeters: list[Greeter]) -> None:
            """Never called."""

    with pytest.raises(ListenerCreationError) as caught:
        create(Injector(), Many)
    name = repr(list[Greeter])
    assert f"the injector has no {name} for its parameter 'greeters'" in str(caught.value)
    assert str(caught.value).endswith(f"Bind it: binder.multibind({name}, to=...)")
