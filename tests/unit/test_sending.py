"""The four ways to send, on the in-memory provider, and on a producer that answers when the test wants."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from pydantic import BaseModel

from eventing_core import (
    ConfigError,
    DeclarationError,
    Envelope,
    EnvelopePipeline,
    EventDescriptor,
    EventManager,
    HeaderError,
    ListenerCreationError,
    ManagerStoppedError,
    Options,
    SendEventsError,
    SendRejectedError,
    SendTimeoutError,
    SerializationError,
    UnroutedError,
    event,
)
from eventing_core.memory import MemoryProvider
from eventing_core.provider import Destination, Done, Message, Observer, Producer


@event()
@dataclass
class Note:
    text: str


@event(durable=True)
@dataclass
class Kept:
    text: str


class Withholding(MemoryProvider):
    """Takes messages, and confirms them when it is told to."""

    def __init__(self) -> None:
        super().__init__("here")
        self.changed = threading.Condition()
        self.taken: list[Message] = []
        self.waiting: list[Callable[[Exception | None], None]] = []
        self.destinations: list[Destination] = []
        self.opened = 0

    def open(self, observer: Observer) -> None:
        self.opened += 1
        super().open(observer)

    def producer(self, destination: Destination) -> Producer:
        self.destinations.append(destination)
        return _WithholdingProducer(self)

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.taken) >= count, 5)

    def confirm(self, error: Exception | None = None) -> None:
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(error)


class _WithholdingProducer(Producer):
    def __init__(self, provider: Withholding) -> None:
        self.provider = provider

    def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
        provider = self.provider
        with provider.changed:
            for index, message in enumerate(batch):
                provider.taken.append(message)
                provider.waiting.append(lambda error, index=index: done(index, error))  # type: ignore[misc]
            provider.changed.notify_all()


@pytest.fixture
def provider() -> Withholding:
    return Withholding()


@pytest.fixture
def manager(provider: Withholding) -> Iterator[EventManager]:
    manager = EventManager(provider, listeners=[], pipelines=[])
    yield manager
    provider.confirm()
    manager.stop(1)


def in_thread(call: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def test_send_event_waits_for_the_confirmation(provider: Withholding, manager: EventManager) -> None:
    sent = in_thread(lambda: manager.send_event(Note("a"), headers={"k": "v"}))
    provider.wait_for(1)
    assert not sent.done()
    provider.confirm()
    assert sent.result(5) is None
    (message,) = provider.taken
    assert message.body == b'{"text":"a"}'
    assert message.headers == {"k": "v"}
    assert message.message_id == message.dedup_id != ""
    assert not message.durable
    assert provider.destinations == [Destination("Note")]


def test_ids_differ_and_durable_events_are_durable_messages(provider: Withholding, manager: EventManager) -> None:
    futures = [manager.submit_event(Kept("a")), manager.submit_event(Kept("a"))]
    assert [message.durable for message in provider.taken] == [True, True]
    assert len({message.message_id for message in provider.taken}) == 2
    provider.confirm()
    assert [future.result(5) for future in futures] == [None, None]
    assert provider.opened == 1


def test_an_error_of_the_broker_is_raised(provider: Withholding, manager: EventManager) -> None:
    sent = in_thread(lambda: manager.send_event(Note("a")))
    provider.wait_for(1)
    provider.confirm(SendRejectedError("address full"))
    with pytest.raises(SendRejectedError, match="address full"):
        sent.result(5)


def test_what_can_not_be_serialised_is_not_sent(provider: Withholding, manager: EventManager) -> None:
    with pytest.raises(SerializationError, match="'text'"):
        manager.send_event(Note(1))  # type: ignore[arg-type]
    with pytest.raises(HeaderError, match="eventing-x"):
        manager.send_event(Note("a"), headers={"eventing-x": "1"})
    with pytest.raises(DeclarationError, match="str is not an event class"):
        manager.send_event("a string")  # type: ignore[arg-type]
    assert provider.taken == []


def test_two_event_classes_of_one_name_are_an_error(provider: Withholding, manager: EventManager) -> None:
    @event("Note")
    @dataclass
    class Other:
        text: str

    manager.submit_event(Note("a"))
    with pytest.raises(DeclarationError, match=r"two events are named 'Note'.*Note.*Other"):
        manager.submit_event(Other("a"))


def test_send_events_is_lazy_and_keeps_a_window(provider: Withholding, manager: EventManager) -> None:
    drawn = 0

    def notes() -> Iterator[Note]:
        nonlocal drawn
        for number in range(10_000):
            drawn += 1
            yield Note(str(number))

    sent = in_thread(lambda: manager.send_events(notes()))
    provider.wait_for(4000)
    assert drawn <= 4001
    taken = 0
    while taken < 10_000:
        taken = min(taken + 4000, 10_000)
        provider.wait_for(taken)
        assert not sent.done()
        with provider.changed:
            provider.confirm()
    assert sent.result(5) is None
    assert [message.body for message in provider.taken] == [b'{"text":"%d"}' % number for number in range(10_000)]


def test_send_events_lists_what_failed_and_stops(provider: Withholding, manager: EventManager) -> None:
    drawn: list[int] = []

    def notes() -> Iterator[Note]:
        for number in range(10):
            drawn.append(number)
            yield Note(number) if number == 3 else Note(str(number))  # type: ignore[arg-type]

    sent = in_thread(lambda: manager.send_events(notes()))
    provider.wait_for(3)
    assert not sent.done()
    provider.waiting.pop(1)(SendTimeoutError("slow", in_doubt=True))
    provider.confirm()
    with pytest.raises(SendEventsError) as caught:
        sent.result(5)
    assert [(index, type(cause)) for index, cause in caught.value.failures] == [
        (1, SendTimeoutError),
        (3, SerializationError),
    ]
    assert caught.value.in_doubt
    assert caught.value.taken == 4
    assert drawn == [0, 1, 2, 3]


def test_an_iterable_that_raises_has_what_it_gave_confirmed_first(provider: Withholding, manager: EventManager) -> None:
    def notes() -> Iterator[Note]:
        yield Note("a")
        raise LookupError("source gone")

    sent = in_thread(lambda: manager.send_events(notes()))
    provider.wait_for(1)
    assert not sent.done()
    provider.confirm()
    with pytest.raises(LookupError, match="source gone"):
        sent.result(5)


def test_an_iterable_that_raises_hides_no_failure(provider: Withholding, manager: EventManager) -> None:
    def events() -> Iterator[Note]:
        yield Note("a")
        provider.wait_for(1)
        provider.confirm(SendRejectedError("no"))
        msg = "no more"
        raise RuntimeError(msg)

    with pytest.raises(SendEventsError) as caught:
        manager.send_events(events())
    assert [(index, type(error)) for index, error in caught.value.failures] == [(0, SendRejectedError)]
    assert str(caught.value.__cause__) == "no more"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", ["send_event", "submit_event"])
def test_an_interruption_of_a_send_leaves_nothing_taken(
    provider: Withholding, manager: EventManager, monkeypatch: pytest.MonkeyPatch, when: str, way: str
) -> None:
    manager.submit_event(Note("a"))
    provider.confirm()
    send = _WithholdingProducer.send

    def interrupted(*arguments: Any, **more: Any) -> None:
        if when == "after":
            send(*arguments, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(_WithholdingProducer, "send", interrupted)
    places = len(manager._sender._room)
    with pytest.raises(KeyboardInterrupt):
        getattr(manager, way)(Note("b"))
    assert len(manager._sender._in_flight) == 0
    assert len(manager._sender._room) == places
    provider.confirm()  # late, and once too often
    assert len(manager._sender._in_flight) == 0
    assert len(manager._sender._room) == places


def test_an_interruption_before_the_hand_over_gives_the_place_back(provider: Withholding) -> None:
    class Interrupted(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> None:
            raise KeyboardInterrupt

    manager = EventManager(provider, listeners=[], pipelines=[Interrupted], options=Options(max_in_flight=1))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            manager.submit_event(Note("a"), timeout=1)
    manager.stop()


def test_an_interruption_after_the_hand_over_gives_one_place_back_once(provider: Withholding) -> None:
    class Interrupted(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
            yield
            raise KeyboardInterrupt

    manager = EventManager(provider, listeners=[], pipelines=[Interrupted], options=Options(max_in_flight=2))
    room = manager._sender._room
    assert room.take("another send's", timeout=1)
    with pytest.raises(KeyboardInterrupt):
        manager.submit_event(Note("a"), timeout=1)
    assert len(room) == 2  # it is under way
    provider.confirm()
    assert len(room) == 1
    manager.stop()


def test_a_header_that_is_set_after_the_yield_is_too_late(provider: Withholding) -> None:
    class Late(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
            envelope.set("before", "1")
            yield
            envelope.set("after", "1")

    manager = EventManager(provider, listeners=[], pipelines=[Late])
    manager.submit_event(Note("a"))
    assert provider.taken[0].headers == {"before": "1"}
    provider.confirm()
    manager.stop()


def test_callbacks_of_a_future_run_on_a_thread_of_their_own(provider: Withholding, manager: EventManager) -> None:
    ran_on: Future[str] = Future()
    future = manager.submit_event(Note("a"))
    future.add_done_callback(lambda _: ran_on.set_result(threading.current_thread().name))
    provider.confirm()
    assert ran_on.result(5) == "eventing-callbacks"


def test_a_callback_that_is_added_after_the_stop_is_called(provider: Withholding, manager: EventManager) -> None:
    first: Future[None] = Future()
    future = manager.submit_event(Note("a"))
    future.add_done_callback(lambda _: first.set_result(None))
    provider.confirm()
    first.result(5)
    manager.stop()
    called: list[Future[None]] = []
    future.add_done_callback(called.append)
    assert called == [future]


def test_a_pipeline_that_sends_while_it_is_made_is_an_error_and_no_deadlock() -> None:
    provider = Withholding()

    class Announces(EnvelopePipeline):
        def __init__(self) -> None:
            sender.submit_event(Kept("made"))

    sender = EventManager(provider, listeners=[], pipelines=[Announces])
    with pytest.raises(ListenerCreationError, match="constructor can't send"):
        in_thread(lambda: sender.submit_event(Note("a"))).result(5)
    assert provider.taken == []
    sender.stop()


def test_a_cancelled_future_harms_nobody(provider: Withholding, manager: EventManager) -> None:
    future = manager.submit_event(Note("a"))
    assert future.cancel()
    provider.confirm()
    with pytest.raises(CancelledError):
        future.result(5)
    again = manager.submit_event(Note("b"))
    provider.confirm()
    assert again.result(5) is None


def test_submit_event_waits_for_room_and_then_gives_up() -> None:
    provider = Withholding()
    manager = EventManager(provider, listeners=[], pipelines=[], options=Options(max_in_flight=2))
    manager.submit_event(Note("a"))
    manager.submit_event(Note("b"))
    with pytest.raises(SendTimeoutError, match="2 submitted events are unconfirmed") as caught:
        manager.submit_event(Note("c"), timeout=0.01)
    assert not caught.value.in_doubt
    assert len(provider.taken) == 2
    provider.confirm()
    manager.submit_event(Note("d"))
    provider.confirm()
    manager.stop(1)


def test_send_event_async_awaits_the_confirmation(provider: Withholding, manager: EventManager) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(manager.send_event_async(Note(str(number)))) for number in range(3)]
        await asyncio.to_thread(provider.wait_for, 3)
        assert not any(task.done() for task in tasks)
        tasks[0].cancel()
        await asyncio.to_thread(provider.confirm)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [None, None]
        failing = asyncio.create_task(manager.send_event_async(Note("x")))
        await asyncio.to_thread(provider.wait_for, 4)
        await asyncio.to_thread(provider.confirm, SendRejectedError("no"))
        with pytest.raises(SendRejectedError):
            await failing

    asyncio.run(main())


def test_after_stop_every_way_to_send_is_refused(provider: Withholding, manager: EventManager) -> None:
    manager.submit_event(Note("a"))
    provider.confirm()
    manager.stop()
    for send in (manager.send_event, manager.submit_event):
        with pytest.raises(ManagerStoppedError, match="create a new one"):
            send(Note("b"))
    for events in ([Note("b")], []):
        with pytest.raises(ManagerStoppedError, match="create a new one"):
            manager.send_events(events)
    with pytest.raises(ManagerStoppedError):
        asyncio.run(manager.send_event_async(Note("b")))
    with pytest.raises(ManagerStoppedError):
        manager.start()
    assert len(provider.taken) == 1


def test_stop_waits_for_sends_under_way(provider: Withholding, manager: EventManager) -> None:
    future = manager.submit_event(Note("a"))
    stopped = in_thread(lambda: manager.stop(5))
    assert not stopped.done()
    assert not future.done()
    provider.confirm()
    stopped.result(5)
    assert future.result(0) is None


@pytest.mark.parametrize("unrouted", ["warn", "error", "ignore"])
def test_an_event_that_no_queue_takes(unrouted: Any, caplog: pytest.LogCaptureFixture) -> None:
    manager = EventManager(MemoryProvider("here"), listeners=[], pipelines=[], options=Options(unrouted=unrouted))
    if unrouted == "error":
        with pytest.raises(UnroutedError):
            manager.send_event(Note("a"))
    else:
        manager.send_event(Note("a"))
        manager.send_event(Note("b"))
    warnings = [record for record in caplog.records if "the event Note has no queue" in record.getMessage()]
    assert len(warnings) == (1 if unrouted == "warn" else 0)
    manager.stop()


def test_an_event_that_loses_its_queue_again_is_warned_of_again(caplog: pytest.LogCaptureFixture) -> None:
    provider = MemoryProvider("here")
    results: list[UnroutedError | None] = []

    class Told(Producer):
        def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
            for index in range(len(batch)):
                done(index, results.pop(0))

    provider.producer = lambda destination: Told()  # type: ignore[method-assign]
    manager = EventManager(provider, listeners=[], pipelines=[])
    lost = UnroutedError("no queue")
    results += [lost, lost, None, None, lost, lost]
    for _ in range(6):
        manager.send_event(Note("a"))
    warnings = [record for record in caplog.records if "the event Note has no queue" in record.getMessage()]
    assert len(warnings) == 2
    manager.stop()


def test_a_logging_handler_that_raises_costs_no_confirmation() -> None:
    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            msg = "the disk is full"
            raise OSError(msg)

    handler = Full()
    logger = logging.getLogger("eventing")
    logger.addHandler(handler)
    try:
        with EventManager(MemoryProvider("here"), listeners=[], pipelines=[]) as manager:
            manager.send_event(Note("nobody listens"), timeout=1)
            assert len(manager._sender._in_flight) == 0
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("can_start_threads", [True, False])
def test_the_first_async_send_of_an_event_does_not_block_the_loop(
    can_start_threads: bool,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(EnvelopePipeline):
        def __init__(self) -> None:
            begun.set()
            assert go_on.wait(5)

    class Exiting(ThreadPoolExecutor):
        def submit(self, *_: Any, **__: Any) -> Any:  # as Python 3.12 while it exits
            msg = "can't create new thread at interpreter shutdown"
            raise RuntimeError(msg)

    manager = EventManager(
        MemoryProvider("here"), listeners=[], pipelines=[Slow], options=Options(unrouted="ignore", send_timeout=5)
    )

    async def send_two() -> None:
        loop = asyncio.get_running_loop()
        if not can_start_threads:
            go_on.set()
            loop.set_default_executor(Exiting())
        first = asyncio.create_task(manager.send_event_async(Note("a")))
        if can_start_threads:
            await asyncio.to_thread(begun.wait, 5)
        second = asyncio.create_task(manager.send_event_async(Kept("b")))
        await asyncio.sleep(0)  # lets the second one begin
        go_on.set()
        await asyncio.gather(first, second)

    asyncio.run(send_two())
    manager.stop()


@pytest.mark.parametrize("headers", [[("a", "b")], "text", 5, [], "", 0])
def test_headers_that_are_no_mapping_are_refused_and_nothing_is_taken(
    provider: Withholding, manager: EventManager, headers: Any
) -> None:
    def never() -> Iterator[Note]:
        raise AssertionError
        yield

    for send in (manager.send_event, manager.submit_event):
        with pytest.raises(HeaderError, match=f"headers must be a dictionary .* of type {type(headers).__name__}"):
            send(Note("a"), headers=headers)
    with pytest.raises(HeaderError, match="headers must be a dictionary"):
        manager.send_events(never(), headers=headers)
    assert provider.taken == []


class Iterable(BaseModel):
    text: str


@pytest.mark.parametrize(
    ("given", "what"),
    [(Note("a"), "not one event"), (event()(Iterable)(text="a"), "not one event"), (5, "not an object of type int")],
)
def test_one_event_is_no_iterable_of_events(manager: EventManager, given: Any, what: str) -> None:
    with pytest.raises(DeclarationError, match=rf"{what}.*send_events\(\[\.\.\.\]\) or send_event\("):
        manager.send_events(given)


@pytest.mark.parametrize("given", [Note, Iterable])
def test_the_class_of_an_event_is_no_event(manager: EventManager, given: Any) -> None:
    with pytest.raises(
        DeclarationError, match=rf"the class .*{given.__qualname__} was given .* send_event\({given.__name__}\("
    ):
        manager.send_event(given)


@pytest.mark.parametrize("timeout", [float("nan"), -1, -math.inf, "5", True])
def test_a_time_limit_that_is_none_is_refused(provider: Withholding, manager: EventManager, timeout: Any) -> None:
    for send in (manager.send_event, manager.submit_event):
        with pytest.raises(ConfigError, match="timeout must be a number of seconds"):
            send(Note("a"), timeout=timeout)
    with pytest.raises(ConfigError, match="timeout must be a number of seconds"):
        manager.send_events([Note("a")], timeout=timeout)
    with pytest.raises(ConfigError, match="timeout must be a number of seconds"):
        asyncio.run(manager.send_event_async(Note("a"), timeout=timeout))
    with pytest.raises(ConfigError, match="stop: timeout must be a number of seconds"):
        manager.stop(timeout)
    assert provider.taken == []
    assert manager.health().state == "not started"


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**400, Fraction(10)], ids=["inf", "1e300", "int", "fraction"])
def test_a_time_limit_may_be_as_long_as_one_likes(provider: Withholding, manager: EventManager, timeout: Any) -> None:
    for send in (
        lambda: manager.send_event(Note("a"), timeout=timeout),
        lambda: manager.send_events([Note("a")], timeout=timeout),
    ):
        sent = in_thread(send)
        provider.wait_for(1)
        assert not sent.done()
        provider.taken.clear()
        provider.confirm()
        sent.result(5)
    manager.stop(timeout)


def test_pipelines_that_a_container_makes_under_its_lock_are_no_deadlock() -> None:
    in_container, in_start = threading.Event(), threading.Event()
    container_lock = threading.RLock()

    class Quiet(EnvelopePipeline):
        pass

    class Container:
        def get(self, kind: type[Any], /) -> Any:
            in_start.set()
            with container_lock:
                return kind()

    manager = EventManager(
        MemoryProvider("here"),
        environment=Container(),
        listeners=[],
        pipelines=[Quiet],
        options=Options(unrouted="ignore"),
    )

    def make_a_service_that_sends() -> None:
        with container_lock:
            in_container.set()
            assert in_start.wait(5)
            manager.send_event(Note("a"))

    made = in_thread(make_a_service_that_sends)
    assert in_container.wait(5)
    started = in_thread(manager.start)
    made.result(5)
    started.result(5)
    assert len(manager._get_pipelines()) == 1
    manager.stop()
