"""What tests of services use."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from eventing_core import (
    ConfigError,
    EnvelopePipeline,
    EventListener,
    EventManager,
    Options,
    Retry,
    declared_listeners,
    declared_pipelines,
    envelope_pipeline,
    event,
    event_listener,
)
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.provider import Destination, Done, Message, Producer
from eventing_core.testing import await_idle, isolated_declarations, wait_idle


@event()
@dataclass
class Ping:
    number: int


@event()
@dataclass
class Pong:
    number: int


@pytest.fixture
def isolated() -> Iterator[None]:
    with isolated_declarations(empty=True):
        yield


# -- isolated_declarations --------------------------------------------------------------------------------------------


def test_what_is_declared_within_is_forgotten() -> None:
    before = declared_listeners(), declared_pipelines()
    with isolated_declarations():
        assert (declared_listeners(), declared_pipelines()) == before

        @event_listener(Ping)
        def count(event: Ping) -> None: ...

        @envelope_pipeline()
        class Trace(EnvelopePipeline): ...

        assert len(declared_listeners()) == len(before[0]) + 1
        assert declared_pipelines()[-1] is Trace
    assert (declared_listeners(), declared_pipelines()) == before


def test_empty_begins_with_nothing_and_they_nest() -> None:
    before = declared_listeners()
    with isolated_declarations(empty=True):
        assert declared_listeners() == ()

        @event_listener(Ping)
        class Outer(EventListener[Ping]):
            def on(self, event: Ping) -> None: ...

        with isolated_declarations():

            @event_listener(Ping)
            class Inner(EventListener[Ping]):
                def on(self, event: Ping) -> None: ...

            assert declared_listeners() == (Outer, Inner)
            with isolated_declarations(empty=True):
                assert declared_listeners() == ()
            assert declared_listeners() == (Outer, Inner)
        assert declared_listeners() == (Outer,)
    assert declared_listeners() == before


def test_also_where_an_error_ends_it() -> None:
    before = declared_listeners()

    def declare() -> None:
        with isolated_declarations():
            event_listener(Ping, name="count")(lambda event: event.number)
            raise LookupError

    with pytest.raises(LookupError):
        declare()
    assert declared_listeners() == before


@pytest.mark.parametrize("_", [1, 2])
def test_the_same_test_twice(isolated: None, _: int) -> None:
    @event_listener(Ping)
    def count(event: Ping) -> None: ...

    with EventManager(MemoryProvider("here")) as manager:
        assert [row.listener for row in manager.health().listeners] == ["count"]


# -- wait_idle --------------------------------------------------------------------------------------------------------


def test_a_shared_broker_is_drained_before_the_assertion(isolated: None) -> None:
    seen: list[int] = []
    pause = threading.Event()

    @event_listener(Ping)
    def count(event: Ping) -> None:
        pause.wait(0.005)
        seen.append(event.number)

    with EventManager(MemoryProvider("here", MemoryBroker())) as manager:
        for number in range(20):
            manager.send_event(Ping(number))
        wait_idle(manager)
        assert seen == list(range(20))


@pytest.mark.parametrize("broker", [None, MemoryBroker()])
@pytest.mark.parametrize("how", ["send", "submit", "async"])
def test_it_waits_for_what_listeners_send(isolated: None, broker: MemoryBroker | None, how: str) -> None:
    """Through a chain of events, whichever way they are sent."""
    seen: list[int] = []
    pause = threading.Event()

    if how == "async":

        @event_listener(Ping, concurrency=3)
        async def forward(event: Ping) -> None:
            await asyncio.sleep(0.001)
            await manager.send_event_async(Pong(event.number))

    else:

        @event_listener(Ping, concurrency=3)
        def forward(event: Ping) -> None:
            pause.wait(0.001)
            (manager.send_event if how == "send" else manager.submit_event)(Pong(event.number))

    @event_listener(Pong)
    def back(event: Pong) -> None:
        pause.wait(0.001)
        if event.number:
            manager.submit_event(Ping(event.number - 1))
        else:
            seen.append(event.number)

    provider = MemoryProvider("here", broker)
    manager = EventManager(provider, listeners=[forward, back], pipelines=[])
    with manager:
        for _ in range(10):
            manager.submit_event(Ping(5))
        wait_idle(manager)
        assert seen == [0] * 10


def test_it_waits_for_further_attempts_and_ends_with_the_dead_letter(isolated: None) -> None:
    broker = MemoryBroker()
    attempts: list[int] = []

    @event_listener(Ping, retry=Retry(max_attempts=3, initial=0.02, jitter=0))
    def refuse(event: Ping) -> None:
        attempts.append(event.number)
        raise ValueError("no")

    with EventManager(MemoryProvider("here", broker)) as manager:
        manager.send_event(Ping(1))
        wait_idle(manager)
        assert attempts == [1, 1, 1]
        assert len(broker.dead_letters("Ping", "refuse")) == 1


def test_delayed_copies_are_waited_for(isolated: None) -> None:
    """A wait beyond what is held in the process."""
    attempts: list[float] = []

    @event_listener(Ping, retry=Retry(max_attempts=2, initial=5.5, max_delay=5.5, jitter=0))
    def refuse_once(event: Ping) -> None:
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            raise ValueError("no")

    with EventManager(MemoryProvider("here", MemoryBroker())) as manager:
        manager.send_event(Ping(1))
        wait_idle(manager, 20)
        assert len(attempts) == 2


def test_several_managers_on_one_broker(isolated: None) -> None:
    broker = MemoryBroker()
    seen: list[int] = []

    @event_listener(Ping)
    def forward(event: Ping) -> None:
        one.submit_event(Pong(event.number))

    @event_listener(Pong)
    def last(event: Pong) -> None:
        seen.append(event.number)

    one = EventManager(MemoryProvider("one", broker), listeners=[forward], pipelines=[])
    two = EventManager(MemoryProvider("two", broker), listeners=[last], pipelines=[])
    with one, two:
        for number in range(50):
            two.submit_event(Ping(number))
        wait_idle([one, two])
        assert sorted(seen) == list(range(50))


def test_queues_of_others_are_not_waited_for(isolated: None) -> None:
    broker = MemoryBroker()

    @event_listener(Ping)
    def count(event: Ping) -> None: ...

    with EventManager(MemoryProvider("one", broker), listeners=[count], pipelines=[]) as stopped:
        pass
    with EventManager(MemoryProvider("two", broker), listeners=[], pipelines=[]) as sender:
        sender.send_event(Ping(1))
        wait_idle(sender)
        wait_idle([stopped, sender])  # what is left in its queue waits for its successor


class Unanswered(MemoryProvider):
    """Says nothing of sends until it is asked to."""

    def __init__(self) -> None:
        super().__init__("here")
        self.answers: list[Callable[[], None]] = []

    def producer(self, destination: Destination) -> Producer:
        answers = self.answers

        class Silent(Producer):
            def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
                answers.extend(partial(done, index, None) for index in range(len(batch)))

        return Silent()


def test_a_send_that_is_not_confirmed_is_waited_for() -> None:
    provider = Unanswered()
    with EventManager(provider, listeners=[], pipelines=[]) as manager:
        manager.submit_event(Ping(1))
        with pytest.raises(TimeoutError, match="sends that are not confirmed: 1"):
            wait_idle(manager, 0.05)
        provider.answers.pop()()
        wait_idle(manager)


def test_too_late_it_names_what_is_left(isolated: None) -> None:
    release, begun = threading.Event(), threading.Event()

    @event_listener(Ping)
    def hang(event: Ping) -> None:
        begun.set()
        assert release.wait(10)

    with EventManager(MemoryProvider("here", MemoryBroker())) as manager:
        manager.send_events(Ping(number) for number in range(3))
        assert begun.wait(10)
        with pytest.raises(TimeoutError) as late:
            wait_idle(manager, 0.05)
        assert str(late.value) == (
            "not idle after 0.05 s: hang on Ping: 3 events in its queue, 1 running. "
            "Raise timeout, or end what still runs."
        )
        release.set()
        wait_idle(manager, 10)


def test_a_paused_listener_is_named_with_its_error(isolated: None) -> None:
    @event_listener(Ping, retry=Retry(max_attempts=5, initial=0.001, pause_after=2))
    def refuse(event: Ping) -> None:
        raise ValueError("no database")

    with EventManager(MemoryProvider("here", MemoryBroker()), options=Options(stop_timeout=0)) as manager:
        manager.send_events(Ping(number) for number in range(3))
        with pytest.raises(TimeoutError, match="no database"):
            wait_idle(manager, 0.5)


@pytest.mark.parametrize("timeout", [-1, "5", float("nan")])
def test_a_wrong_timeout(isolated: None, timeout: float) -> None:
    manager = EventManager(MemoryProvider("here"), listeners=[], pipelines=[])
    with pytest.raises(ConfigError, match="wait_idle: timeout"):
        wait_idle(manager, timeout)


def test_a_coroutine_waits_without_blocking_its_loop(isolated: None) -> None:
    turns: list[int] = []
    enough = threading.Event()

    @event_listener(Ping)
    def count(event: Ping) -> None:
        assert enough.wait(10)

    async def others() -> None:
        for number in range(5):
            await asyncio.sleep(0)
            turns.append(number)
        enough.set()

    async def run() -> None:
        async with EventManager(MemoryProvider("here", MemoryBroker())) as manager:
            await manager.send_event_async(Ping(1))
            task = asyncio.create_task(others())
            await await_idle(manager)
            assert len(turns) == 5
            await task
            enough.clear()
            await manager.send_event_async(Ping(2))
            with pytest.raises(TimeoutError, match="count on Ping"):
                await await_idle(manager, 0.05)
            enough.set()

    asyncio.run(run())


# -- without pytest ---------------------------------------------------------------------------------------------------


def test_it_needs_no_pytest() -> None:
    program = """
    import sys
    sys.modules["pytest"] = None
    from eventing_core.testing import await_idle, isolated_declarations, wait_idle
    try:
        from eventing_core.testing import ProviderConformance
    except ImportError:
        print("only the kit does")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "only the kit does\n"
