"""Having copies stored: send, have it confirmed, accept the original; where it fails, again with backoff."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Protocol

from eventing_core._copies import Copies, Copy, describe_error
from eventing_core._workers import Timer
from eventing_core.provider import Delivery

_log = logging.getLogger("eventing")

#: Waits between tries to store a copy: doubling from the first to the second, in seconds.
_BACKOFF = (0.5, 30.0)


class Owner(Protocol):
    """Who has copies stored."""

    def wants_copy(self, delivery: Delivery, *, again: bool) -> bool:
        """Whether the copy of a delivery is still to be sent, for the first time or again."""
        ...

    def copied(self, delivery: Delivery) -> None:
        """The copy is confirmed: accept the original."""

    def copying_changed(self) -> None:
        """`Copying.busy` may have become False."""


class Copying:
    """The copies of one listener that are on their way. Thread-safe.

    Attributes:
        error: which copy can't be stored, and why; empty for none. Of several, the first: that others were stored
            meanwhile changes nothing about it.
    """

    def __init__(self, copies: Copies, timer: Timer, label: str, owner: Owner) -> None:
        self.error = ""
        self._copies = copies
        self._timer = timer
        self._label = label
        self._owner = owner
        self._count = 0
        #: By the copies that are not stored after a try, what is wrong.
        self._flaws: dict[int, str] = {}
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """A copy was sent and is not answered; one that waits for another try doesn't count."""
        return self._count > 0

    def forget(self) -> None:
        """What can't be stored belongs to an older generation: the broker delivers it again."""
        with self._lock:
            self._flaws = {}
            self.error = ""

    def abandon(self) -> None:
        """In a child after a fork: a thread that isn't there any more may have held the lock."""
        self._lock = threading.Lock()

    def store(self, delivery: Delivery, copy: Copy) -> None:
        """Send a copy until it is confirmed, then have the original accepted; nothing is dropped meanwhile."""
        backoff = 0.0
        #: Of this generation; the next one has others.
        flaws = self._flaws

        def send() -> None:
            if self._owner.wants_copy(delivery, again=backoff > 0):
                with self._lock:
                    self._count += 1
                self._copies.send(copy, done)

        def done(error: Exception | None) -> None:
            nonlocal backoff
            event = f"event {copy.message.message_id}"
            flaw = f"a copy of {event} can't be stored: {error}" if error is not None else ""
            try:
                if error is None:
                    self._owner.copied(delivery)
                else:
                    backoff = min(backoff * 2, _BACKOFF[1]) or _BACKOFF[0]
                    self._timer.call_later(backoff, send)
            except Exception as problem:  # noqa: BLE001 (it is no business of the provider, which calls this)
                flaw = f"the copy of {event} is stored, and the original can't be settled: {describe_error(problem)}"
            finally:
                with self._lock:
                    if flaw:
                        flaws[id(copy)] = flaw
                    else:
                        flaws.pop(id(copy), None)
                    self.error = next(iter(self._flaws.values()), "")
                    self._count -= 1
                self._owner.copying_changed()
            if flaw:
                with contextlib.suppress(Exception):  # a logging handler that raises is none, either
                    _log.error("%s: %s; the original stays with the broker", self._label, flaw)

        send()
