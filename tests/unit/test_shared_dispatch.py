"""Two shells that share one limit, where one of them has a delivery that has to run alone."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from eventing_core import EventListener, Retry, event_listener
from eventing_core.codec._codec import Codec
from eventing_core.declare._listener import describe_listener
from eventing_core.memory import MemoryProvider
from eventing_core.pipeline._chain import Chain
from eventing_core.provider import SubscriptionState
from eventing_core.provider._timer import Timer
from eventing_core.receive._copies import Copies
from eventing_core.receive._incoming import Incoming, Sharing
from eventing_core.receive._loop import LoopShell
from eventing_core.receive._shell import Shell
from eventing_core.receive._threads import ThreadShell
from eventing_core.receive.machine._crash_guard import SUSPECT
from eventing_core.receive.machine._states import ListenerState
from eventing_core.runtime._loop_watch import LoopWatch
from eventing_core.runtime._workers import LoopThread, Workers
from tests.support.dispatching import Plain, Recorder, Tick
from tests.support.waiting import until


class Pair:
    """Two shells with one slot. What they run waits until it may go on."""

    def __init__(self, *, asynchronous: bool, retry: Retry) -> None:
        self.workers, self.loop, self.timer = Workers(4, "test"), LoopThread("test"), Timer("test")
        self.changed = threading.Condition()
        self.begun: list[int] = []
        self.running = self.most = 0
        self.may_end = 0
        self.failing: set[int] = set()
        run = self.run

        @event_listener(Tick)
        class Listener(EventListener[Tick]):
            def on(self, event: Tick) -> None:
                run(event.number)

        @event_listener(Tick)
        class AsyncListener(EventListener[Tick]):
            async def on(self, event: Tick) -> None:
                run(event.number)

        listener: EventListener[Tick] = AsyncListener() if asynchronous else Listener()
        self.sharing = Sharing(1)
        self.brokers = (Recorder(), Recorder())
        self.shells = tuple(self.shell(broker, listener, retry) for broker in self.brokers)
        self.workers.start()
        self.timer.start()
        self.loop.start()
        for shell, broker in zip(self.shells, self.brokers, strict=True):
            shell.attach(broker)
            shell.state(SubscriptionState.ACTIVE, 1, None)
            shell.begin()

    def shell(self, broker: Recorder, listener: EventListener[Tick], retry: Retry) -> Shell:
        descriptor = describe_listener(type(listener))
        broker.capabilities = replace(MemoryProvider.capabilities)
        incoming = Incoming(
            descriptor=descriptor,
            listener=listener,
            codec=Codec(descriptor.event),
            chain=Chain((), "handle"),
            retry=retry,
            copies=Copies(broker, descriptor, 1.0),
            capabilities=broker.capabilities,
            timer=self.timer,
            stuck_after=math.inf,
            sharing=self.sharing,
        )
        if descriptor.is_async:
            return LoopShell(incoming, self.loop, LoopWatch(self.timer, self.loop))
        return ThreadShell(incoming, self.workers)

    def run(self, number: int) -> None:
        with self.changed:
            self.begun.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.may_end, 10)
            self.may_end -= 1
            self.running -= 1
            if number in self.failing:
                raise ValueError(number)

    def end(self, count: int) -> None:
        with self.changed:
            self.may_end += count
            self.changed.notify_all()

    def wait_begun(self, *numbers: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.begun == list(numbers), 10), self.begun

    def close(self) -> None:
        self.end(1000)
        for shell in self.shells:
            shell.pause()
        self.timer.stop()
        self.workers.stop(5)
        self.loop.stop(5)


@pytest.fixture(params=[False, True], ids=["threads", "loop"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    made = Pair(asynchronous=request.param, retry=Retry(max_attempts=2, initial=0.01, jitter=0, pause_after=0))
    yield made
    made.close()
    assert made.most <= 1


def test_a_suspect_waits_for_the_token_and_gets_it(pair: Pair) -> None:
    one, two = pair.shells
    one.deliver([Plain(number) for number in range(1000)])
    pair.wait_begun(0)
    two.deliver([Plain(1000, count=SUSPECT)])
    two.deliver([Plain(1001)])

    def is_set_aside() -> bool:
        pair.end(1)  # a turn is a matter of time
        return two._machine.state is ListenerState.ISOLATING

    until(is_set_aside, "the suspect's first turn", 10)
    until(lambda: bool(pair.sharing.limit.line), "a suspect that waits for the slot", 10)
    pair.end(10_000)
    pair.brokers[1].wait_for(lambda: pair.brokers[1].accepted() == [1000])
    assert pair.brokers[1].released() == [1001]  # what a suspect came with goes back
    pair.brokers[0].wait_for(lambda: pair.brokers[0].accepted() == list(range(1000)))
    until(lambda: pair.sharing.limit.free == 1, "the slot", 10)


def test_a_suspect_that_has_run_makes_room_for_its_own_queue(pair: Pair) -> None:
    """Also where the other queue waits for the slot by then, and the run took longer than a turn."""
    one, two = pair.shells
    two.deliver([Plain(1000, count=SUSPECT)])
    pair.wait_begun(1000)
    one.deliver([Plain(number) for number in range(3)])
    two.deliver([Plain(1001)])
    assert bool(pair.sharing.limit.line)
    threading.Event().wait(0.03)  # longer than a turn: what is tested depends on that the time has gone by
    pair.end(1000)
    pair.brokers[0].wait_for(lambda: pair.brokers[0].accepted() == [0, 1, 2])
    pair.brokers[1].wait_for(lambda: pair.brokers[1].accepted() == [1000, 1001])
    until(lambda: pair.sharing.limit.free == 1, "the slot", 10)


def test_a_generation_that_ends_while_its_queue_waits_for_the_slot(pair: Pair) -> None:
    one, two = pair.shells
    one.deliver([Plain(0), Plain(1)])
    pair.wait_begun(0)
    two.deliver([Plain(1000)])
    assert bool(pair.sharing.limit.line)
    two.state(SubscriptionState.INACTIVE, 1, None)
    two.state(SubscriptionState.ACTIVE, 2, None)
    pair.end(2)
    pair.brokers[0].wait_for(lambda: pair.brokers[0].accepted() == [0, 1])
    two.deliver([Plain(1000, generation=2)])
    pair.end(1)
    pair.brokers[1].wait_for(lambda: pair.brokers[1].accepted() == [1000])
    until(lambda: pair.sharing.limit.free == 1, "the slot", 10)


def test_a_pause_while_its_queue_waits_for_the_slot(pair: Pair) -> None:
    one, two = pair.shells
    one.deliver([Plain(0), Plain(1)])
    pair.wait_begun(0)
    two.deliver([Plain(1000)])
    two.pause()
    pair.brokers[1].wait_for(lambda: pair.brokers[1].released() == [1000])
    pair.end(2)
    pair.brokers[0].wait_for(lambda: pair.brokers[0].accepted() == [0, 1])
    assert pair.begun == [0, 1]


def test_a_paused_queue_tries_single_events_with_the_slot(pair: Pair) -> None:
    one, two = pair.shells
    pausing = Pair(asynchronous=isinstance(one, LoopShell), retry=Retry(initial=0.01, jitter=0, pause_after=2))
    try:
        one, two = pausing.shells
        pausing.failing = {1000, 1001}
        two.deliver([Plain(1000), Plain(1001)])
        pausing.end(2)
        until(lambda: two.health().paused, "the pause", 10)
        one.deliver([Plain(0)])
        until(lambda: 0 in pausing.begun, "the other queue", 10)
        two.deliver([Plain(1002)])
        until(
            lambda: two._machine.state is ListenerState.PROBING and len(pausing.sharing.limit.line) > 0,
            "a probe that waits for the slot",
            30,
        )
        pausing.failing = set()
        pausing.end(1000)
        until(lambda: {1000, 1001} <= set(pausing.brokers[1].accepted()), "the end of the pause", 30)
        until(lambda: pausing.sharing.limit.free == 1, "the slot", 10)
        assert pausing.brokers[0].accepted() == [0]
    finally:
        pausing.close()
    assert pausing.most == 1


def test_a_held_event_comes_to_its_turn(pair: Pair) -> None:
    one, two = pair.shells
    pair.failing = {1000}
    one.deliver([Plain(number) for number in range(50)])
    pair.wait_begun(0)
    two.deliver([Plain(1000)])
    pair.end(1000)
    pair.brokers[1].wait_for(lambda: len(pair.brokers[1].sent) == 1)  # the dead letter, after two attempts
    pair.brokers[0].wait_for(lambda: pair.brokers[0].accepted() == list(range(50)))
    assert pair.begun.count(1000) == 2


def test_a_slot_that_breaks_is_not_lost(pair: Pair) -> None:
    """An error of our own leaves the event unsettled, and the others go on, in both queues."""
    one, two = pair.shells

    class Broken(Plain):
        def body(self) -> bytes:
            raise SystemExit

        def message(self) -> None:  # type: ignore[override]
            raise SystemExit("broken")

    two.deliver([Broken(1)])
    one.deliver([Plain(0)])
    pair.end(1000)
    two.deliver([Plain(1000)])
    pair.brokers[0].wait_for(lambda: pair.brokers[0].accepted() == [0])
    pair.brokers[1].wait_for(lambda: pair.brokers[1].accepted() == [1000])
    until(lambda: pair.sharing.limit.free == 1, "the slot", 10)


def test_in_a_child_after_a_fork_the_shared_lock_is_free(pair: Pair) -> None:
    one, _ = pair.shells
    pair.sharing.lock.acquire()  # another thread had it
    one.abandon()
    assert not one._lock.locked()
    pair.sharing.lock.release()
