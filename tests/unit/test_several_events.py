"""One listener of several events."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Union

import pytest

from eventing_core import (
    DeclarationError,
    EventListener,
    EventManager,
    Options,
    Retry,
    declared_listeners,
    event,
    event_listener,
)
from eventing_core.declare._listener import describe_listeners
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.provider import Destination
from eventing_core.testing import isolated_declarations, wait_idle
from tests.support.waiting import until


@event()
@dataclass
class Ping:
    number: int


@event("pong")
@dataclass
class Pong:
    number: int


@pytest.fixture(autouse=True)
def isolated() -> Iterator[None]:
    with isolated_declarations(empty=True):
        yield


def test_one_instance_gets_both_and_each_has_a_queue() -> None:
    broker = MemoryBroker()
    instances: list[object] = []
    seen: deque[object] = deque()

    @event_listener(Ping | Pong)
    class Audit(EventListener[Ping | Pong]):
        def __init__(self) -> None:
            instances.append(self)

        def on(self, event: Ping | Pong) -> None:
            seen.append(event)

    with EventManager(MemoryProvider("here", broker), listeners=[Audit], pipelines=[]) as manager:
        manager.send_event(Ping(1))
        manager.send_event(Pong(2))
        wait_idle(manager)
        rows = [(row.listener, row.event) for row in manager.health().listeners]
        assert manager.health().consuming
    assert len(instances) == 1
    assert sorted(map(repr, seen)) == ["Ping(number=1)", "Pong(number=2)"]
    assert rows == [("Audit", "Ping"), ("Audit", "pong")]
    # The queues are there, under these names: what is sent now waits in them.
    with EventManager(MemoryProvider("here", broker), listeners=[], pipelines=[], options=STRICT) as sender:
        sender.send_event(Ping(3))
        sender.send_event(Pong(4))
    assert len(broker.messages(Destination("Ping", "Audit.Ping", "", "queue"))) == 1
    assert len(broker.messages(Destination("pong", "Audit.pong", "", "queue"))) == 1


STRICT = Options(unrouted="error")


def test_dead_letters_are_each_queues_own() -> None:
    broker = MemoryBroker()

    @event_listener(Ping | Pong, retry=Retry(max_attempts=1))
    class Audit(EventListener[Ping | Pong]):
        def on(self, event: Ping | Pong) -> None:
            raise RuntimeError("no")

    with EventManager(MemoryProvider("here", broker), listeners=[Audit], pipelines=[]) as manager:
        manager.send_event(Pong(2))
        wait_idle(manager)
    (dead,) = broker.dead_letters("pong", "Audit.pong")
    assert "Audit" in dead.headers.values()
    assert broker.dead_letters("Ping", "Audit.Ping") == []


def test_functions_listen_to_several_events() -> None:
    seen: deque[int] = deque()

    @event_listener(Ping | Pong, concurrency=2)
    async def audit(event: Ping | Pong) -> None:
        seen.append(event.number)

    with EventManager(MemoryProvider("here"), listeners=[audit], pipelines=[]) as manager:
        for number in range(100):
            manager.submit_event(Ping(number))
            manager.submit_event(Pong(100 + number))
        wait_idle(manager)
    assert sorted(seen) == list(range(200))


class Gauge:
    """How many run at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.order: list[str] = []

    def enter(self, what: str) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.order.append(what)

    def leave(self) -> None:
        with self.lock:
            self.now -= 1


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_concurrency_is_over_all_queues(asynchronous: bool, concurrency: int) -> None:
    gauge = Gauge()
    pause = threading.Event()

    if asynchronous:

        @event_listener(Ping | Pong, concurrency=concurrency)
        async def audit(event: Ping | Pong) -> None:
            gauge.enter(type(event).__name__)
            await asyncio.sleep(0.001)
            gauge.leave()

    else:

        @event_listener(Ping | Pong, concurrency=concurrency)
        def audit(event: Ping | Pong) -> None:
            gauge.enter(type(event).__name__)
            pause.wait(0.001)
            gauge.leave()

    with EventManager(MemoryProvider("here"), listeners=[audit], pipelines=[]) as manager:
        for number in range(100):
            manager.submit_event(Ping(number))
            manager.submit_event(Pong(number))
        wait_idle(manager, 30)
    assert gauge.most == concurrency
    assert Counter(gauge.order) == {"Ping": 100, "Pong": 100}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_full_queue_does_not_keep_the_other_one_waiting(asynchronous: bool) -> None:
    order: list[str] = []
    first, go = threading.Event(), threading.Event()
    pause = threading.Event()

    def take(event: Ping | Pong) -> None:
        order.append(type(event).__name__)
        first.set()
        assert go.wait(10)
        pause.wait(0.002)

    if asynchronous:

        @event_listener(Ping | Pong)
        async def audit(event: Ping | Pong) -> None:
            take(event)

    else:

        @event_listener(Ping | Pong)
        def audit(event: Ping | Pong) -> None:
            take(event)

    with EventManager(MemoryProvider("here"), listeners=[audit], pipelines=[]) as manager:
        manager.send_events(Ping(number) for number in range(300))
        assert first.wait(10)
        manager.send_events(Pong(number) for number in range(10))
        go.set()
        wait_idle(manager, 30)
    # In turns of 20 ms at most, with 2 ms for each run.
    last = max(index for index, kind in enumerate(order) if kind == "Pong")
    assert last < 200, order


def test_waiting_for_a_retry_leaves_the_other_queue_its_turn() -> None:
    """Also in order: a failed event is waited for in place, and only its own queue waits."""
    seen: list[str] = []
    failed = threading.Event()

    @event_listener(Ping | Pong, ordered=True, retry=Retry(max_attempts=2, initial=60, max_delay=60, jitter=0))
    def audit(event: Ping | Pong) -> None:
        seen.append(type(event).__name__)
        if type(event) is Ping:
            failed.set()
            raise RuntimeError("no")

    with EventManager(MemoryProvider("here"), listeners=[audit], pipelines=[]) as manager:
        manager.send_event(Ping(1))
        assert failed.wait(10)
        manager.send_event(Pong(1))
        until(lambda: seen == ["Ping", "Pong"], lambda: str(seen), 10)
        manager.stop(0)


def test_stuck_runs_of_one_queue_show_at_the_other_which_they_keep_waiting() -> None:
    release, begun = threading.Event(), threading.Event()

    @event_listener(Ping | Pong)
    def audit(event: Ping | Pong) -> None:
        begun.set()
        assert release.wait(10)

    options = Options(stuck_after=0.01)
    with EventManager(MemoryProvider("here"), listeners=[audit], pipelines=[], options=options) as manager:
        assert [row.consuming for row in manager.health().listeners] == [True, True]
        manager.send_event(Ping(1))
        assert begun.wait(10)
        until(lambda: not any(row.consuming for row in manager.health().listeners), "both to be held up", 10)
        release.set()


def test_a_crash_suspect_of_one_queue_has_its_turn_while_the_other_is_full() -> None:
    """A delivery that came again runs alone in its queue, and for that waits for a token like any other."""
    broker = MemoryBroker()
    seen: deque[str] = deque()
    begun, go, pause = threading.Event(), threading.Event(), threading.Event()

    @event_listener(Ping | Pong)
    def audit(event: Ping | Pong) -> None:
        seen.append(f"{type(event).__name__}{event.number}")
        begun.set()
        assert go.wait(10)
        pause.wait(0.001)

    provider = MemoryProvider("here", broker)
    with EventManager(provider, listeners=[audit], pipelines=[]) as manager:
        manager.send_event(Pong(1))
        assert begun.wait(10)
        for _ in range(3):  # counted as delivered each time
            broker.disconnect(provider)
        manager.send_events(Ping(number) for number in range(500))
        go.set()
        wait_idle(manager, 30)
    assert Counter(seen)["Pong1"] >= 2
    assert {f"Ping{number}" for number in range(500)} <= set(seen)


def test_a_paused_queue_does_not_keep_the_token() -> None:
    """Where one event always fails, its queue pauses, and the other goes on."""
    seen: list[int] = []

    @event_listener(Ping | Pong, retry=Retry(max_attempts=2, initial=30, max_delay=30, jitter=0, pause_after=2))
    def audit(event: Ping | Pong) -> None:
        if type(event) is Ping:
            raise RuntimeError("no")
        seen.append(event.number)

    with EventManager(MemoryProvider("here"), listeners=[audit], pipelines=[]) as manager:
        manager.send_events(Ping(number) for number in range(20))
        until(lambda: manager.health().listeners[0].paused, "the pause", 10)
        assert not manager.health().listeners[1].paused
        manager.send_events(Pong(number) for number in range(20))
        until(lambda: len(seen) == 20, lambda: str(seen), 10)
        manager.stop(0)


T = TypeVar("T")
S = TypeVar("S")


class Logging(EventListener[T]):
    def on(self, event: T) -> None: ...


class Twice(Logging[S], Generic[S]): ...


def listener_of(kinds: Any, base: Any) -> type[EventListener[Any]]:
    @event_listener(kinds)
    class Audit(base):  # type: ignore[misc]
        def on(self, event: Any) -> None: ...

    return Audit


@pytest.mark.parametrize(
    "make",
    [
        lambda: listener_of(Ping | Pong, EventListener[Ping | Pong]),
        lambda: listener_of(Ping | Pong, EventListener[Pong | Ping]),
        lambda: listener_of(Union[Ping, Pong], EventListener[Ping | Pong]),  # noqa: UP007 (the older way to write it)
        lambda: listener_of(Ping | Pong, EventListener["Ping | Pong"]),
        lambda: listener_of(Ping | Pong, EventListener["Pong | module.Ping"]),  # type: ignore[name-defined]
        lambda: listener_of(Ping | Pong, EventListener[Any]),
        lambda: listener_of(Ping | Pong, EventListener),
        lambda: listener_of(Ping | Pong, Logging[Ping | Pong]),
        lambda: listener_of(Ping | Pong, Twice[Ping | Pong]),
    ],
)
def test_ways_to_write_a_union(make: Callable[[], type[EventListener[Any]]]) -> None:
    found = describe_listeners(make())
    assert [(one.name, one.event.name, one.group) for one in found] == [
        ("Audit", "Ping", "Audit.Ping"),
        ("Audit", "pong", "Audit.pong"),
    ]
    assert found[0].events == found[1].events == (found[0].event, found[1].event)


def test_a_union_of_one_is_that_event() -> None:
    (found,) = describe_listeners(listener_of(Ping | Ping, EventListener[Ping]))
    assert (found.name, found.group) == ("Audit", "Audit")


@pytest.mark.parametrize(
    ("kinds", "base"),
    [
        (Ping | Pong, EventListener[Ping]),
        (Ping, EventListener[Ping | Pong]),
        (Ping | Pong, EventListener["Ping"]),
        (Ping | Pong, Logging[Pong]),
    ],
)
def test_decorator_and_base_have_to_name_the_same_events(kinds: Any, base: Any) -> None:
    wanted = "Ping | Pong" if kinds is not Ping else "Ping"
    with pytest.raises(DeclarationError) as refusal:
        describe_listeners(listener_of(kinds, base))
    assert f"Write EventListener[{wanted}] as its base class." in str(refusal.value)


def test_a_member_that_is_no_event_is_named() -> None:
    with pytest.raises(DeclarationError, match=r"int is not an event class"):
        describe_listeners(listener_of(Ping | int, EventListener[Any]))
    with pytest.raises(DeclarationError, match=r"Audit: None is not an event class\. Remove it from the union"):
        describe_listeners(listener_of(Ping | None, EventListener[Any]))


def test_two_decorators_on_one_class() -> None:
    with pytest.raises(DeclarationError) as refusal:

        @event_listener(Ping)
        @event_listener(Pong)
        class Audit(EventListener[Any]):
            def on(self, event: Any) -> None: ...

    assert "Audit has two @event_listener decorators" in str(refusal.value)
    assert "@event_listener(Pong | Ping)" in str(refusal.value)


def test_a_subclass_of_a_listener_may_have_its_own() -> None:
    @event_listener(Ping)
    class Audit(EventListener[Any]):
        def on(self, event: Any) -> None: ...

    @event_listener(Pong)
    class More(Audit): ...

    assert declared_listeners() == (Audit, More)


@pytest.mark.parametrize(
    "decorate",
    [
        lambda: event_listener(Ping, Pong),  # type: ignore[call-overload]
        lambda: event_listener((Ping, Pong)),  # type: ignore[call-overload]
        lambda: event_listener([Ping, Pong]),  # type: ignore[call-overload]
    ],
)
def test_other_ways_to_name_several_events_are_refused(decorate: Callable[[], Any]) -> None:
    with pytest.raises(DeclarationError, match=r"write @event_listener\(Ping \| Pong\)"):
        decorate()


def test_a_queue_of_the_same_name_is_refused() -> None:
    audit = listener_of(Ping | Pong, EventListener[Ping | Pong])

    @event_listener(Ping, name="Audit.Ping")
    class Other(EventListener[Ping]):
        def on(self, event: Ping) -> None: ...

    with pytest.raises(DeclarationError, match=r"would share the queue 'Audit.Ping'"):
        EventManager(MemoryProvider("here"), listeners=[audit, Other], pipelines=[]).start()


def test_two_events_of_one_name_are_refused() -> None:
    @event("Ping")
    @dataclass
    class Other:
        number: int

    with pytest.raises(DeclarationError, match="two events are named 'Ping'"):
        EventManager(MemoryProvider("here"), listeners=[listener_of(Ping | Other, EventListener)]).start()
