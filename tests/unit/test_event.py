from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel
from pydantic.dataclasses import dataclass as pydantic_dataclass

from eventing_core.declare._event import EventDescriptor, describe_event, event
from eventing_core.errors import DeclarationError

T = TypeVar("T")


@dataclass
@event("below", durable=True)
class Below:
    text: str


@event("above", durable=True)
@dataclass
class Above:
    text: str


@dataclass(slots=True)
@event("below-slots", durable=True)
class BelowSlots:
    text: str


@event("above-slots", durable=True)
@dataclass(slots=True)
class AboveSlots:
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
@event("below-all", durable=True)
class BelowAll:
    text: str


@event("above-all", durable=True)
@dataclass(frozen=True, kw_only=True, slots=True)
class AboveAll:
    text: str


@event("model", durable=True)
class Model(BaseModel):
    text: str


@event("frozen-model", durable=True)
class FrozenModel(BaseModel, frozen=True, extra="forbid"):
    text: str


@event("above-pydantic", durable=True)
@pydantic_dataclass
class AbovePydantic:
    text: str


@pydantic_dataclass
@event("below-pydantic", durable=True)
class BelowPydantic:
    text: str


@pydantic_dataclass(slots=True, frozen=True, kw_only=True)
@event("below-pydantic-all", durable=True)
class BelowPydanticAll:
    text: str


@event("generic-model", durable=True)
class GenericModel(BaseModel, Generic[T]):
    text: T


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (Below, "below"),
        (Above, "above"),
        (BelowSlots, "below-slots"),
        (AboveSlots, "above-slots"),
        (BelowAll, "below-all"),
        (AboveAll, "above-all"),
        (Model, "model"),
        (FrozenModel, "frozen-model"),
        (AbovePydantic, "above-pydantic"),
        (BelowPydantic, "below-pydantic"),
        (BelowPydanticAll, "below-pydantic-all"),
        (GenericModel, "generic-model"),
    ],
)
def test_every_order_and_kind_of_class(cls: type[Any], name: str):
    assert describe_event(cls) == EventDescriptor(name, durable=True, event_type=cls)
    assert cls(text="x").text == "x"


def test_defaults():
    @event()
    @dataclass
    class Plain:
        text: str

    assert describe_event(Plain) == EventDescriptor("Plain", durable=False, event_type=Plain)


def test_decorating_keeps_the_class():
    @dataclass
    class Plain:
        text: str

    assert event()(Plain) is Plain
    assert dataclasses.asdict(Plain("x")) == {"text": "x"}
    assert "__slots__" not in vars(Plain)
    assert not hasattr(AboveSlots("x"), "__dict__")
    assert not hasattr(BelowSlots("x"), "__dict__")


def test_the_mark_is_no_field():
    assert [field.name for field in dataclasses.fields(Below)] == ["text"]
    assert list(Model.model_fields) == ["text"]
    assert Model(text="x").model_dump_json() == '{"text":"x"}'
    assert list(Model.model_json_schema()["properties"]) == ["text"]


def test_events_inherit_from_events():
    @event()
    @dataclass
    class Child(Below):
        more: int = 0

    @event()
    class ChildModel(Model):
        more: int = 0

    # Name and durability are the child's own.
    assert describe_event(Child) == EventDescriptor("Child", durable=False, event_type=Child)
    assert describe_event(ChildModel).name == "ChildModel"
    assert describe_event(Below).name == "below"


@dataclass
class UndecoratedChild(Below):
    more: int = 0


@dataclass(slots=True)
class UndecoratedSlotsChild(BelowSlots):
    more: int = 0


class UndecoratedModelChild(Model):
    more: int = 0


@pytest.mark.parametrize("child", [UndecoratedChild, UndecoratedSlotsChild, UndecoratedModelChild])
def test_refuses_a_subclass_that_is_not_decorated_itself(child: type[Any]):
    with pytest.raises(DeclarationError) as caught:
        describe_event(child)
    assert str(caught.value) == (
        f"{__name__}.{child.__name__} inherits from an event class and has no decorator itself; sent as its base "
        "class, it would lose its own fields. Put @event() on it, too."
    )


@pytest.mark.parametrize("thing", [BaseModel, type("Plain", (), {})])
def test_refuses_a_class_without_decorator(thing: type[Any]):
    label = rf"^{thing.__module__}\.{thing.__name__}"
    with pytest.raises(DeclarationError, match=rf"{label} is not an event class\. Put @event\(\) on it, above a"):
        describe_event(thing)


@pytest.mark.parametrize("thing", [int, dict, object])
def test_refuses_a_builtin_class_that_nobody_could_decorate(thing: type[Any]):
    with pytest.raises(
        DeclarationError, match=rf"^{thing.__name__} is not an event class\. Use a dataclass or a pydantic"
    ):
        describe_event(thing)


def test_refuses_an_instance():
    instance: Any = Below("x")
    with pytest.raises(
        DeclarationError, match=r"^an object of type Below was given where an event class is needed\. Name a class"
    ):
        describe_event(instance)


def test_refuses_what_is_neither_dataclass_nor_model():
    @event()
    class Plain:
        text: str

    with pytest.raises(DeclarationError) as caught:
        describe_event(Plain)
    assert str(caught.value) == (
        f"{__name__}.{Plain.__qualname__} is neither a dataclass nor a pydantic model. "
        "Put @dataclass on it, or derive it from BaseModel."
    )


def test_refuses_a_decorated_child_of_a_dataclass_that_is_none_itself():
    @event()
    class Child(Below):
        more: int

    with pytest.raises(DeclarationError, match="is neither a dataclass nor a pydantic model"):
        describe_event(Child)


def test_refuses_the_decorator_without_parentheses():
    with pytest.raises(DeclarationError, match=r"^@event needs parentheses: write @event\(\) above 'Plain'$"):

        @event  # type: ignore[arg-type] # the error that is tested
        class Plain: ...


@pytest.mark.parametrize("name", ["a::b", "a b", "topic://a", "a\0"])
def test_refuses_names_that_a_transport_cannot_carry(name: str):
    @event(name)
    @dataclass
    class Plain:
        text: str

    with pytest.raises(DeclarationError) as caught:
        describe_event(Plain)
    assert str(caught.value).startswith(f"the event {__name__}.{Plain.__qualname__}: {name!r} is not a valid name: ")
    assert str(caught.value).endswith('Choose another with @event("name").')
