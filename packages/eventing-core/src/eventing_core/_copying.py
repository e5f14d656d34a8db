"""Having copies stored: send, have it confirmed, accept the original; where it fails, again with backoff."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from eventing_core._copies import Copies, Copy, describe_error
from eventing_core._truncation import TRUNCATED, is_permanent
from eventing_core.provider import Delivery
from eventing_core.provider._timer import Timer

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

    def store(self, delivery: Delivery, copy: Copy, otherwise: Callable[[], None] | None = None) -> None:
        """Send a copy until it is confirmed, then have the original accepted; nothing is accepted before.

        A dead letter that the broker can never store as it is goes without some of its headers. Where another copy is
        like that, ``otherwise`` is called instead, or it is tried on.
        """
        backoff = 0.0
        #: Of this generation; the next one has others.
        flaws, key = self._flaws, id(delivery)

        def send() -> None:
            if self._owner.wants_copy(delivery, again=backoff > 0):
                with self._lock:
                    self._count += 1
                self._copies.send(copy, done)

        def done(error: Exception | None) -> None:
            nonlocal backoff, copy
            smaller = self._copies.smaller(copy, error) if error is not None else None
            if smaller is not None:
                copy = smaller
                try:
                    send()
                finally:
                    with self._lock:
                        self._count -= 1
                return
            instead = otherwise if error is not None and is_permanent(error) else None
            event = f"event {copy.message.message_id}"
            flaw = f"a copy of {event} can't be stored: {error}" if error is not None else ""
            try:
                if error is None:
                    self._owner.copied(delivery)
                elif instead is not None:
                    instead()
                else:
                    copy = self._copies.after(copy, error)
                    backoff = min(backoff * 2, _BACKOFF[1]) or _BACKOFF[0]
                    self._timer.call_later(backoff, send)
            except Exception as problem:  # noqa: BLE001 (it is no business of the provider, which calls this)
                flaw = f"{event}, of which a copy was sent, can't be settled: {describe_error(problem)}"
                instead = None
            finally:
                with self._lock:
                    if flaw and instead is None:
                        flaws[key] = flaw
                    else:
                        flaws.pop(key, None)
                    self.error = next(iter(self._flaws.values()), "")
                    self._count -= 1
                self._owner.copying_changed()
            with contextlib.suppress(Exception):  # a logging handler that raises is no business of its, either
                self._report(copy, flaw, stays=instead is None)

        send()

    def _report(self, copy: Copy, flaw: str, *, stays: bool) -> None:
        message = copy.message
        if flaw and stays:
            _log.error("%s: %s; the original stays with the broker", self._label, flaw)
        elif flaw:
            _log.warning("%s: %s; event %s waits in this process instead", self._label, flaw, message.message_id)
        elif copy.step and TRUNCATED in message.headers:
            _log.warning(
                "%s: the broker can't store the dead letter of event %s whole; it was stored without these headers: %s",
                *(self._label, message.message_id, message.headers[TRUNCATED]),
            )
