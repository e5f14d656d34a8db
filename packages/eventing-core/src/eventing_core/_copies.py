"""Retry copies, dead letters and the like: send a copy, have it confirmed, then accept the original.

No provider writes this part. A copy goes under a ``dedup_id`` of its own: sent under the original's, a
broker that removes duplicates would confirm and not store it, and accepting the original would lose
the event. The id is derived from the original's, so that a copy made twice is stored once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING
from uuid import uuid4

from eventing_core.provider import REDELIVERIES, Destination, Message, Provider, count_in

if TYPE_CHECKING:
    from eventing_core._listener import EventListenerDescriptor

ATTEMPTS = "eventing-attempts"
UNCOUNTED = "eventing-uncounted-attempts"
FIRST_FAILED_AT = "eventing-first-failed-at"
REASON = "eventing-reason"
ERROR_TYPE = "eventing-error-type"
ERROR_MESSAGE = "eventing-error-message"
LISTENER = "eventing-listener"
EVENT = "eventing-event"
SERVER = "eventing-server"

#: Characters of an exception's text that a dead letter keeps.
_MESSAGE_LIMIT = 1000

_PACKAGE = __name__.partition(".")[0] + "."


@dataclass(slots=True)
class Failures:
    """How often one delivery's event has failed, over copies and in this process.

    Attributes:
        attempts: failures that count.
        uncounted: failures while its listener was paused.
    """

    attempts: int
    first_failed_at: str
    uncounted: int = 0

    @classmethod
    def of(cls, message: Message) -> Failures:
        """Read what earlier copies recorded."""
        headers = message.headers
        first = headers.get(FIRST_FAILED_AT) or datetime.now(UTC).isoformat(timespec="milliseconds")
        return cls(count_in(headers.get(ATTEMPTS, "")), first, count_in(headers.get(UNCOUNTED, "")))


def queue_of(descriptor: EventListenerDescriptor, server_name: str) -> Destination:
    """The listener's own queue."""
    event = descriptor.event
    member = server_name if descriptor.per_process else ""
    return Destination(event.name, descriptor.group, member, "queue", event.durable)


def dead_letters_of(queue: Destination) -> Destination:
    """The queue for the dead letters of a queue."""
    return Destination(queue.topic, queue.group, queue.member, "dead", durable=True)


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy, and where it goes. Made once, however often it is sent: its ids stay the same."""

    message: Message
    destination: Destination
    delay: float = 0.0


class Copies:
    """Makes and sends the copies of one listener. Thread-safe."""

    def __init__(self, provider: Provider, descriptor: EventListenerDescriptor, send_timeout: float) -> None:
        self._provider = provider
        self._descriptor = descriptor
        self._timeout = send_timeout
        self._queue = queue_of(descriptor, provider.server_name)
        self._dead = dead_letters_of(self._queue)

    def retry(self, message: Message, failures: Failures, delay: float) -> Copy:
        """A copy for the listener's own queue."""
        # What didn't count makes an id of its own, too: under that of an earlier copy, this one would not be stored.
        number = f"{failures.attempts}.{failures.uncounted}" if failures.uncounted else f"{failures.attempts}"
        headers = self._headers(message, failures)
        return Copy(self._copy(message, headers, f"retry{number}", durable=message.durable), self._queue, delay)

    def anew(self, message: Message, count: int, crashes: int = 0) -> Copy:
        """A copy for the listener's own queue, whose deliveries the broker counts anew; no attempt has failed.

        With so many crashes counted by it, for a broker that doesn't count.
        """
        headers = {**message.headers, REDELIVERIES: str(crashes)} if crashes else {**message.headers}
        return Copy(self._copy(message, headers, f"lost{count}", durable=message.durable), self._queue)

    def beside(self, message: Message) -> Copy:
        """A copy for the listener's own queue, of one that was there beside another that is to run alone."""
        # A fresh id: what was confirmed under an earlier one may be handled and gone.
        what = f"beside{uuid4().hex}"
        return Copy(self._copy(message, {**message.headers}, what, durable=message.durable), self._queue)

    def dead_letter(self, message: Message, failures: Failures, reason: str, error: BaseException) -> Copy:
        """A copy, with the reason in its headers, for the dead-letter queue."""
        headers = self._headers(message, failures)
        headers[REASON] = reason
        headers[ERROR_TYPE] = _type_of(error)
        headers[ERROR_MESSAGE] = _text_of(error)
        headers[LISTENER] = self._descriptor.name
        headers[EVENT] = self._descriptor.event.name
        headers[SERVER] = self._provider.server_name
        return Copy(self._copy(message, headers, f"dead{failures.attempts}", durable=True), self._dead)

    def send(self, copy: Copy, done: Callable[[Exception | None], None]) -> None:
        """Send a copy; ``done`` is called once."""
        deadline = time.monotonic() + self._timeout
        try:
            producer = self._provider.producer(copy.destination)
            producer.send((copy.message,), lambda _, error: done(error), deadline=deadline, delay=copy.delay)
        except Exception as error:  # noqa: BLE001 (whatever it is, the original must not be accepted)
            done(error)

    @staticmethod
    def _headers(message: Message, failures: Failures) -> dict[str, str]:
        headers = {
            **message.headers,
            ATTEMPTS: str(failures.attempts),
            FIRST_FAILED_AT: failures.first_failed_at,
        }
        if failures.uncounted:
            headers[UNCOUNTED] = str(failures.uncounted)
        # What fails is no crash; and what is dead and comes back by somebody's hand begins anew.
        headers.pop(REDELIVERIES, None)
        return headers

    def _copy(self, message: Message, headers: dict[str, str], what: str, *, durable: bool) -> Message:
        # The listener's name is part of the id: two listeners of one event copy the same original,
        # and a broker may look for duplicates by address, which their queues share.
        group = self._queue.group + (f"-{self._queue.member}" if self._queue.member else "")
        # A stranger's message without such an id gets a fresh one. Its message_id wouldn't do: nobody
        # promises that it is unique, and the copy of a second one would be taken for a duplicate.
        parent = message.dedup_id
        for end in ("retry", "beside"):
            parent = parent.partition(f"/{group}/{end}")[0]
        parent = parent or uuid4().hex
        return Message(
            body=message.body,
            headers=headers,
            message_id=message.message_id or parent,
            dedup_id=f"{parent}/{group}/{what}",
            content_type=message.content_type,
            durable=durable,
        )


def redeliveries_of(message: Message) -> int:
    """What copies of it have counted."""
    return count_in(message.headers.get(REDELIVERIES, ""))


def describe_error(error: BaseException) -> str:
    """Type and text of an error, for a log line."""
    kind, text = type(error).__qualname__, _text_of(error)
    return f"{kind}: {text}" if text else kind


def traceback_of(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """For a log line's ``exc_info``: the traceback from where the user's own code begins."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        trace = trace.tb_next
    return type(error), error, trace or error.__traceback__


def _type_of(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _text_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 (a broken __str__ must not keep an event from its dead-letter queue)
        text = "(its text can't be had)"
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode("utf-8", "replace").decode()[:_MESSAGE_LIMIT]
