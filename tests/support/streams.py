"""Sending all the time."""

from __future__ import annotations

import itertools
import threading

from eventing_core.testing import Confirmations
from tests.support.bench import Bench


class Stream:
    """Sends numbers all the time, from a thread, and keeps the confirmed ones.

    Attributes:
        handed_over: how many were given to the provider.
        confirmed: those that the broker has, in the order of the confirmations.
        failed: errors of the others.
    """

    def __init__(self, bench: Bench, batch: int = 20) -> None:
        self.handed_over = 0
        self.confirmed: list[str] = []
        self.failed: list[Exception] = []
        self._bench = bench
        self._batch = batch
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        before: tuple[list[str], Confirmations] | None = None
        for first in itertools.count(step=self._batch):
            if self._stopped.is_set():
                break
            bodies = [str(first + step) for step in range(self._batch)]
            sent = self._bench.send(*bodies, seconds=100)
            self.handed_over += self._batch
            # One batch is on its way while the one before is waited for.
            if before:
                self._wait(*before)
            before = bodies, sent
        if before:
            self._wait(*before)

    def _wait(self, bodies: list[str], sent: Confirmations) -> None:
        for index, error in sent.wait(len(bodies)):
            if error is None:
                self.confirmed.append(bodies[index])
            else:
                self.failed.append(error)

    def stop(self) -> None:
        """Send no more, and wait for the confirmations."""
        self._stopped.set()
        self._thread.join()
