"""The manager's life, on the in-memory provider."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import pytest

from eventing_core import (
    BrokerConnectionError,
    CapabilityError,
    DeclarationError,
    Envelope,
    EnvelopePipeline,
    EventDescriptor,
    EventListener,
    EventListenerDescriptor,
    EventManager,
    ListenerCreationError,
    ManagerStateError,
    ManagerStoppedError,
    Options,
    Retry,
    envelope_pipeline,
    event,
    event_listener,
)
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.provider import Destination, Message, Observer
from eventing_core.receive._consumers import Consumers
from eventing_core.receive._shell import Shell
from eventing_core.receive.machine import _failing
from eventing_core.runtime._signals import SignalWaiter
from tests.support.waiting import until


@event()
@dataclass
class Ping:
    number: int


@event()
@dataclass
class Pong:
    number: int


class Seen:
    """Numbers that a listener got, for tests to wait on."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.numbers: list[Any] = []

    def add(self, number: Any) -> None:
        with self.changed:
            self.numbers.append(number)
            self.changed.notify_all()

    def wait_for(self, *numbers: Any) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.numbers == list(numbers), 5), self.numbers


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def listener(seen: Seen) -> type[EventListener[Ping]]:
    @event_listener(Ping)
    class PingListener(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            seen.add(event.number)

    return PingListener


def memory() -> MemoryProvider:
    return MemoryProvider("here")


def test_an_event_reaches_its_listener(seen: Seen, listener: type[EventListener[Ping]]) -> None:
    with EventManager(memory(), listeners=[listener], pipelines=[]) as manager:
        manager.send_event(Ping(1))
        seen.wait_for(1)
        assert manager.health().consuming
        assert manager.health().state == "started"
    assert manager.health().state == "stopped"
    assert repr(manager) == "EventManager('memory', stopped)"


def test_names_on_the_class() -> None:
    assert EventManager.Envelope is Envelope
    assert EventManager.EventDescriptor is EventDescriptor
    assert EventManager.EventListenerDescriptor is EventListenerDescriptor
    assert issubclass(MemoryProvider, EventManager.Provider)


def test_nothing_is_left_behind_by_many_lives(listener: type[EventListener[Ping]]) -> None:
    before = set(threading.enumerate())
    for _ in range(20):
        with EventManager(memory(), listeners=[listener], pipelines=[]) as manager:
            manager.submit_event(Ping(1)).add_done_callback(lambda _: None)
    assert set(threading.enumerate()) == before


def test_a_manager_has_one_life(listener: type[EventListener[Ping]]) -> None:
    manager = EventManager(memory(), listeners=[listener], pipelines=[])
    manager.start()
    with pytest.raises(ManagerStateError, match="is started"):
        manager.start()
    manager.stop()
    manager.stop()
    with pytest.raises(ManagerStateError, match="create a new one"):
        manager.start()


def test_sending_inside_on_works(seen: Seen) -> None:
    manager = EventManager(memory(), listeners=[], pipelines=[])

    @event_listener(Ping)
    class Relay(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            manager.send_event(Pong(event.number + 1))

    @event_listener(Pong)
    class End(EventListener[Pong]):
        async def on(self, event: Pong) -> None:
            if event.number < 4:
                await manager.send_event_async(Ping(event.number + 1))
            seen.add(event.number)

    manager._listeners = [Relay, End]
    with manager:
        manager.send_event(Ping(1))
        seen.wait_for(2, 4)


@pytest.mark.parametrize("method", ["send_event", "send_events", "submit_event"])
def test_a_blocking_send_on_the_managers_own_loop_names_the_async_one(seen: Seen, method: str) -> None:
    @event_listener(Ping)
    class Blocking(EventListener[Ping]):
        async def on(self, event: Ping) -> None:
            try:
                getattr(manager, method)(Pong(1))
            except ManagerStateError as error:
                seen.add(str(error))

    manager = EventManager(memory(), listeners=[Blocking], pipelines=[])
    with manager:
        manager.send_event(Ping(1))
        with seen.changed:
            assert seen.changed.wait_for(lambda: seen.numbers, 5)
    assert method in seen.numbers[0]
    assert "send_event_async" in seen.numbers[0]


def test_stop_inside_on_only_asks_for_it(seen: Seen) -> None:
    @event_listener(Ping)
    class Stops(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            manager.stop()
            manager.send_event(Pong(1))
            seen.add(event.number)

    manager = EventManager(memory(), listeners=[Stops], pipelines=[], options=Options(unrouted="ignore"))
    manager.start()
    manager.send_event(Ping(1))
    seen.wait_for(1)
    manager.stop()
    assert manager.health().state == "stopped"


def test_a_pipeline_carries_a_session_from_sender_to_listener(seen: Seen) -> None:
    session: ContextVar[str] = ContextVar("session", default="none")

    @envelope_pipeline(order=1)
    class Session(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> None:
            envelope.set("session-id", session.get())

        def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> Iterator[None]:
            token = session.set(envelope.get("session-id"))
            try:
                yield
            finally:
                session.reset(token)

    @event_listener(Ping)
    class Reads(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            seen.add(session.get())

    with EventManager(memory(), listeners=[Reads], pipelines=[Session]) as manager:
        session.set("s-1")
        manager.send_event(Ping(1))
        seen.wait_for("s-1")


def test_pipelines_stand_in_their_order_whatever_the_order_of_the_list(seen: Seen) -> None:
    class Base(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> None:
            envelope.set("way", envelope.get("way", "") + type(self).__name__)

    @envelope_pipeline(order=-1)
    class A(Base):
        pass

    @envelope_pipeline(order=5)
    class C(Base):
        pass

    @envelope_pipeline()
    class B(Base):
        pass

    class Reads(EnvelopePipeline):
        def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> None:
            seen.add(envelope.get("way"))

    @event_listener(Ping)
    class Quiet(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            """Nothing to do."""

    with EventManager(memory(), listeners=[Quiet], pipelines=[C(), Reads(), A, B]) as manager:
        manager.send_event(Ping(1))
        seen.wait_for("ABC")


def test_headers_of_a_failing_attempt_are_rolled_back(seen: Seen) -> None:
    class Sets(EnvelopePipeline):
        def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> None:
            seen.add(dict(envelope.headers))
            envelope.set("k", "changed")

    @event_listener(Ping, retry=Retry(max_attempts=2, initial=0))
    class Fails(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            raise ValueError

    with EventManager(memory(), listeners=[Fails], pipelines=[Sets()]) as manager:
        manager.send_event(Ping(1), headers={"k": "sent"})
        seen.wait_for({"k": "sent"}, {"k": "sent"})


def test_the_bad_declarations_are_refused_before_anything_is_opened(listener: type[EventListener[Ping]]) -> None:
    @event_listener(Ping, name="PingListener")
    class Twin(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            """Nothing to do."""

    @event_listener(Ping, name="A", per_process=True)
    class PerProcess(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            """Nothing to do."""

    @event_listener(Ping, name="A-here")
    class SameQueue(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            """Nothing to do."""

    @event_listener(Ping, concurrency=9)
    class Wide(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            """Nothing to do."""

    bad: list[tuple[list[type[EventListener[Ping]]], str]] = [
        ([listener, Twin], "two listeners of the event 'Ping' are named 'PingListener'"),
        ([PerProcess, SameQueue], "would share the queue 'A-here'"),
        ([Wide], "concurrency=9 is more than the manager's 8 workers"),
    ]
    for listeners, text in bad:
        provider = memory()
        with pytest.raises(DeclarationError, match=text):
            EventManager(provider, listeners=listeners, pipelines=[]).start()
        assert not provider.health().connected


def test_two_events_of_one_name_are_refused(listener: type[EventListener[Ping]]) -> None:
    @event("Ping")
    @dataclass
    class OtherPing:
        number: int

    @event_listener(OtherPing)
    class OtherListener(EventListener[OtherPing]):
        def on(self, event: OtherPing) -> None:
            """Nothing to do."""

    with pytest.raises(DeclarationError, match="two events are named 'Ping'"):
        EventManager(memory(), listeners=[listener, OtherListener], pipelines=[]).start()


@pytest.mark.parametrize("strict", [True, False])
def test_what_the_provider_can_not_do(*, strict: bool, caplog: pytest.LogCaptureFixture) -> None:
    @event(durable=True)
    @dataclass
    class Kept:
        number: int

    @event_listener(Kept, per_process=True, ordered=True)
    class Demanding(EventListener[Kept]):
        def on(self, event: Kept) -> None:
            """Nothing to do."""

    provider = memory()
    provider.capabilities = replace(provider.capabilities, durable=False, per_process=False, exclusive=False)
    manager = EventManager(provider, listeners=[Demanding], pipelines=[], options=Options(strict=strict))
    if strict:
        with pytest.raises(CapabilityError, match=r"Demanding on Kept: the provider 'memory' can't do durable=True"):
            manager.start()
    else:
        with manager:
            texts = [record.getMessage() for record in caplog.records if "can't do" in record.getMessage()]
        assert ["durable" in texts[0], "per_process" in texts[1], "ordered" in texts[2]] == [True, True, True]


def test_a_listener_that_can_not_be_made_names_the_mend() -> None:
    @event_listener(Ping)
    class Needs(EventListener[Ping]):
        def __init__(self, url: str) -> None:
            """Wants something."""

        def on(self, event: Ping) -> None:
            """Nothing to do."""

    with pytest.raises(ListenerCreationError, match="environment="):
        EventManager(memory(), listeners=[Needs], pipelines=[]).start()


def test_a_start_that_fails_leaves_nothing_behind(listener: type[EventListener[Ping]]) -> None:
    class Closed(MemoryProvider):
        def open(self, observer: Observer) -> None:
            msg = "nobody there"
            raise BrokerConnectionError(msg)

    before = set(threading.enumerate())
    manager = EventManager(Closed("here"), listeners=[listener], pipelines=[])
    with pytest.raises(BrokerConnectionError, match="nobody there"):
        manager.start()
    assert set(threading.enumerate()) == before
    assert manager.health().state == "stopped"


def test_a_first_connect_that_failed_may_be_tried_again_by_the_next_send() -> None:
    class Late(MemoryProvider):
        tries = 0

        def open(self, observer: Observer) -> None:
            self.tries += 1
            if self.tries == 1:
                msg = "not yet"
                raise BrokerConnectionError(msg)
            super().open(observer)

    manager = EventManager(Late("here"), listeners=[], pipelines=[], options=Options(unrouted="ignore"))
    with pytest.raises(BrokerConnectionError, match="not yet"):
        manager.send_event(Ping(1))
    manager.send_event(Ping(1))
    manager.stop()


def test_a_stop_while_starting_leaves_nothing_running(listener: type[EventListener[Ping]]) -> None:
    opening, go_on = threading.Event(), threading.Event()

    class Slow(MemoryProvider):
        def open(self, observer: Observer) -> None:
            opening.set()
            assert go_on.wait(5)
            super().open(observer)

    before = set(threading.enumerate())
    provider = Slow("here")
    manager = EventManager(provider, listeners=[listener], pipelines=[])
    errors: list[BaseException] = []

    def start() -> None:
        try:
            manager.start()
        except ManagerStoppedError as error:
            errors.append(error)

    starter = threading.Thread(target=start)
    starter.start()
    assert opening.wait(5)
    assert not manager.health().consuming
    manager.stop(0.01)
    go_on.set()
    starter.join(5)
    manager.stop()
    assert len(errors) == 1
    assert manager.health().state == "stopped"
    assert not provider.health().connected
    assert set(threading.enumerate()) == before


def test_a_listener_that_is_made_may_ask_for_the_stop() -> None:
    made: list[EventManager] = []

    @event_listener(Ping)
    class Unwilling(EventListener[Ping]):
        def __init__(self) -> None:
            manager.stop()
            manager.stop()
            made.append(manager)

        def on(self, event: Ping) -> None: ...

    manager = EventManager(memory(), listeners=[Unwilling], pipelines=[], options=Options(stop_timeout=60))
    with pytest.raises(ManagerStoppedError):
        manager.start()
    assert made == [manager]
    assert manager.health().state == "stopped"


@pytest.mark.parametrize("method", ["start", "run"])
def test_a_listener_may_ask_for_the_stop_before_the_others_may_begin(
    monkeypatch: pytest.MonkeyPatch, method: str, listener: type[EventListener[Ping]], seen: Seen
) -> None:
    broker = MemoryBroker()
    started = threading.Event()

    @event_listener(Ping)
    class Job(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            manager.stop()
            assert started.wait(5)
            seen.add("done")

    def begin(shell: Shell) -> None:
        original(shell)
        if shell.descriptor.name == "Job":
            until(lambda: manager.health().state != "started", "the stop", 5)

    with EventManager(MemoryProvider("a", broker), listeners=[Job], pipelines=[]):
        pass
    with EventManager(MemoryProvider("b", broker), listeners=[], pipelines=[]) as sender:
        sender.send_event(Ping(1))
    original = Shell.begin
    monkeypatch.setattr(Shell, "begin", begin)
    manager = EventManager(MemoryProvider("c", broker), listeners=[Job, listener], pipelines=[])
    if method == "start":
        manager.start()
        started.set()
    else:
        monkeypatch.setattr(SignalWaiter, "wait", lambda _: started.set())  # the start has succeeded
        manager.run()
    manager.stop()
    seen.wait_for("done")
    assert broker.messages(Destination("Ping", "Job", kind="queue")) == []


def test_asking_for_the_stop_while_it_stops_needs_no_thread(monkeypatch: pytest.MonkeyPatch, seen: Seen) -> None:
    """At the interpreter's exit Python 3.12 has none any more."""
    begun, go_on = threading.Event(), threading.Event()

    @event_listener(Ping, retry=Retry(max_attempts=1))
    class Job(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            begun.set()
            assert go_on.wait(5)
            manager.stop()
            seen.add(event.number)

    manager = EventManager(memory(), listeners=[Job], pipelines=[])
    manager.start()
    manager.send_event(Ping(1))
    assert begun.wait(5)
    stopper = threading.Thread(target=manager.stop)
    stopper.start()
    until(lambda: manager.health().state == "draining", "the stop", 5)
    monkeypatch.delattr(threading.Thread, "start")
    go_on.set()
    stopper.join(5)
    seen.wait_for(1)


def test_asking_for_the_stop_at_exit_needs_no_thread() -> None:
    code, out, err = run_script(
        """
        other = EventManager(MemoryProvider("other"), listeners=[], pipelines=[])

        class Stops(MemoryProvider):
            def close(self, timeout):
                # The first manager to be drained: the second is still started.
                del threading.Thread.start
                go_on.set()
                seen.wait(5)
                threading.Thread.start = start
                super().close(timeout)

        start, go_on, seen = threading.Thread.start, threading.Event(), threading.Event()

        @event_listener(Ping)
        class Job(EventListener[Ping]):
            def on(self, event):
                go_on.wait(5)
                manager.stop()
                print("asked", flush=True)
                seen.set()

        first = EventManager(Stops("here"), listeners=[], pipelines=[], options=Options(unrouted="ignore"))
        first.send_event(Ping(0))
        manager = EventManager(MemoryProvider("here"), listeners=[Job], pipelines=[])
        manager.start()
        manager.send_event(Ping(1))
        from eventing_core.runtime import _process
        _process.list = lambda managers: [first, manager]
        """
    )
    assert (code, out, err) == (0, "asked\n", "")


def test_an_interruption_of_the_stop_closes_the_rest_in_haste(
    monkeypatch: pytest.MonkeyPatch, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    broker = MemoryBroker()

    @event_listener(Ping, retry=Retry(max_attempts=1))
    class Hangs(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            begun.set()
            assert go_on.wait(5)
            raise ValueError

    def interrupted(shell: Shell, deadline: float) -> bool:
        if deadline:
            raise KeyboardInterrupt
        return original(shell, deadline)

    original = Shell.wait_idle
    monkeypatch.setattr(Shell, "wait_idle", interrupted)
    provider = MemoryProvider("here", broker)
    manager = EventManager(provider, listeners=[Hangs], pipelines=[])
    manager.start()
    manager.send_event(Ping(1))
    assert begun.wait(5)
    with pytest.raises(KeyboardInterrupt):
        manager.stop(60)
    assert manager.health().state == "stopped"
    assert not provider.health().connected
    assert "still running when stop_timeout ended" in caplog.text
    go_on.set()
    manager.stop()
    until(lambda: len(broker.messages(Destination("Ping", "Hangs", kind="queue"))) == 1, "the event", 5)
    assert broker.dead_letters("Ping", "Hangs") == []


def test_an_interruption_of_the_stop_lets_nothing_more_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @event_listener(Ping)
    class Hangs(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            if event.number == 8:
                begun.set()
                assert go_on.wait(5)

    def interrupted(provider: MemoryProvider) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(MemoryProvider, "unhandled", interrupted)
    manager = EventManager(memory(), listeners=[Hangs], pipelines=[])
    manager.start()
    for number in range(8):  # the window grows, so that the last ones wait in the process
        manager.send_event(Ping(number))
    manager.send_events([Ping(8), Ping(9), Ping(10)])
    assert begun.wait(5)
    assert manager._consumers is not None
    (shell,) = manager._consumers._shells
    until(lambda: bool(shell._machine.slots.queue), "they wait", 5)
    with pytest.raises(KeyboardInterrupt):
        manager.stop()
    assert not shell._machine.slots.queue
    go_on.set()


@pytest.mark.parametrize(("step", "told"), [("pause", "paused"), ("close", "closed")])
def test_a_subscription_that_can_not_be_ended_keeps_no_other_from_it(
    listener: type[EventListener[Ping]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
    told: str,
) -> None:
    @event_listener(Ping)
    class Other(EventListener[Ping]):
        def on(self, event: Ping) -> None: ...

    ended: list[str] = []

    def end(shell: Shell) -> None:
        ended.append(shell.descriptor.name)
        if len(ended) == 1:
            msg = "a provider's bug"
            raise RuntimeError(msg)

    manager = EventManager(memory(), listeners=[listener, Other], pipelines=[])
    manager.start()
    monkeypatch.setattr(Shell, step, end)
    manager.stop()
    assert ended == ["PingListener", "Other"]
    assert f"PingListener on Ping: could not be {told}" in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("eventing")]


def test_a_logging_handler_that_raises_keeps_nothing_from_being_closed(
    monkeypatch: pytest.MonkeyPatch, listener: type[EventListener[Ping]]
) -> None:
    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("the disk is full")

    def broken(*_: object) -> None:
        raise RuntimeError

    provider = memory()
    manager = EventManager(provider, listeners=[listener], pipelines=[])
    manager.start()
    monkeypatch.setattr(Consumers, "drain", broken)
    handler = Full()
    logging.getLogger("eventing").addHandler(handler)
    try:
        manager.stop()
    finally:
        logging.getLogger("eventing").removeHandler(handler)
    assert not provider.health().connected
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("eventing")]


def test_a_stop_while_a_listener_is_made_ends_the_start() -> None:
    class Made(EventListener[Ping]):
        def __init__(self) -> None:
            threading.Thread(target=manager.stop, args=(0.1,)).start()
            until(lambda: manager.health().state == "stopping", "the stop", 5)

        def on(self, event: Ping) -> None: ...

    event_listener(Ping)(Made)
    provider = memory()
    manager = EventManager(provider, listeners=[Made], pipelines=[])
    manager.send_event(Ping(1))  # it is open: no connect ends the start
    provider.broker.cut()
    began = time.monotonic()
    with pytest.raises(ManagerStoppedError):
        manager.start()
    assert time.monotonic() - began < 5


def test_a_stop_sees_a_connect_that_is_about_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    class Slow(MemoryProvider):
        def open(self, observer: Observer) -> None:
            ended.append(closed.wait(5))
            raise BrokerConnectionError("closed while it was connecting")

        def close(self, timeout: float) -> None:
            closed.set()

    def look(cause: Exception | None = None) -> None:
        refuse(cause)
        if manager._connection._opening.under_way and not stopping.ident:
            stopping.start()
            stopping.join(0.2)

    ended: list[bool] = []
    manager = EventManager(Slow("here"), listeners=[], pipelines=[])
    refuse = manager._life.refuse_if_stopping
    monkeypatch.setattr(manager._connection, "_refuse_if_stopping", look)
    stopping = threading.Thread(target=manager.stop)
    with pytest.raises(ManagerStoppedError):
        manager.start()
    stopping.join(5)
    # It was closed before it was opened, and then again.
    assert ended == [True]
    assert not stopping.is_alive()


def test_run_is_for_the_main_thread(listener: type[EventListener[Ping]]) -> None:
    manager = EventManager(memory(), listeners=[listener], pipelines=[])
    errors: list[BaseException] = []

    def run() -> None:
        try:
            manager.run()
        except ManagerStateError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(5)
    assert "only the main thread" in str(errors[0])
    assert manager.health().state == "not started"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_run_starts_ends_the_start(number: signal.Signals) -> None:
    code, out, err = run_script(
        """
        class Slow(MemoryProvider):
            closed = threading.Event()

            def open(self, observer):
                print("opening", flush=True)
                self.closed.wait(60)
                raise BrokerConnectionError("closed while it was connecting")

            def close(self, timeout):
                self.closed.set()

        before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        manager = EventManager(Slow("here"))
        manager.run()
        print("done", manager.health().state)
        assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
        """,
        signals=number,
    )
    assert (code, out, err) == (0, "opening\ndone stopped\n", "")


def test_a_signal_just_before_the_start_ends_it() -> None:
    code, out, err = run_script(
        """
        class Late(EventManager):
            def start(self):
                os.kill(os.getpid(), signal.SIGTERM)
                threading.Event().wait(0.3)
                super().start()

        provider = MemoryProvider("here")
        manager = Late(provider, listeners=[Slow])
        manager.run()
        print("done", manager.health().state, provider.health().generation)
        """
    )
    assert (code, out, err) == (0, "done stopped 0\n", "")


def test_a_signal_while_a_listener_is_made_lets_that_finish() -> None:
    code, out, err = run_script(
        """
        class Made(EventListener[Ping]):
            def __init__(self):
                os.kill(os.getpid(), signal.SIGTERM)
                while manager.health().state == "starting":
                    threading.Event().wait(0.001)
                print("made on", threading.current_thread().name)

            def on(self, event): ...

        event_listener(Ping)(Made)
        provider = MemoryProvider("here")
        manager = EventManager(provider, listeners=[Made])
        manager.run()
        print("done", manager.health().state, provider.health())
        """
    )
    assert code == 0, err
    assert out == "made on MainThread\ndone stopped Health(connected=False, generation=0, error='not open', place='')\n"


def test_a_signal_while_queues_are_waited_for_ends_the_start() -> None:
    code, out, err = run_script(
        """
        class Never(MemoryProvider):
            def subscribe(self, subscription, subscriber):
                print("subscribing", flush=True)
                self.broker.cut()
                return super().subscribe(subscription, subscriber)

        manager = EventManager(Never("here"), listeners=[Slow])
        manager.run()
        print("done", manager.health().state)
        """,
        signals=signal.SIGTERM,
    )
    assert (code, out) == (0, "subscribing\ndone stopped\n"), err


def test_a_second_signal_ends_a_start() -> None:
    code, out, err = run_script(
        """
        class Hangs(EventListener[Ping]):
            def __init__(self):
                os.kill(os.getpid(), signal.SIGINT)
                while manager.health().state == "starting":
                    threading.Event().wait(0.001)
                os.kill(os.getpid(), signal.SIGINT)
                threading.Event().wait(60)

            def on(self, event): ...

        event_listener(Ping)(Hangs)
        manager = EventManager(MemoryProvider("here"), listeners=[Hangs])
        try:
            manager.run()
        except KeyboardInterrupt:
            print("interrupted", manager.health().state)
        """
    )
    assert (code, out) == (0, "interrupted stopped\n"), err


def test_a_logging_handler_may_send_what_is_logged_while_connecting(listener: type[EventListener[Ping]]) -> None:
    manager = EventManager(memory(), listeners=[listener], pipelines=[], options=Options(unrouted="ignore"))
    sent: list[str] = []

    class Sends(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            manager.send_event(Ping(1), timeout=1)
            sent.append(record.getMessage())

    handler, logger = Sends(), logging.getLogger("eventing")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        starter = threading.Thread(target=manager.start, daemon=True)
        starter.start()
        starter.join(5)
        assert manager.health().state == "started"
        manager.stop()
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
    assert [text.partition(" queue")[0] for text in sent] == ["memory: connected", "PingListener on Ping: listening:"]


def test_a_second_signal_acts_as_if_there_were_no_manager() -> None:
    code, out, err = run_script(
        """
        @event_listener(Ping)
        class Hangs(EventListener[Ping]):
            def on(self, event):
                begun.set()
                threading.Event().wait(60)

        def reach(state):
            while manager.health().state != state:
                threading.Event().wait(0.001)

        def signals():
            reach("started")
            manager.send_event(Ping(1))
            begun.wait()
            os.kill(os.getpid(), signal.SIGINT)
            reach("draining")
            os.kill(os.getpid(), signal.SIGINT)

        provider = MemoryProvider("here")
        manager = EventManager(provider, listeners=[Hangs])
        threading.Thread(target=signals, daemon=True).start()
        try:
            manager.run()
        except KeyboardInterrupt:
            print("interrupted", manager.health().state, provider.health().connected)
        """
    )
    assert (code, out) == (0, "interrupted stopped False\n"), err


def test_a_private_broker_loses_no_retry_at_a_stop(monkeypatch: pytest.MonkeyPatch, seen: Seen) -> None:
    monkeypatch.setattr(_failing, "HOLD_LIMIT", 0.0)

    @event_listener(Ping, retry=Retry(initial=0.2, jitter=0))
    class Late(EventListener[Ping]):
        def __init__(self) -> None:
            self.failed = False

        def on(self, event: Ping) -> None:
            if not self.failed:
                self.failed = True
                raise ValueError
            seen.add(event.number)

    manager = EventManager(memory(), listeners=[Late], pipelines=[])
    manager.start()
    manager.send_event(Ping(1))
    until(lambda: manager.health().listeners[0].held == 1, "the failure", 5)
    manager.stop()
    seen.wait_for(1)


def test_a_listener_named_as_anothers_dead_letters_is_refused(listener: type[EventListener[Ping]]) -> None:
    def named(name: str) -> type[EventListener[Ping]]:
        @event_listener(Ping, name=name)
        class Named(EventListener[Ping]):
            def on(self, event: Ping) -> None: ...

        return Named

    one, dead = named("Packer"), named("Packer.dead")
    for listeners in ([one, dead], [dead, one]):
        with pytest.raises(DeclarationError, match=r"'Packer\.dead' .*the dead letters of 'Packer'"):
            EventManager(memory(), listeners=listeners, pipelines=[]).start()


@pytest.mark.filterwarnings("error")
def test_a_pipeline_that_is_refused_leaves_no_event_loop_behind() -> None:
    @event_listener(Ping)
    class Async(EventListener[Ping]):
        async def on(self, event: Ping) -> None: ...

    class AsyncPipeline(EnvelopePipeline):
        async def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> None:  # type: ignore[override]
            ...

    manager = EventManager(memory(), listeners=[Async], pipelines=[AsyncPipeline()])
    before = len([one for one in gc.get_objects() if isinstance(one, asyncio.AbstractEventLoop)])
    with pytest.raises(DeclarationError, match="is async"):
        manager.start()
    assert len([one for one in gc.get_objects() if isinstance(one, asyncio.AbstractEventLoop)]) == before


def test_a_pipeline_that_reads_a_body_which_is_no_text_finds_it_undecodable(
    listener: type[EventListener[Ping]],
) -> None:
    class Reads(EnvelopePipeline):
        def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> None:
            envelope.get_body()

    broker = MemoryBroker()
    stranger = MemoryProvider("stranger", broker)
    stranger.open(lambda *_: None)
    with EventManager(MemoryProvider("here", broker), listeners=[listener], pipelines=[Reads]):
        stranger.producer(Destination("Ping")).send(
            [Message(body=b"\xff", message_id="1", dedup_id="1")], lambda *_: None, deadline=math.inf
        )
        until(lambda: len(broker.dead_letters("Ping", "PingListener")) == 1, "the dead letter", 5)
    (dead,) = broker.dead_letters("Ping", "PingListener")
    assert (dead.headers["eventing-reason"], dead.headers["eventing-attempts"]) == ("undecodable", "1")
    stranger.close(1)


def test_nothing_is_said_to_be_consuming_before_the_start(listener: type[EventListener[Ping]]) -> None:
    assert not EventManager(memory(), listeners=[listener], pipelines=[]).health().consuming


def test_an_on_that_does_not_end_is_cut_short_and_its_event_goes_back(seen: Seen) -> None:
    broker = MemoryBroker()
    begun, go_on = threading.Event(), threading.Event()

    @event_listener(Ping, name="L")
    class Hangs(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            begun.set()
            assert go_on.wait(5)

    @event_listener(Ping, name="L")
    class Works(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            seen.add(event.number)

    first = EventManager(MemoryProvider("a", broker), listeners=[Hangs], pipelines=[])
    first.start()
    first.send_event(Ping(1))
    assert begun.wait(5)
    first.stop(0.01)
    with EventManager(MemoryProvider("b", broker), listeners=[Works], pipelines=[]):
        seen.wait_for(1)
    go_on.set()


SCRIPT = """
import os, signal, sys, threading
from dataclasses import dataclass
from eventing_core import BrokerConnectionError, EventListener, EventManager, Options, event, event_listener
from eventing_core.memory import MemoryProvider

@event()
@dataclass
class Ping:
    number: int

begun = threading.Event()

@event_listener(Ping)
class Slow(EventListener[Ping]):
    def on(self, event):
        print("begun", event.number, flush=True)
        begun.set()
        threading.Event().wait(0.3)
        print("ended", event.number, flush=True)

manager = EventManager(MemoryProvider("here"), options=Options(unrouted="ignore"))
"""


def run_script(code: str, *, signals: int | None = None) -> tuple[int, str, str]:
    # Where the tests run in the background of a shell, SIGINT is ignored, and a child would inherit that.
    usual = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    with subprocess.Popen(
        [sys.executable, "-c", usual + SCRIPT + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = ""
        try:
            if signals is not None:
                first = process.stdout.readline()
                process.send_signal(signals)
            out, err = process.communicate(timeout=30)
        except BaseException:
            process.kill()
            raise
    return process.returncode, first + out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_works_until_a_signal_and_drains(number: signal.Signals) -> None:
    code, out, err = run_script(
        """
        started = threading.Event()
        original = manager.start
        manager.start = lambda: (original(), started.set())
        threading.Thread(target=lambda: (started.wait(), manager.send_event(Ping(1)))).start()
        manager.run()
        print("done", manager.health().state)
        """,
        signals=number,
    )
    assert (code, out.split("\n"), err) == (0, ["begun 1", "ended 1", "done stopped", ""], "")


def test_a_started_manager_drains_at_exit() -> None:
    code, out, err = run_script(
        """
        manager.start()
        manager.send_event(Ping(1))
        begun.wait()
        """
    )
    assert (code, out.split("\n"), err) == (0, ["begun 1", "ended 1", ""], "")


def test_a_child_of_run_can_be_ended_and_leaves_its_parent_alone() -> None:
    code, out, err = run_script(
        """
        import warnings
        warnings.simplefilter("ignore")

        def fork():
            started.wait()
            ready, tell = os.pipe()
            child = os.fork()
            if child == 0:
                os.write(tell, b"1")
                threading.Event().wait(20)
                os._exit(1)
            os.read(ready, 1)
            os.kill(child, signal.SIGTERM)
            print("ended by", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), manager.health().state, flush=True)
            manager.stop()

        started = threading.Event()
        original = manager.start
        manager.start = lambda: (original(), started.set())
        threading.Thread(target=fork).start()
        manager.run()
        """
    )
    assert code == 0, err
    assert out == "ended by -15 started\n"


def test_async_listeners_can_use_executors_while_a_manager_drains_at_exit() -> None:
    code, out, err = run_script(
        """
        import asyncio

        @event_listener(Ping)
        class Async(EventListener[Ping]):
            async def on(self, event):
                await asyncio.sleep(0.2)
                await asyncio.to_thread(print, "in a thread", event.number)
                await manager.send_event_async(Late())

        @event()
        @dataclass
        class Late:
            pass

        manager.start()
        manager.send_event(Ping(1))
        begun.wait()
        """
    )
    assert (code, err) == (0, "")
    assert "in a thread 1" in out


def test_a_private_broker_has_everything_handled_before_its_manager_stops(seen: Seen) -> None:
    manager = EventManager(memory(), listeners=[], pipelines=[])

    @event_listener(Ping, retry=Retry(initial=0.01, pause_after=0))
    class Relay(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            seen.add(event.number)
            if seen.numbers.count(event.number) == 1:
                raise ValueError
            manager.send_event(Pong(event.number))

    @event_listener(Pong)
    class End(EventListener[Pong]):
        def on(self, event: Pong) -> None:
            seen.add(-event.number)

    manager._listeners = [Relay, End]
    with manager:
        manager.send_events(Ping(number) for number in range(1, 51))
    assert sorted(seen.numbers) == sorted([*range(-50, 0), *range(1, 51), *range(1, 51)])


def test_what_is_sent_while_a_private_broker_drains_is_handled_or_refused(seen: Seen) -> None:
    manager = EventManager(memory(), listeners=[], pipelines=[], options=Options(workers=2))
    begun, go_on = threading.Event(), threading.Event()
    called_back = threading.Event()
    refused: list[str] = []

    def send_from_callback(_: object) -> None:
        manager.send_event(Pong(3))
        called_back.set()

    @event_listener(Ping)
    class Relay(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            if event.number == 1:
                begun.set()
                assert go_on.wait(5)
                manager.submit_event(Pong(2)).add_done_callback(send_from_callback)

    @event_listener(Pong, concurrency=2)
    class Async(EventListener[Pong]):
        async def on(self, event: Pong) -> None:
            seen.add(event.number)
            if event.number == 2:
                await asyncio.to_thread(manager.send_event, Pong(4))
                await manager.send_event_async(Pong(5))
                assert await asyncio.to_thread(called_back.wait, 5)

    manager._listeners = [Relay, Async]
    manager.start()
    manager.send_event(Ping(1))
    assert begun.wait(5)
    stop = threading.Thread(target=manager.stop)
    stop.start()
    until(lambda: manager.health().state == "draining", "the stop", 5)
    confirmed = 0
    try:
        while True:
            manager.send_event(Pong(100 + confirmed))
            confirmed += 1
            if confirmed == 5:
                go_on.set()
            time.sleep(0.01)
    except ManagerStoppedError as error:
        refused.append(str(error))
    assert confirmed >= 5, "it may be work of the listener that runs"
    stop.join(10)
    assert sorted(seen.numbers) == [2, 3, 4, 5, *range(100, 100 + confirmed)]
    assert "the event manager was stopped" in refused[0]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_listener_may_send_from_other_threads_while_a_private_broker_drains(seen: Seen, kind: str) -> None:
    manager = EventManager(memory(), listeners=[], pipelines=[], retry=Retry(max_attempts=1))
    begun, go_on = threading.Event(), threading.Event()

    @event_listener(Ping)
    class Plain(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            begun.set()
            assert go_on.wait(5)
            pool.submit(manager.send_event, Pong(event.number)).result(5)

    @event_listener(Ping)
    class Async(EventListener[Ping]):
        async def on(self, event: Ping) -> None:
            begun.set()
            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(None, go_on.wait, 5)
            await loop.run_in_executor(None, manager.send_event, Pong(event.number))

    @event_listener(Pong)
    class End(EventListener[Pong]):
        def on(self, event: Pong) -> None:
            seen.add(event.number)

    manager._listeners = [Plain if kind == "plain" else Async, End]
    with ThreadPoolExecutor(1) as pool:
        manager.start()
        manager.send_event(Ping(1))
        assert begun.wait(5)
        stop = threading.Thread(target=manager.stop)
        stop.start()
        until(lambda: manager._sender._in_flight._refusing, "the drain", 5)
        go_on.set()
        stop.join(10)
    assert seen.numbers == [1]


def test_a_stop_waits_for_what_a_private_broker_has_not_delivered_yet(seen: Seen, listener: Any) -> None:
    class Late(MemoryProvider):
        """Says for a while that something is left, as while another thread is about to deliver."""

        looks = 0

        def unhandled(self) -> int:
            self.looks += 1
            if self.looks == 3:
                message = Message(body=b'{"number":1}')
                self.producer(Destination("Ping")).send((message,), lambda *_: None, deadline=math.inf)
            return super().unhandled() or int(self.looks < 3)

    provider = Late("here")
    manager = EventManager(provider, listeners=[listener], pipelines=[])
    manager.start()
    manager.stop()
    seen.wait_for(1)
    assert provider.looks >= 3


def test_a_stop_waits_for_a_private_broker_no_longer_than_it_may(
    listener: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(MemoryProvider, "unhandled", lambda _: 1)
    manager = EventManager(memory(), listeners=[listener], pipelines=[])
    manager.start()
    began = time.monotonic()
    manager.stop(0.1)
    assert 0.1 <= time.monotonic() - began < 5
    assert "unexpected" not in caplog.text


def test_a_stop_waits_for_no_work_of_others_who_use_a_private_broker(caplog: pytest.LogCaptureFixture) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @event_listener(Ping)
    class Hangs(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            begun.set()
            assert go_on.wait(5)

    provider = MemoryProvider("here")
    with EventManager(MemoryProvider("there", provider.broker), listeners=[Hangs], pipelines=[]):
        manager = EventManager(provider, listeners=[], pipelines=[])
        manager.start()
        manager.send_event(Ping(1))
        assert begun.wait(5)
        manager.stop(60)
        assert not go_on.is_set()
        go_on.set()
    assert "not handled" not in caplog.text


def test_what_a_private_broker_loses_is_told(caplog: pytest.LogCaptureFixture) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @event_listener(Ping)
    class Hangs(EventListener[Ping]):
        def on(self, event: Ping) -> None:
            begun.set()
            assert go_on.wait(5)

    manager = EventManager(memory(), listeners=[Hangs], pipelines=[])
    manager.start()
    manager.send_events([Ping(1), Ping(2), Ping(3)])
    assert begun.wait(5)
    manager.stop(0.01)
    go_on.set()
    texts = [record.getMessage() for record in caplog.records]
    assert "memory: 3 events for Ping::Hangs were not handled, and are lost with their broker" in texts


def test_a_forked_child_sends_anew_and_does_not_consume() -> None:
    code, out, err = run_script(
        """
        import warnings
        warnings.simplefilter("ignore")
        manager.start()
        child = os.fork()
        if child == 0:
            manager.send_event(Ping(2))
            print("child", manager.health().state, [t.name for t in threading.enumerate()], flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        manager.send_event(Ping(1))
        begun.wait()
        """
    )
    assert code == 0, err
    assert sorted(out.split("\n")) == ["", "begun 1", "child not started ['MainThread', 'eventing-memory']", "ended 1"]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_child_that_returns_from_on_consumes_nothing_and_ends(kind: str) -> None:
    code, out, err = run_script(
        f"""
        import time, warnings
        warnings.simplefilter("ignore")
        parent, handled = os.getpid(), []

        @event_listener(Ping, concurrency=2)
        class Forks(EventListener[Ping]):
            {kind} on(self, event):
                if os.getpid() != parent:
                    os.write(1, b"the child consumes\\n")
                if event.number == 20:
                    child = os.fork()
                    if child:
                        children.append(child)
                handled.append(event.number)

        children = []
        manager = EventManager(MemoryProvider("here"), listeners=[Forks], pipelines=[])
        manager.start()
        manager.send_events(Ping(number) for number in range(60))
        while len(handled) < 60:
            time.sleep(0.001)
        until = time.monotonic() + 10
        while time.monotonic() < until and not os.waitpid(children[0], os.WNOHANG)[0]:
            time.sleep(0.01)
        print("ended" if time.monotonic() < until else "hangs")
        if time.monotonic() >= until:
            os.kill(children[0], signal.SIGKILL)
        manager.send_event(Ping(60))
        manager.stop()
        print(sorted(handled) == [*range(61)])
        """
    )
    assert (code, out) == (0, "ended\nTrue\n"), err


def test_a_manager_that_was_never_used_costs_nothing_at_exit() -> None:
    assert run_script("manager.health()") == (0, "", "")
