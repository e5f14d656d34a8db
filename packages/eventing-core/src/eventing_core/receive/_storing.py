"""Copies, as a machine wants them stored: made, sent, and answered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from eventing_core.errors import CrashLoopError
from eventing_core.provider import Delivery
from eventing_core.receive._copies import FIRST_FAILED_AT, Copies, Copy, Failures
from eventing_core.receive._log import quietly
from eventing_core.receive._truncation import TRUNCATED, is_permanent
from eventing_core.receive.machine._actions import CopyKind, Reason, Store

_log = logging.getLogger("eventing")

#: ``answer(store, error)``: the copy is stored (None), or not.
Answer = Callable[[Store[Delivery], BaseException | None], None]


class Storing:
    """Has the copies of one listener stored. Thread-safe."""

    def __init__(self, copies: Copies, label: str, answer: Answer, wanted: Callable[[Store[Delivery]], bool]) -> None:
        """``wanted`` tells whether an answer still matters: a generation may have ended."""
        self._copies = copies
        self._label = label
        self._answer = answer
        self._wanted = wanted

    def store(self, store: Store[Delivery]) -> None:
        """Make a copy, unless it was made before, and send it. Decodes the message: on a thread of the core's."""
        copy = store.copy
        try:
            if not isinstance(copy, Copy):
                copy = self._make(store)
        except BaseException as error:
            self._answer(store, error)  # whatever it is, the original must not be accepted
            if isinstance(error, KeyboardInterrupt):
                raise
            return
        if copy is None:
            self._answer(store, RetryCopyError())
            return
        self._send(store, copy)

    def _make(self, store: Store[Delivery]) -> Copy | None:
        """The copy; None where the broker said lately that it can't store such a one."""
        message = store.delivery.message()
        failures = Failures(store.attempts, _first_failed(message.headers.get(FIRST_FAILED_AT), store), store.uncounted)
        if store.kind is CopyKind.RETRY:
            return self._copies.retry(message, failures, store.delay) if self._copies.can_retry(message) else None
        if store.kind is CopyKind.RECOUNT:
            return self._copies.anew(message, store.delivery.delivery_count, store.crashes)
        if store.kind is CopyKind.ASIDE:
            return self._copies.beside(message)
        reason = store.reason or Reason.FAILED
        cause = store.fault.cause if store.fault is not None else None
        if not isinstance(cause, BaseException):
            cause = CrashLoopError(
                f"delivered {store.crashes} times and never settled, not counting connections that this process lost "
                "and survived: handling it seems to kill the process"
            )
        return self._copies.dead_letter(message, failures, reason.value, cause)

    def _send(self, store: Store[Delivery], copy: Copy) -> None:
        store.copy = copy
        store.fault = None  # with its traceback, which holds the frames of the listener

        def done(error: Exception | None) -> None:
            if error is None:
                if copy.step and TRUNCATED in copy.message.headers:
                    self._warn_of_truncation(copy)
                self._answer(store, None)
                return
            smaller = self._copies.smaller(copy, error)
            if smaller is not None and self._wanted(store):
                self._send(store, smaller)
                return
            store.copy = smaller or self._copies.after(copy, error)
            self._answer(store, error)

        self._copies.send(copy, done)

    def _warn_of_truncation(self, copy: Copy) -> None:
        message = copy.message
        with quietly:
            _log.warning(
                "%s: the broker can't store the dead letter of event %s whole; it was stored without these headers: %s",
                self._label, message.message_id, message.headers[TRUNCATED],
            )  # fmt: skip


class RetryCopyError(Exception):
    """The broker has said lately that it can't store a retry copy of that message. Never raised."""

    def __str__(self) -> str:
        return "the broker can't store a retry copy of it"


def is_forever(error: BaseException) -> bool:
    """Whether the broker can never store that copy."""
    return isinstance(error, RetryCopyError) or (isinstance(error, Exception) and is_permanent(error))


def _first_failed(recorded: str | None, store: Store[Delivery]) -> str:
    if recorded:
        return recorded
    ago = time.monotonic() - store.first_failed if store.first_failed is not None else 0.0
    return (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="milliseconds")
