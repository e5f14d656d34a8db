"""Managers over a provider that calls back on its caller's thread: nothing deadlocks, and no lock is held meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from eventing_core import (
    Envelope,
    EnvelopePipeline,
    EventDescriptor,
    EventListener,
    EventListenerDescriptor,
    EventManager,
    Options,
    Retry,
    SendEventsError,
    event,
    event_listener,
)
from eventing_core.receive.machine import _outlet
from tests.support.inline import InlineProvider
from tests.support.locks import Finds, watched_locks
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(60)


@event("inline")
@dataclass
class Note:
    number: int


class Foreign(EnvelopePipeline):
    """The user's code around each event."""

    def __init__(self, finds: Finds) -> None:
        self._finds = finds

    def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
        self._finds.foreign("a pipeline's send")
        yield

    def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> Iterator[None]:
        self._finds.foreign("a pipeline's handle")
        yield


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Finds]:
    with watched_locks(monkeypatch) as found:
        yield found
    assert found.looks > 5
    assert not found.flaws, "\n\n".join(found.flaws[:3])


RETRY = Retry(max_attempts=3, initial=0.01, factor=1, jitter=0, pause_after=4, fatal=(LookupError,))

Make = Callable[..., tuple[EventManager, InlineProvider]]


@pytest.fixture
def make(finds: Finds) -> Iterator[Make]:
    made: list[EventManager] = []

    def manager(
        on: Callable[[int], object],
        *,
        is_async: bool = False,
        retry: Retry = RETRY,
        retains: bool = True,
        unrouted: str = "warn",
        **settings: Any,
    ) -> tuple[EventManager, InlineProvider]:
        if is_async:

            @event_listener(Note, **settings)
            class AsyncListener(EventListener[Note]):
                async def on(self, event: Note) -> None:
                    finds.foreign("on")
                    await asyncio.sleep(0)
                    on(event.number)

            listener: type[EventListener[Note]] = AsyncListener
        else:

            @event_listener(Note, **settings)
            class Listener(EventListener[Note]):
                def on(self, event: Note) -> None:
                    finds.foreign("on")
                    on(event.number)

            listener = Listener
        provider = InlineProvider(finds.foreign, retains=retains)
        options = Options(workers=2, unrouted=unrouted, stop_timeout=5)  # type: ignore[arg-type]
        pipelines = [Foreign(finds)]
        it = EventManager(provider, listeners=[listener], pipelines=pipelines, retry=retry, options=options)
        made.append(it)
        it.start()
        return it, provider

    yield manager
    for it in made:
        it.stop()


@pytest.mark.parametrize("is_async", [False, True])
def test_all_ways_to_send(make: Make, is_async: bool) -> None:
    seen: Counter[int] = Counter()
    manager, provider = make(lambda number: seen.update([number]), is_async=is_async, concurrency=2, prefetch=16)
    manager.send_event(Note(0))
    manager.send_events(Note(number) for number in range(1, 300))
    futures = [manager.submit_event(Note(number)) for number in range(300, 400)]
    for future in futures:
        future.result(5)
    asyncio.run(manager.send_event_async(Note(400)))
    until(lambda: len(provider.handles[0].accepted) == 401, lambda: f"{len(provider.handles[0].accepted)}", 20)
    assert seen == Counter(range(401))
    assert manager.health().sending.in_flight == 0


@pytest.mark.parametrize("ordered", [False, True])
def test_retries_and_dead_letters(make: Make, ordered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outlet, "_BACKOFF", (0.01, 0.01))
    runs: Counter[int] = Counter()

    def on(number: int) -> None:
        runs[number] += 1
        if number % 10 == 0:
            raise ValueError
        if number % 10 == 5:
            raise LookupError

    manager, provider = make(on, ordered=ordered)
    provider.refused = {"dead"}
    manager.send_events(Note(number) for number in range(50))
    until(lambda: provider.rejections > 3, "copies are refused", 20)
    assert "can't be stored" in manager.health().listeners[0].error
    provider.refused = set()
    until(lambda: len(provider.handles[0].accepted) == 50, lambda: f"{len(provider.handles[0].accepted)}", 20)
    assert len(provider.dead) == 10
    assert runs == Counter({number: 3 if number % 10 == 0 else 1 for number in range(50)})


@pytest.mark.parametrize("is_async", [False, True])
def test_a_pause_gives_back_what_comes_again_at_once(make: Make, is_async: bool) -> None:
    works = threading.Event()
    runs = 0

    def on(_: int) -> None:
        nonlocal runs
        runs += 1
        if not works.is_set():
            raise ValueError

    manager, provider = make(on, is_async=is_async, prefetch=16, concurrency=2)
    manager.send_events(Note(number) for number in range(40))
    until(lambda: manager.health().listeners[0].paused, "it pauses", 20)
    manager.send_event(Note(40))  # delivered or not, it comes back
    count = runs
    until(lambda: runs > count + 2, "it probes", 20)
    works.set()
    until(lambda: len(provider.handles[0].accepted) == 41, lambda: f"{len(provider.handles[0].accepted)}", 20)
    assert manager.health().listeners[0].consuming


def test_deliveries_to_a_paused_listener_go_back_under_no_lock(make: Make, finds: Finds) -> None:
    """They were on their way when it paused; the provider delivers them again within the settlement."""
    manager, provider = make(fail, retry=Retry(pause_after=1, initial=30, jitter=0))
    manager.send_event(Note(0))
    handle = provider.handles[0]
    until(lambda: manager.health().listeners[0].paused and not handle.size, "it pauses", 20)
    depth = 0
    settle = handle.settle

    def settle_and_deliver(*arguments: object) -> None:
        nonlocal depth
        depth += 1
        handle.size = 0
        settle(*arguments)  # type: ignore[arg-type]
        if depth < 5:
            handle.size = 2  # as if the window had not been lowered yet
            handle.pump()
            handle.size = 0

    handle.settle = settle_and_deliver  # type: ignore[method-assign, assignment]
    handle.size = 2  # the first one is held
    manager.send_event(Note(1))
    assert depth == 5


@pytest.mark.parametrize("ordered", [False, True])
def test_lost_connections(make: Make, ordered: bool) -> None:
    seen: Counter[int] = Counter()
    manager, provider = make(lambda number: seen.update([number]), ordered=ordered, prefetch=16)
    for number in range(100):
        manager.send_event(Note(number))
        if number % 10 == 0:
            provider.lose()
    until(lambda: not provider.unhandled(), "all is handled", 20)
    assert set(seen) == set(range(100))


@pytest.mark.parametrize("retains", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_stop_amid_work(make: Make, retains: bool, is_async: bool) -> None:
    seen: Counter[int] = Counter()

    def on(number: int) -> None:
        seen[number] += 1
        if seen[number] == 1 and number % 3 == 0:
            raise ValueError

    manager, provider = make(on, retains=retains, is_async=is_async, prefetch=8)
    manager.send_events(Note(number) for number in range(100))
    manager.stop()
    if not retains:
        assert sorted(seen) == [*range(100)]
        assert provider.unhandled() == 0
    assert len(provider.handles[0].accepted) + provider.unhandled() >= 100


def test_what_nobody_listens_to_is_warned_of(make: Make) -> None:
    @event("nobody")
    @dataclass
    class Nobody:
        number: int

    manager, _ = make(lambda _: None)
    manager.send_events([Nobody(1), Nobody(2)])
    strict, _ = make(lambda _: None, unrouted="error")
    with pytest.raises(SendEventsError):
        strict.send_events([Nobody(1), Nobody(2)])


def fail(_: int) -> None:
    raise ValueError
