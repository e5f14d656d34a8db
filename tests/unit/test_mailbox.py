"""Results on their way to event loops: nothing keeps a closed loop alive."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Sequence

import pytest

from eventing_core import EventManager, Options
from eventing_core.memory import MemoryProvider
from eventing_core.provider import Destination, Done, Message, Producer
from eventing_core.send._mailbox import Mailbox
from tests.support.dispatching import Tick


class Withholding(MemoryProvider):
    """Confirms when it is told to."""

    def __init__(self) -> None:
        super().__init__("here")
        self.waiting: list[Done] = []

    def producer(self, destination: Destination) -> Producer:
        waiting = self.waiting

        class Keeps(Producer):
            def send(self, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0) -> None:
                waiting.append(done)

        return Keeps()

    def confirm(self) -> None:
        while self.waiting:
            self.waiting.pop()(0, None)


def alive(loops: list[weakref.ref[asyncio.AbstractEventLoop]]) -> int:
    gc.collect()
    return sum(loop() is not None for loop in loops)


@pytest.mark.parametrize("when", ["after", "before"])
def test_closed_loops_are_forgotten(when: str) -> None:
    """Those that were closed before a confirmation came, and just after, before it was delivered."""
    provider = Withholding()
    manager = EventManager(provider, listeners=[], pipelines=[], options=Options(unrouted="ignore"))
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []
    for number in range(50):
        loop = asyncio.new_event_loop()
        loops.append(weakref.ref(loop))
        tasks = [loop.create_task(manager.send_event_async(Tick(number))) for _ in range(2)]
        while len(provider.waiting) < 2:
            loop.run_until_complete(asyncio.sleep(0))
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(loop.shutdown_default_executor())
        if when == "before":
            provider.confirm()  # scheduled, and never run
        loop.close()
        provider.confirm()
        del loop, task, tasks
    assert alive(loops) <= 1  # the last one's frames may be alive
    manager.stop()


def test_many_results_cost_one_wake_up_and_each_is_delivered() -> None:
    async def receive() -> list[int]:
        loop = asyncio.get_running_loop()
        mailbox, futures = Mailbox(loop), [loop.create_future() for _ in range(300)]
        go_on = threading.Event()

        def put() -> None:
            for at, future in enumerate(futures):
                mailbox.put(future, ValueError(str(at)) if at % 2 else None)
                if at == 99:
                    go_on.set()

        thread = threading.Thread(target=put)
        thread.start()
        await loop.run_in_executor(None, go_on.wait, 5)
        results = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 5)
        thread.join()
        return [at for at, result in enumerate(results) if (result is None) == (at % 2 == 0)]

    assert asyncio.run(receive()) == list(range(300))


def test_a_result_for_a_closed_loop_is_nobodys() -> None:
    loop = asyncio.new_event_loop()
    mailbox, future = Mailbox(loop), loop.create_future()
    loop.close()
    for _ in range(3):
        mailbox.put(future, None)
    assert not future.done()
    gone = weakref.ref(loop)
    del loop, future
    gc.collect()
    assert gone() is None
    assert mailbox._on_its_way is None or mailbox._on_its_way() is None
