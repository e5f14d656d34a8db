from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ForwardRef, Generic, TypeVar, get_args

import pytest
from pydantic import BaseModel

from eventing_core import DeclarationError, EventListener, Retry, declared_listeners, event, event_listener
from eventing_core.declare._event import EventDescriptor
from eventing_core.declare._listener import EventListenerDescriptor, describe_listener

T = TypeVar("T")
S = TypeVar("S")


@dataclass
@event("order", durable=True)
class Order:
    number: int


@event()
class Note(BaseModel):
    text: str


ORDER = EventDescriptor("order", durable=True, event_type=Order)


def test_defaults():
    @event_listener(Order)
    class Packer(EventListener[Order]):
        def on(self, event: Order) -> None: ...

    found = describe_listener(Packer)
    assert found == EventListenerDescriptor(ORDER, "Packer", Packer)
    assert (found.per_process, found.concurrency, found.ordered, found.retry) == (False, 1, False, None)
    assert not found.is_async
    assert found.label == "Packer on order"


def test_every_setting():
    retry = Retry(max_attempts=2)

    @event_listener(Order, name="pack", per_process=True, concurrency=3, prefetch=7, retry=retry)
    class Packer(EventListener[Order]):
        async def on(self, event: Order) -> None: ...

    found = describe_listener(Packer)
    assert found == EventListenerDescriptor(
        ORDER, "pack", Packer, per_process=True, concurrency=3, prefetch=7, ordered=False, retry=retry
    )
    assert found.is_async


def test_decorating_records_and_keeps_the_class():
    class Packer(EventListener[Order]):
        def __init__(self, greeting: str) -> None:
            self.greeting = greeting

        def on(self, event: Order) -> None: ...

    before = declared_listeners()
    assert event_listener(Order)(Packer) is Packer
    assert declared_listeners() == (*before, Packer)
    assert Packer("hello").greeting == "hello"


class Logging(EventListener[T]):
    def on(self, event: T) -> None: ...


class Twice(Logging[S], Generic[S]): ...


class Swapped(EventListener[T], Generic[S, T]):
    def on(self, event: T) -> None: ...


class Mixin: ...


class Fixed(EventListener[Order]):
    def on(self, event: Order) -> None: ...


class Indirect(Fixed): ...


class Open(EventListener):  # type: ignore[type-arg] # without a type argument, as users without a checker write it
    def on(self, event: Any) -> None: ...


@pytest.mark.parametrize(
    "base",
    [
        EventListener[Order],
        Logging[Order],
        Twice[Order],
        Swapped[int, Order],
        Fixed,
        Indirect,
        Open,
        EventListener["Order"],
        EventListener[Any],
    ],
)
def test_the_type_argument_is_found_through_generic_bases(base: Any):
    class Packer(Mixin, base):  # type: ignore[misc] # bases that are only known when it runs
        def on(self, event: Order) -> None: ...

    event_listener(Order)(Packer)
    assert describe_listener(Packer).event == ORDER


@pytest.mark.parametrize(
    "base", [EventListener[Note], EventListener["Note"], Logging[Note], Twice[Note], Swapped[Order, Note]]
)
def test_refuses_another_type_argument_than_the_decorators(base: Any):
    class Packer(base):  # type: ignore[misc] # bases that are only known when it runs
        def on(self, event: Order) -> None: ...

    event_listener(Order)(Packer)
    with pytest.raises(DeclarationError) as caught:
        describe_listener(Packer)
    assert str(caught.value) == (
        f"{__name__}.{Packer.__qualname__} listens to {__name__}.Order by its decorator and to "
        f"{'' if isinstance(get_args(base)[0], ForwardRef) else __name__ + '.'}Note by its base class. "
        "Write EventListener[Order] as its base class."
    )


def test_a_child_of_a_listener_has_to_be_decorated_itself():
    @event_listener(Order, name="parent")
    class Parent(EventListener[Order]):
        def on(self, event: Order) -> None: ...

    class Child(Parent): ...

    with pytest.raises(DeclarationError) as caught:
        describe_listener(Child)
    assert str(caught.value) == (
        f"{__name__}.{Child.__qualname__} is not declared as a listener. Put @event_listener(<its event>) on it."
    )
    event_listener(Order)(Child)
    assert describe_listener(Child).name == "Child"


@pytest.mark.parametrize("thing", [int, Order, "text", Order(1)])
def test_refuses_what_is_no_listener(thing: Any):
    with pytest.raises(
        DeclarationError, match=r"is not an EventListener\. Derive it from EventListener\[<its event>\]\.$"
    ):
        describe_listener(thing)


def test_refuses_a_listener_without_on():
    @event_listener(Order)
    class Packer(EventListener[Order]): ...

    with pytest.raises(DeclarationError, match=r"Packer doesn't define on\. Write def on"):
        describe_listener(Packer)


def test_refuses_an_event_that_is_none():
    @event_listener(int)
    class Packer(EventListener[int]):
        def on(self, event: int) -> None: ...

    with pytest.raises(
        DeclarationError,
        match=r"Packer: int is not an event class\. Use a dataclass or a pydantic model with @event\(\) instead\.$",
    ):
        describe_listener(Packer)


def test_refuses_an_event_that_is_no_class():
    name: Any = "Order"

    @event_listener(name)
    class Packer(EventListener[Order]):
        def on(self, event: Order) -> None: ...

    with pytest.raises(
        DeclarationError, match=r"an object of type str was given where an event class is needed\. Name a class"
    ):
        describe_listener(Packer)


def test_refuses_the_decorator_without_its_event():
    with pytest.raises(DeclarationError) as caught:

        @event_listener
        class Packer(EventListener[Order]):
            def on(self, event: Order) -> None: ...

    assert str(caught.value) == ("@event_listener needs its event: write @event_listener(<event class>) above 'Packer'")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concurrency": 0}, "concurrency=0 must be at least 1."),
        ({"concurrency": 10, "prefetch": 9}, "prefetch=9 must be at least its concurrency, 10."),
        ({"prefetch": 0}, "prefetch=0 must be at least its concurrency, 1."),
        ({"ordered": True, "concurrency": 2}, "ordered=True runs one event at a time. Remove concurrency=2."),
    ],
)
def test_refuses_settings_out_of_range(settings: dict[str, Any], message: str):
    @event_listener(Order, **settings)
    class Packer(EventListener[Order]):
        def on(self, event: Order) -> None: ...

    with pytest.raises(DeclarationError) as caught:
        describe_listener(Packer)
    assert str(caught.value) == f"{__name__}.{Packer.__qualname__}: {message}"


@pytest.mark.parametrize("name", ["a::b", "a b", "queue://a", "a\0"])
def test_refuses_names_that_a_transport_cannot_carry(name: str):
    @event_listener(Order, name=name)
    class Packer(EventListener[Order]):
        def on(self, event: Order) -> None: ...

    with pytest.raises(DeclarationError) as caught:
        describe_listener(Packer)
    assert str(caught.value).startswith(
        f"the listener {__name__}.{Packer.__qualname__}: {name!r} is not a valid name: "
    )
    assert str(caught.value).endswith('Choose another with name="...".')


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("concurrency", "2", "concurrency must be a whole number, not of type str"),
        ("concurrency", 1.5, "concurrency must be a whole number, not of type float"),
        ("concurrency", True, "concurrency must be a whole number, not of type bool"),
        ("prefetch", None, "prefetch must be a whole number, not of type NoneType"),
        ("name", 5, "name must be a string, not of type int"),
        ("per_process", "no", "per_process must be True or False, not of type str"),
        ("ordered", 1, "ordered must be True or False, not of type int"),
        (
            "retry",
            {"max_attempts": 1},
            r"retry must be a Retry, such as Retry\(max_attempts=3\), not of type dict",
        ),
    ],
)
def test_refuses_settings_of_another_type(setting: str, value: Any, text: str):
    @event_listener(Order, **{setting: value})
    class Packer(EventListener[Order]):
        def on(self, event: Order) -> None: ...

    with pytest.raises(DeclarationError, match=rf"Packer: {text}\.$"):
        describe_listener(Packer)


def test_refuses_an_on_that_does_not_take_the_event():
    @event_listener(Order)
    class Packer(EventListener[Order]):
        def on(self) -> None: ...  # type: ignore[override]

    with pytest.raises(
        DeclarationError, match=r"Packer: its 'on' doesn't take the event\. Write def on\(self, event\)"
    ):
        describe_listener(Packer)


def test_an_on_that_others_complete_is_fine():
    def with_session(on: Any) -> Any:
        @functools.wraps(on)
        def call(self: Any, event: Any) -> None:
            on(self, event, "session")

        return call

    @event_listener(Order)
    class Decorated(EventListener[Order]):
        @with_session
        def on(self, event: Order, session: str) -> None: ...

    @event_listener(Order)
    class Static(EventListener[Order]):
        @staticmethod
        def on(event: Order) -> None: ...

    for cls in (Decorated, Static):
        assert describe_listener(cls).listener_type is cls


@event()
@dataclass
class Boxed(Generic[T]):
    value: T


def test_generic_events_are_told_apart_in_the_error():
    @event_listener(Boxed)
    class Packer(EventListener[Boxed[int]]):
        def on(self, event: Boxed[int]) -> None: ...

    name = f"{__name__}.Boxed"
    with pytest.raises(DeclarationError) as caught:
        describe_listener(Packer)
    assert f"listens to {name} by its decorator and to {name}[int] by its base class" in str(caught.value)


def test_a_class_that_slots_made_anew_is_the_declared_one():
    @dataclass(slots=True)
    @event_listener(Order)
    class Packer(EventListener[Order]):
        count: int = 0

        def on(self, event: Order) -> None: ...

    assert declared_listeners()[-1] is Packer
    assert describe_listener(Packer).name == "Packer"


def test_a_class_that_was_made_anew_more_than_once_is_the_last_one():
    def anew(cls: Any) -> Any:
        return type(cls)(cls.__name__, cls.__bases__, {k: v for k, v in vars(cls).items() if k != "__dict__"})

    @anew
    @anew
    @event_listener(Order)
    class Packer(EventListener[Order]):
        def on(self, event: Order) -> None: ...

    @event_listener(Order)
    class Other(EventListener[Order]):
        def on(self, event: Order) -> None: ...

    assert declared_listeners()[-2:] == (Packer, Other)
