"""What the demo prints and counts."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from examples.orders.session import current_session


@dataclass(frozen=True)
class Server:
    """One process of the order system. The demo runs two in one process, so that both print here."""

    name: str


class Journal:
    """Prints what happens, as it happens, and counts it. Thread-safe.

    Args:
        run: what all sessions of this run begin with.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._start = time.monotonic()
        self._changed = threading.Condition()  # guards the counts, and that lines are printed one at a time
        self._counts: Counter[str] = Counter()

    def say(self, who: str, text: str) -> None:
        """Print a line."""
        with self._changed:
            print(f"{time.monotonic() - self._start:6.2f} s  {who:<8}  {current_session():<12}  {text}", flush=True)

    def count(self, *keys: str) -> None:
        """Add one to each of these counts."""
        if not current_session().startswith(self._run):
            return  # an interrupted run left it on the broker
        with self._changed:
            self._counts.update(keys)
            self._changed.notify_all()

    def counts(self) -> Counter[str]:
        """A copy of the counts."""
        with self._changed:
            return self._counts.copy()

    def wait_for(self, complete: Callable[[Counter[str]], bool], timeout: float) -> bool:
        """Wait until the counts are complete; False after ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: complete(self._counts), timeout)


class JournalHandler(logging.Handler):
    """Shows what Eventing logs as lines of the journal, with the error's text instead of its traceback."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.INFO)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        error = record.exc_info[1] if record.exc_info else None
        self._journal.say("eventing", record.getMessage() + (f" ({error})" if error else ""))
