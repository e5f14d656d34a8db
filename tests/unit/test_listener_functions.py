"""Functions as listeners."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import pytest

from eventing_core import (
    DeclarationError,
    EventListener,
    EventManager,
    HandlerTimeoutError,
    ListenerFunction,
    Retry,
    declared_listeners,
    event,
    event_listener,
)
from eventing_core.declare._listener import describe_listener
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.testing import isolated_declarations, wait_idle


@event()
@dataclass
class Ping:
    number: int


@pytest.fixture(autouse=True)
def isolated() -> Iterator[None]:
    with isolated_declarations(empty=True):
        yield


def started(*listeners: type[EventListener[Any]] | ListenerFunction[Any, Any], **settings: Any) -> EventManager:
    return EventManager(MemoryProvider("here"), listeners=listeners, pipelines=[], **settings)


def test_a_function_is_a_listener_named_after_it() -> None:
    seen: SimpleQueue[int] = SimpleQueue()

    @event_listener(Ping)
    def count(event: Ping) -> None:
        seen.put(event.number)

    with started(count) as manager:
        manager.send_event(Ping(1))
        assert seen.get(timeout=5) == 1
        (row,) = manager.health().listeners
    assert (row.listener, row.event) == ("count", "Ping")


def test_an_async_function_runs_on_the_loop() -> None:
    seen: SimpleQueue[str] = SimpleQueue()

    @event_listener(Ping)
    async def count(event: Ping) -> None:
        await asyncio.sleep(0)
        seen.put(threading.current_thread().name)

    with started(count) as manager:
        manager.send_event(Ping(1))
        assert seen.get(timeout=5).endswith("-loop")
        assert manager.health().workers == 0


def test_it_is_still_the_function() -> None:
    def plain(event: Ping) -> int:
        """What it does."""
        return event.number

    decorated: Any = event_listener(Ping)(plain)
    assert decorated is plain
    assert decorated(Ping(3)) == 3
    assert inspect.isfunction(decorated)
    assert decorated.__doc__ == "What it does."


def test_without_listeners_it_is_found_among_the_declared() -> None:
    seen: SimpleQueue[int] = SimpleQueue()

    @event_listener(Ping)
    def count(event: Ping) -> None:
        seen.put(event.number)

    (declared,) = declared_listeners()
    assert issubclass(declared, EventListener)
    with EventManager(MemoryProvider("here")) as manager:
        manager.send_event(Ping(1))
        assert seen.get(timeout=5) == 1
    with started(declared) as manager:
        manager.send_event(Ping(2))
        assert seen.get(timeout=5) == 2


def test_every_setting() -> None:
    retry = Retry(max_attempts=2)

    @event_listener(Ping, name="audit", per_process=True, concurrency=3, prefetch=7, retry=retry, timeout=4)
    def count(event: Ping) -> None: ...

    found = describe_listener(declared_listeners()[0])
    assert (found.name, found.per_process, found.concurrency, found.prefetch) == ("audit", True, 3, 7)
    assert (found.retry, found.timeout, found.ordered, found.function) == (retry, 4, False, count)
    assert not found.is_async
    assert found.label == "audit on Ping"


def test_a_function_that_raises_is_retried_and_dead_lettered() -> None:
    broker = MemoryBroker()

    @event_listener(Ping, ordered=True, retry=Retry(max_attempts=2, initial=0.001))
    def refuse(event: Ping) -> None:
        raise ValueError("no")

    with EventManager(MemoryProvider("here", broker), listeners=[refuse], pipelines=[]) as manager:
        manager.send_event(Ping(1))
        wait_idle(manager, 10)
    (dead,) = broker.dead_letters("Ping", "refuse")
    assert dead.body == b'{"number":1}'


def test_an_async_function_has_a_timeout() -> None:
    broker = MemoryBroker()

    @event_listener(Ping, retry=Retry(max_attempts=1), timeout=0.01)
    async def hang(event: Ping) -> None:
        await asyncio.Event().wait()

    with EventManager(MemoryProvider("here", broker), listeners=[hang], pipelines=[]) as manager:
        manager.send_event(Ping(1))
        wait_idle(manager, 10)
    (dead,) = broker.dead_letters("Ping", "hang")
    assert HandlerTimeoutError.__name__ in "".join(dead.headers.values())


def test_per_process_functions_each_get_the_event() -> None:
    broker = MemoryBroker()
    seen: SimpleQueue[int] = SimpleQueue()

    @event_listener(Ping, per_process=True)
    def count(event: Ping) -> None:
        seen.put(event.number)

    one = EventManager(MemoryProvider("one", broker), listeners=[count], pipelines=[])
    two = EventManager(MemoryProvider("two", broker), listeners=[count], pipelines=[])
    with one, two:
        one.send_event(Ping(1))
        wait_idle([one, two], 10)
    assert seen.qsize() == 2


class Container:
    def get(self, kind: type[Any]) -> Any:
        raise LookupError(f"nobody registered {kind}")


def test_no_container_is_asked_for_a_function() -> None:
    seen: SimpleQueue[int] = SimpleQueue()

    @event_listener(Ping)
    def count(event: Ping) -> None:
        seen.put(event.number)

    with started(count, environment=Container()) as manager:
        manager.send_event(Ping(1))
        assert seen.get(timeout=5) == 1


def test_a_wrapped_function_takes_what_it_wraps_takes() -> None:
    seen: SimpleQueue[int] = SimpleQueue()

    def traced(function: Callable[[Ping], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def traced_function(*arguments: Any, **settings: Any) -> None:
            function(*arguments, **settings)

        return traced_function

    @event_listener(Ping)
    @traced
    def count(event: Ping) -> None:
        seen.put(event.number)

    with started(count) as manager:
        manager.send_event(Ping(1))
        assert seen.get(timeout=5) == 1
        assert manager.health().listeners[0].listener == "count"


def test_what_injects_further_arguments_itself_is_taken() -> None:
    seen: SimpleQueue[tuple[int, str]] = SimpleQueue()

    def with_session(function: Callable[[Ping, str], None]) -> Callable[[Ping], None]:
        @functools.wraps(function)
        def inner(event: Ping) -> None:
            function(event, "session")

        return inner

    @event_listener(Ping)
    @with_session
    def store(event: Ping, session: str) -> None:
        seen.put((event.number, session))

    with started(store) as manager:
        manager.send_event(Ping(1))
        assert seen.get(timeout=5) == (1, "session")


def nothing() -> None: ...


def two(event: Ping, context: object) -> None: ...


def second_has_a_default(event: Ping, retries: int = 3) -> None: ...


def anything(*arguments: object) -> None: ...


def needs_more(event: Ping, *, session: object) -> None: ...


def by_name(*, event: Ping) -> None: ...


@pytest.mark.parametrize("function", [nothing, two, second_has_a_default, anything, needs_more, by_name])
def test_other_signatures_are_refused(function: Any) -> None:
    with pytest.raises(DeclarationError) as refusal:
        event_listener(Ping)(function)
    text = str(refusal.value)
    assert f"{__name__}.{function.__name__}(" in text
    assert f"Write def {function.__name__}(event)." in text
    assert declared_listeners() == ()


def keyword_with_default(event: Ping, *, unit: str = "kg") -> None: ...


def positional_only(event: Ping, /) -> None: ...


@pytest.mark.parametrize("function", [keyword_with_default, positional_only])
def test_signatures_that_take_exactly_the_event(function: Any) -> None:
    event_listener(Ping)(function)
    assert describe_listener(declared_listeners()[0]).name == function.__name__


def generator(event: Ping) -> Iterator[int]:
    yield event.number


async def async_generator(event: Ping) -> AsyncIterator[int]:
    yield event.number


@pytest.mark.parametrize("function", [generator, async_generator])
def test_generators_are_refused(function: Any) -> None:
    with pytest.raises(DeclarationError, match=rf"{function.__name__} is a generator function.*Remove the yield"):
        event_listener(Ping)(function)


class Handler:
    def __call__(self, event: Ping) -> None: ...

    def method(self, event: Ping) -> None: ...


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (functools.partial(positional_only), "an object of type functools.partial"),
        (Handler(), f"an object of type {__name__}.Handler"),
        (Handler().method, "the bound method Handler.method"),
        (print, "an object of type builtin_function_or_method"),
        (staticmethod(positional_only), "an object of type staticmethod"),
        (None, "an object of type NoneType"),
        ("a string", "an object of type str"),
    ],
)
def test_other_callables_are_refused(given: Any, shown: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        event_listener(Ping)(given)
    assert f"but this is {shown}." in str(refusal.value)
    assert "Define a function with def" in str(refusal.value)


def test_a_method_is_refused_and_the_class_is_named() -> None:
    with pytest.raises(DeclarationError, match="derive the class from EventListener"):

        class Service:
            @event_listener(Ping)  # type: ignore[arg-type]
            def on(self, event: Ping) -> None: ...


def test_a_decorator_without_its_event() -> None:
    with pytest.raises(DeclarationError, match=r"write @event_listener\(<event class>\) above 'positional_only'"):
        event_listener(positional_only)  # type: ignore[call-overload]


def test_two_decorators_on_one_function() -> None:
    @event()
    @dataclass
    class Pong:
        number: int

    @event_listener(Ping)
    def count(event: object) -> None: ...

    with pytest.raises(
        DeclarationError, match=r"count has two @event_listener decorators.*@event_listener\(Ping \| Pong\)"
    ):
        event_listener(Pong)(count)  # type: ignore[arg-type]


def test_a_lambda_needs_a_name() -> None:
    event_listener(Ping)(lambda event: event.number)
    with pytest.raises(DeclarationError, match="a lambda has no name for its queue"):
        EventManager(MemoryProvider("here")).start()


def test_a_lambda_with_a_name() -> None:
    event_listener(Ping, name="count")(lambda event: event.number)
    assert describe_listener(declared_listeners()[0]).name == "count"


def test_a_function_that_is_not_declared_is_refused_by_the_manager() -> None:
    with pytest.raises(
        DeclarationError, match=r"listeners\[0\] is the function nothing, not a listener. Put @event_listener"
    ):
        started(nothing)  # type: ignore[arg-type]


def test_a_function_and_a_class_of_one_name_are_an_error() -> None:
    @event_listener(Ping)
    def count(event: Ping) -> None: ...

    @event_listener(Ping, name="count")
    class Counter(EventListener[Ping]):
        def on(self, event: Ping) -> None: ...

    with pytest.raises(DeclarationError, match="two listeners of the event 'Ping' are named 'count'"):
        started(count, Counter).start()
