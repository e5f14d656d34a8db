"""A broker, processes that send and listen, and what they wrote down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from examples.artemis import Artemis
from tests.faults.terms import Figures, Terms
from tests.support.plain import PlainClient
from tests.support.processes import Numbers, Worker
from tests.support.waiting import until

#: Of one event and its listeners; each stage has a broker of its own.
EVENT = "Event"

#: A queue of which nothing was taken for so long is stuck, in seconds. Over STOMP Artemis 2.44 can stand still for 10.
_STUCK = 12.0


class Stage:
    """A broker of its own, and worker processes on it, all gone at the end of the block. Not thread-safe.

    Attributes:
        broker: Artemis; of several, the one that serves.
        submitted: events that the sender handed over.
        confirmed: those whose send returned.
        failed: those whose send raised.
    """

    def __init__(self, terms: Terms, **options: Any) -> None:
        """The options are those of `Artemis`."""
        self.terms = terms
        self.broker = self.make_broker("broker", **options)
        self.queues = [f"Listener{number}" for number in range(terms.listeners)]
        self.submitted, self.confirmed, self.failed = (
            self.numbers(name) for name in ("submitted", "confirmed", "failed")
        )
        self.handled = [self.numbers(queue) for queue in self.queues]
        self._held = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.add(self.broker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def make_broker(self, name: str, **options: Any) -> Artemis:
        """Prepare a broker, with the options of `Artemis`."""
        return Artemis(folder=self.terms.folder / name, short_lived=self.terms.scale < 1, **options)

    def add(self, broker: Artemis) -> None:
        """Start a broker; it ends with the block. Its log stays where something failed."""
        self._stack.push(lambda kind, _error, _traceback: broker.close(keep=kind is not None))
        broker.start()

    def numbers(self, name: str) -> Numbers:
        """A file of numbers that a worker writes."""
        return Numbers(self.terms.folder / name)

    def worker(self, name: str, *arguments: str | Path, **settings: Any) -> Worker:
        """Start a process; it has said that it is ready."""
        log = self.terms.folder / f"{name}.log"
        worker = Worker(self.broker, name, log, *arguments, provider=self.terms.over, **settings)
        self._stack.enter_context(worker)
        worker.expect("ready")
        return worker

    def listen(self, name: str = "listener", *options: str, **settings: Any) -> Worker:
        """Start a process that listens."""
        words = ("--rounds", str(self.terms.rounds), "--concurrency", str(self.terms.concurrency))
        return self.worker(name, "listen", *words, *options, EVENT, self.terms.folder, *self.queues, **settings)

    def send(self, count: int, *, pace: float = 0.0, **settings: Any) -> Worker:
        """Start a process that sends so many events, as fast as it can; with 0, until its input ends."""
        words = ("--count", str(count), "--pace", str(pace))
        return self.worker("sender", "send", *words, EVENT, self.terms.folder, **settings)

    def handled_count(self) -> int:
        """Calls of ``on`` that returned, by the listener that has the fewest."""
        return min(len(each) for each in self.handled)

    def kill_broker(self) -> int:
        """Kill the broker that serves; how many sends were under way.

        Raises:
            AssertionError: there were none.
        """
        self.broker.kill()
        under_way = len(self.submitted) - len(self.confirmed) - len(self.failed)
        assert under_way > 0, "the broker was killed while nothing was being sent"
        return under_way

    def drain(self) -> None:
        """Wait until the queues are empty. What it took a restart of the broker to get is told by `account`.

        Over STOMP alone: where connections break, Artemis 2.44 holds some back until then (decision 22).
        """
        self._held = self._left()
        if self._held:
            assert self.terms.over == "stomp", f"{self._held} messages stay in the queues"
            self.broker.restart()
            assert not self._left(), "messages stay in the queues, after a restart of the broker, too"

    def _left(self) -> int:
        """How many messages are there once no more are taken."""
        with PlainClient(self.broker) as plain:
            before, since = -1, time.monotonic()

            def is_over() -> bool:
                nonlocal before, since
                now = sum(plain.count(queue) for queue in self.queues)
                if now != before:
                    before, since = now, time.monotonic()
                return now == 0 or time.monotonic() - since > _STUCK

            until(is_over, lambda: f"the queues are empty: {before} left", 600)
            return before

    def account(self, failing: Collection[int] = ()) -> Figures:
        """Compare what was confirmed with what was handled, once all is over; those ``failing`` are dead letters.

        Raises:
            AssertionError: something that was confirmed is lost, or dead-lettered, or was handled and never sent.
        """
        confirmed, submitted = set(self.confirmed.read()), set(self.submitted.read())
        failed = confirmed & {*failing}
        twice = lost = 0
        for each in self.handled:
            times = Counter(each.read())
            lost += len(confirmed - times.keys() - failed)
            twice += sum(calls - 1 for calls in times.values())
            assert times.keys() <= submitted, "something was handled that was never sent"
        figures: Figures = {
            "events confirmed": len(confirmed),
            "sends that failed": len(self.failed),
            "lost": lost,
            "handled more than once": twice,
            "dead letters": self.dead_letters(),
        }
        if self.terms.over == "stomp":
            figures["held back by the broker until its restart"] = self._held
        assert not lost, f"lost events: {figures}"
        # More where a failing one came again after its dead letter was stored; over STOMP no broker notices that.
        letters, expected = self.dead_letters(), len(failed) * len(self.queues)
        assert letters >= expected, f"lost dead letters: {letters} of {expected}"
        assert letters == 0 or failed, f"no event may be dead-lettered: {figures}"
        return figures

    def dead_letters(self) -> int:
        """How many there are, of ours and in the broker's own queue for them."""
        with PlainClient(self.broker) as plain:
            return sum(plain.count(queue) for queue in [*(f"{queue}.dead" for queue in self.queues), "DLQ"])


def resources(worker: Worker) -> tuple[int, int, int]:
    """A process's threads, its file descriptors, and its resident memory in KiB."""
    folder = Path("/proc") / str(worker.pid)
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    descriptors = len(list((folder / "fd").iterdir()))
    return int(status["Threads"]), descriptors, int(status["VmRSS"].split()[0])
