"""Retry copies, dead letters and the like: send a copy, have it confirmed, then accept the original.

No provider writes this part. A copy goes under a ``dedup_id`` of its own: sent under the original's, a
broker that removes duplicates would confirm and not store it, and accepting the original would lose
the event. The id is derived from the original's, so that a copy made twice is stored once. An id that was refused
is used up, and the next try has one of its own: a broker may have noted it before it refused the message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from eventing_core.errors import SendError
from eventing_core.provider import REDELIVERIES, Destination, Message, Provider, count_in
from eventing_core.receive._queues import dead_letters_of, queue_of
from eventing_core.receive._truncation import Refused, is_permanent, truncate
from eventing_core.runtime._log_words import sound, text_of, type_of

if TYPE_CHECKING:
    from eventing_core.declare._listener import EventListenerDescriptor

ATTEMPTS = "eventing-attempts"
UNCOUNTED = "eventing-uncounted-attempts"
FIRST_FAILED_AT = "eventing-first-failed-at"
REASON = "eventing-reason"
ERROR_TYPE = "eventing-error-type"
ERROR_MESSAGE = "eventing-error-message"
LISTENER = "eventing-listener"
EVENT = "eventing-event"
SERVER = "eventing-server"

#: By the reason of a dead letter, what its log line advises.
NEXT_STEPS = {
    "failed": "fix the cause, then replay it from there",
    "fatal": "not tried again, since Retry.fatal names its error; fix the cause, then replay it from there",
    "undecodable": "correct its sender or the event class, then replay it from there or remove it",
    "undeliverable": "the transport can't carry it; its error says where it is and what to do",
    "crash-loop": "find out what ends the process, such as its memory limit, before you replay it",
}


#: What a dead letter has in any case, and what may be cut short before a header of the user's is dropped.
_ESSENTIAL = frozenset({REASON, LISTENER, EVENT, ATTEMPTS})
_SHORTENED = frozenset({ERROR_TYPE, ERROR_MESSAGE, FIRST_FAILED_AT})


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


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy, and where it goes.

    Attributes:
        message: with an id for this try; the same as long as the broker may have stored it.
        destination: the listener's own queue, or that of its dead letters.
        original: what identifies the message that it is a copy of; empty where nothing does.
        delay: in seconds.
        whole: of a dead letter, all headers that it would have; of another copy None, since the next attempt must
            see the same event.
        step: how often less of them was left; see `eventing_core.receive._truncation`.
        tries: how many ids were used up before.
    """

    message: Message
    destination: Destination
    original: str = ""
    delay: float = 0.0
    whole: Mapping[str, str] | None = None
    step: int = 0
    tries: int = 0

    def numbered(self, tries: int) -> Copy:
        """With the id of that try; the first, 0, has the plain one."""
        plain = self.message.dedup_id.removesuffix(f"/try{self.tries}")
        dedup_id = f"{plain}/try{tries}" if tries else plain
        return replace(self, message=replace(self.message, dedup_id=dedup_id), tries=tries)

    def smaller(self, step: int) -> Copy | None:
        """With less in its headers; None where there is no more to leave out, or it has to stay whole."""
        headers = truncate(self.whole, step, keep=_ESSENTIAL, shorten=_SHORTENED) if self.whole is not None else None
        return replace(self, message=replace(self.message, headers=headers), step=step) if headers is not None else None


class Copies:
    """Makes and sends the copies of one listener. Thread-safe."""

    def __init__(self, provider: Provider, descriptor: EventListenerDescriptor, send_timeout: float) -> None:
        self._provider = provider
        self._descriptor = descriptor
        self._timeout = send_timeout
        self._queue = queue_of(descriptor, provider.server_name)
        self._dead = dead_letters_of(self._queue)
        #: How much less copies of a message must have, by what identifies it; and used-up ids, by the plain one.
        self._refused = Refused()
        self._used = Refused()

    @property
    def dead_letters(self) -> str:
        """What the broker calls the queue for the dead letters, for logs."""
        return self._provider.queue_name(self._dead)

    def retry(self, message: Message, failures: Failures, delay: float) -> Copy:
        """A copy for the listener's own queue."""
        # What didn't count makes an id of its own, too: under that of an earlier copy, this one would not be stored.
        number = f"{failures.attempts}.{failures.uncounted}" if failures.uncounted else f"{failures.attempts}"
        headers = self._headers(message, failures)
        copy = self._copy(message, headers, f"retry{number}", durable=message.durable)
        return self._numbered(Copy(copy, self._queue, _key_of(message), delay))

    def can_retry(self, message: Message) -> bool:
        """Whether the broker has not said lately that it can't store a retry copy of this message."""
        return not self._refused.step(f"retry {_key_of(message)}")

    def anew(self, message: Message, count: int, crashes: int = 0) -> Copy:
        """A copy for the listener's own queue, whose deliveries the broker counts anew; no attempt has failed.

        With so many crashes counted by it, for a broker that doesn't count.
        """
        headers = {**message.headers, REDELIVERIES: str(crashes)} if crashes else {**message.headers}
        return self._numbered(Copy(self._copy(message, headers, f"lost{count}", durable=message.durable), self._queue))

    def beside(self, message: Message) -> Copy:
        """A copy for the listener's own queue, of one that was there beside another that is to run alone."""
        # A fresh id: what was confirmed under an earlier one may be handled and gone.
        what = f"beside{uuid4().hex}"
        return Copy(self._copy(message, {**message.headers}, what, durable=message.durable), self._queue)

    def dead_letter(self, message: Message, failures: Failures, reason: str, error: BaseException) -> Copy:
        """A copy, with the reason in its headers, for the dead-letter queue."""
        headers = self._headers(message, failures)
        headers[REASON] = reason
        headers[ERROR_TYPE] = type_of(error)
        headers[ERROR_MESSAGE] = text_of(error)
        headers[LISTENER] = self._descriptor.name
        headers[EVENT] = self._descriptor.event.name
        headers[SERVER] = self._provider.server_name
        copy = self._copy(message, headers, f"dead{failures.attempts}", durable=True)
        whole = self._numbered(Copy(copy, self._dead, _key_of(message), whole=headers))
        known = self._refused.step(whole.original)
        return (whole.smaller(known) if known else None) or whole

    def smaller(self, copy: Copy, error: Exception) -> Copy | None:
        """What to send after a refusal instead: a copy with less in its headers. None: there is none, or no need."""
        if not is_permanent(error):
            return None
        step = copy.step + 1
        # Where nothing could be shortened, the first step would change nothing.
        smaller = copy.smaller(step)
        if smaller is not None and smaller.message.headers == copy.message.headers:
            step += 1
            smaller = copy.smaller(step)
        if smaller is not None:
            self._refused.note(copy.original, step)
            return self.after(smaller, error)
        if copy.whole is None and copy.original:
            self._refused.note(f"retry {copy.original}", 1)
        return None

    def after(self, copy: Copy, error: Exception) -> Copy:
        """The next try: under the same id where the broker may have stored it already, else under a fresh one."""
        if isinstance(error, SendError) and error.in_doubt:
            return copy
        again = copy.numbered(copy.tries + 1)
        self._used.note(copy.numbered(0).message.dedup_id, again.tries)
        return again

    def _numbered(self, copy: Copy) -> Copy:
        """Under an id that this process has not seen refused, in an earlier connection either."""
        return copy.numbered(self._used.step(copy.message.dedup_id))

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
        parent = sound(parent) or uuid4().hex
        return Message(
            body=message.body,
            headers=headers,
            message_id=sound(message.message_id) or parent,
            dedup_id=f"{parent}/{group}/{what}",
            content_type=sound(message.content_type),
            durable=durable,
        )


def redeliveries_of(message: Message) -> int:
    """What copies of it have counted."""
    return count_in(message.headers.get(REDELIVERIES, ""))


def _key_of(message: Message) -> str:
    return message.dedup_id or message.message_id
