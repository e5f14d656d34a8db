"""What is done with a manager, in threads and coroutines, and what listeners do."""

from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import dataclass
from typing import Any

from eventing_core import (
    Envelope,
    EnvelopePipeline,
    EventListener,
    EventManager,
    Retry,
    event,
    event_listener,
)
from eventing_core.errors import EventingError
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.provider import Destination, Message
from eventing_core.testing import isolated_declarations
from tests.mistakes.declaring import OnPlaced, Paid, Placed
from tests.mistakes.table import Group, Stage
from tests.support.waiting import until

LIVING = Group("living")

#: How long a log line may take, in seconds.
_SOON = 10.0


@LIVING.add("a send after stop", "stopped", fix="create a new one")
def _(stage: Stage) -> None:
    manager = stage.manager()
    manager.start()
    manager.stop()
    manager.send_event(Placed())


@LIVING.add("a second start after stop", "stopped", fix="create a new one")
def _(stage: Stage) -> None:
    manager = stage.manager()
    manager.start()
    manager.stop()
    manager.start()


@LIVING.add("run on another thread", "run()", fix="use start() and stop()")
def _(stage: Stage) -> None:
    raised: list[EventingError] = []

    def run() -> None:
        try:
            stage.manager().run()
        except EventingError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    raise raised[0]


@LIVING.add("a blocking send on the listeners' loop", "send_event", fix="await send_event_async(", by_log=True)
def _(stage: Stage) -> None:
    manager: list[EventManager] = []

    @event_listener(Placed, retry=Retry(max_attempts=1))
    class OnAsync(EventListener[Placed]):
        async def on(self, event: Placed) -> None:
            manager[0].send_event(Paid())

    manager.append(stage.manager(OnAsync))
    manager[0].start()
    manager[0].send_event(Placed())
    until(lambda: "send_event_async" in str(stage.logged()), "it is said", _SOON)


@LIVING.add("an event that nobody listens to", "Placed", fix="Start one first", by_log=True)
def _(stage: Stage) -> None:
    stage.manager().send_event(Placed())


@LIVING.add("an event that nobody listens to, where that is an error", "Placed", fix="Start one before sending")
def _(stage: Stage) -> None:
    stage.manager(unrouted="error").send_event(Placed())


@LIVING.add("one event in place of several", "send_events", fix="Write send_events([...])")
def _(stage: Stage) -> None:
    stage.manager().send_events(Placed())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@LIVING.add("a field of the wrong type", "Placed", "'number'", "but its type is int", fix="Send a value of that type")
def _(stage: Stage) -> None:
    stage.manager().send_event(Placed(number="seven"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@LIVING.add("NaN in an event", "Measured", "value", fix="Send None")
def _(stage: Stage) -> None:
    @event()
    @dataclass
    class Measured:
        value: float

    stage.manager().send_event(Measured(math.nan))


@LIVING.add("a number as a header", "'tenant'", fix="convert it with str()")
def _(stage: Stage) -> None:
    stage.manager().send_event(Placed(), headers={"tenant": 7})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


@LIVING.add("a header of a transport", "'eventing-attempts'", fix="choose another")
def _(stage: Stage) -> None:
    stage.manager().send_event(Placed(), headers={"eventing-attempts": "7"})


@LIVING.add("an empty header", "''", fix="choose a non-empty printable string")
def _(stage: Stage) -> None:
    stage.manager().send_event(Placed(), headers={"": "x"})


@LIVING.add(
    "a listener that raises",
    "OnRaising",
    "ValueError",
    "Placed::OnRaising.dead",
    fix="fix the cause, then replay it",
    by_log=True,
)
def _(stage: Stage) -> None:
    @event_listener(Placed, retry=Retry(max_attempts=1))
    class OnRaising(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            raise ValueError("no stock")

    manager = stage.manager(OnRaising)
    manager.start()
    manager.send_event(Placed())
    until(lambda: "dead" in str(stage.logged()), "it is said", _SOON)


@LIVING.add("an async on that takes too long", "OnSlow", "timeout", fix="0.05 s", by_log=True)
def _(stage: Stage) -> None:
    @event_listener(Placed, timeout=0.05, retry=Retry(max_attempts=1))
    class OnSlow(EventListener[Placed]):
        async def on(self, event: Placed) -> None:
            await asyncio.Event().wait()

    manager = stage.manager(OnSlow)
    manager.start()
    manager.send_event(Placed())
    until(lambda: "timeout" in str(stage.logged()), "it is said", _SOON)


@LIVING.add("a plain on that returns a coroutine", "OnCoroutine", fix="write 'async def on'", by_log=True)
def _(stage: Stage) -> None:
    @event_listener(Placed, retry=Retry(max_attempts=1))
    class OnCoroutine(EventListener[Placed]):
        def on(self, event: Placed) -> Any:
            async def work() -> None:
                pass

            return work()

    manager = stage.manager(OnCoroutine)
    manager.start()
    manager.send_event(Placed())
    until(lambda: "async def on" in str(stage.logged()), "it is said", _SOON)


@LIVING.add(
    "a body of another program that isn't the event",
    "OnPlaced",
    "Placed",
    "number",
    fix="correct its sender or the event class",
    by_log=True,
)
def _(stage: Stage) -> None:
    broker = MemoryBroker()
    manager = stage.manager(OnPlaced, provider=MemoryProvider("server", broker))
    manager.start()
    other = MemoryProvider("other", broker)
    other.open(lambda *_: None)
    try:
        message = Message(body=b'{"number": "seven"}', message_id="1", dedup_id="1")
        other.producer(Destination("Placed")).send([message], lambda *_: None, deadline=math.inf)
        until(lambda: "dead" in str(stage.logged()), "it is said", _SOON)
    finally:
        other.close(1)


@LIVING.add("a pipeline that doesn't yield", "Empty.send", fix="Let it yield exactly once")
def _(_: Stage) -> None:
    class Empty(EnvelopePipeline):
        def send(self, envelope: Envelope, descriptor: Any) -> Any:
            if envelope is None:
                yield

    with EventManager(MemoryProvider("server", MemoryBroker()), listeners=[], pipelines=[Empty()]) as manager:
        manager.send_event(Placed())


@LIVING.add("a header that isn't there", "'tenant'", fix="pass a default if it may be missing")
def _(_: Stage) -> None:
    Envelope(b"{}").get("tenant")


@LIVING.add(
    "a listener that never returns, at stop", "OnStuck", fix="Raise stop_timeout, or end 'on' sooner", by_log=True
)
def _(stage: Stage) -> None:
    begun, over = threading.Event(), threading.Event()

    @event_listener(Placed)
    class OnStuck(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            begun.set()
            over.wait(30)

    manager = stage.manager(OnStuck, stop_timeout=0.2)
    manager.start()
    manager.send_event(Placed())
    begun.wait(_SOON)
    manager.stop()
    over.set()


@LIVING.add("no listener is declared where it starts", "listeners", fix="Import", by_log=True)
def _(_: Stage) -> None:
    with isolated_declarations(empty=True), EventManager(MemoryProvider("server", MemoryBroker()), pipelines=[]):
        pass


@LIVING.add("a blocking send in a coroutine", "living.py", fix="await send_event_async(", by_log=True)
def _(stage: Stage) -> None:
    manager = stage.manager()

    async def main() -> None:
        manager.send_event(Placed())

    asyncio.run(main())


@LIVING.add("an async listener that blocks its loop", "OnBlocking", "living.py", fix="asyncio.to_thread", by_log=True)
def _(stage: Stage) -> None:
    over = threading.Event()

    @event_listener(Placed)
    class OnBlocking(EventListener[Placed]):
        async def on(self, event: Placed) -> None:
            over.wait(_SOON)

    manager = stage.manager(OnBlocking)
    manager.start()
    manager.send_event(Placed())
    until(lambda: "OnBlocking" in str(stage.logged()), "it is said", _SOON)
    over.set()
