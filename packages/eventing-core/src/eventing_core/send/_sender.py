"""The way out: event, codec, pipelines, message, provider, confirmation."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from eventing_core.codec._codec import CONTENT_TYPE, Codec
from eventing_core.configure._options import Options
from eventing_core.declare._envelope import Envelope, check_header
from eventing_core.declare._event import describe_event, is_event
from eventing_core.declare._limits import seconds
from eventing_core.declare._pipeline import EnvelopePipeline
from eventing_core.declare._registry import EventRegistry
from eventing_core.errors import (
    DeclarationError,
    HeaderError,
    SendEventsError,
    SendTimeoutError,
)
from eventing_core.pipeline._chain import Chain
from eventing_core.provider import Destination, Message, Provider
from eventing_core.runtime._health import SendingHealth
from eventing_core.send._batches import Batches, LateHand, Told
from eventing_core.send._callbacks import CallbackThread, SendFuture
from eventing_core.send._in_flight import InFlight, Outgoing
from eventing_core.send._mailbox import Mailbox
from eventing_core.send._room import Room

_log = logging.getLogger("eventing")

#: How long beyond its deadline a provider may take to tell of a send, in seconds.
_GRACE = 5.0

R = TypeVar("R")


class Sender:
    """Sends the events of one manager. Thread-safe.

    An exception out of a signal handler, Ctrl-C above all, may come between any two calls on the main thread. So what
    has to change together here is changed by assignments alone, with no call between them, or is named, so that it can
    be taken back without knowing how far it has come. No provider, pipeline or logging handler is called under a lock.
    """

    def __init__(
        self,
        provider: Provider,
        options: Options,
        events: EventRegistry,
        connect: Callable[[], None],
        pipelines: Callable[[], Sequence[EnvelopePipeline]],
    ) -> None:
        self._provider = provider
        self._options = options
        self._events = events
        self._connect = connect
        self._pipelines = pipelines
        self._outgoing: dict[type[Any], Outgoing] = {}
        # Guards `_outgoing`, `_chain` and `_mailboxes` while they change; who only reads them takes no lock.
        self._lock = threading.Lock()
        self._chain: Chain | None = None
        self._prefix = uuid4().hex
        self._next_number = itertools.count(1).__next__
        self._room = Room(options.max_in_flight)
        self._callbacks = CallbackThread()
        self._late = LateHand()
        self._mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = weakref.WeakKeyDictionary()
        self._in_flight = InFlight(options, self._callbacks.owns_current_thread)

    # -- the four ways to send --------------------------------------------------------------------------------

    def send_event(self, event: object, headers: Mapping[str, str] | None, timeout: float | None) -> None:
        """Send and wait for the confirmation."""
        outgoing = self._outgoing_of(event)
        envelope = self._envelope(outgoing, event, headers)
        waiter = _Waiter()
        with self._around(outgoing, envelope):
            deadline = time.monotonic() + self._timeout(timeout)
            self._in_flight.hand_over(outgoing, (self._message_of(outgoing, envelope),), waiter, deadline)
            waiter.wait(deadline + _GRACE)

    def send_events(self, events: Iterable[object], headers: Mapping[str, str] | None, timeout: float | None) -> None:
        """Send many, a window of them at a time, and wait for all confirmations."""
        self._in_flight.refuse_if_stopped()
        _check_headers(headers)
        _check_events(events)
        limit = self._timeout(timeout)
        shared = dict(headers) if headers else {}

        def send(outgoing: Outgoing, batch: Sequence[Message], done: Told) -> None:
            self._in_flight.hand_over(outgoing, batch, done, time.monotonic() + limit)

        batches = Batches(send, self._late.timer(), limit + _GRACE)
        known = self._outgoing.get
        taken = 0
        cause: Exception | None = None
        try:
            for taken, event in enumerate(events, 1):
                try:
                    outgoing = known(type(event)) or self._outgoing_of(event)
                    body = outgoing.codec.encode(event)
                    if self._chain is None:
                        batches.add(outgoing, self._message(outgoing, body, shared))
                    else:
                        batches.make_room()
                        envelope = Envelope(body, shared)
                        with self._around(outgoing, envelope):
                            batches.add(outgoing, self._message_of(outgoing, envelope), alone=True)
                except Exception as error:  # noqa: BLE001 (told to the caller, with its index)
                    batches.fail(taken - 1, error)
                if batches.failures:
                    break
        except Exception as error:  # noqa: BLE001 (of the iterable; what it gave before is told all the same)
            cause = error
        finally:
            batches.end()
        if batches.failures:
            raise SendEventsError(sorted(batches.failures.items()), taken) from cause
        if cause is not None:
            raise cause

    def submit_event(self, event: object, headers: Mapping[str, str] | None, timeout: float | None) -> Future[None]:
        """Hand over, and return a future of the confirmation."""
        outgoing = self._outgoing_of(event)
        envelope = self._envelope(outgoing, event, headers)
        limit = self._timeout(timeout)
        handed_over = False
        place = object()

        def done(errors: Mapping[int, Exception]) -> None:
            self._room.give_back(place)
            if future.set_running_or_notify_cancel():
                if errors:
                    future.set_exception(errors[0])
                else:
                    future.set_result(None)

        try:
            self._take_room(place, limit)
            future = SendFuture(self._callbacks)
            with self._around(outgoing, envelope):
                self._in_flight.hand_over(
                    outgoing, (self._message_of(outgoing, envelope),), done, time.monotonic() + limit
                )
                handed_over = True
        except BaseException:
            if not handed_over:  # else the confirmation gives it back
                self._room.give_back(place)
            raise
        return future

    def _take_room(self, place: object, limit: float) -> None:
        if not self._room.take(place, limit):
            msg = f"{self._options.max_in_flight} submitted events are unconfirmed, and none was confirmed in {limit} s"
            raise SendTimeoutError(msg)

    async def send_event_async(self, event: object, headers: Mapping[str, str] | None, timeout: float | None) -> None:
        """Send and await the confirmation."""
        loop = asyncio.get_running_loop()
        outgoing = self._outgoing.get(type(event))
        if outgoing is None:
            outgoing = await _off_loop(loop, partial(self._outgoing_of, event))
        envelope = self._envelope(outgoing, event, headers)
        mailbox = self._mailboxes.get(loop)
        if mailbox is None:
            with self._lock:
                mailbox = self._mailboxes.setdefault(loop, Mailbox(loop))
        future: asyncio.Future[None] = loop.create_future()
        put = mailbox.put
        with self._around(outgoing, envelope):
            deadline = time.monotonic() + self._timeout(timeout)
            message = self._message_of(outgoing, envelope)
            self._in_flight.hand_over(outgoing, (message,), lambda errors: put(future, errors.get(0)), deadline)
            await future

    # -- the steps --------------------------------------------------------------------------------------------

    def _timeout(self, timeout: float | None) -> float:
        return seconds("timeout", timeout, self._options.send_timeout)

    def _outgoing_of(self, event: object) -> Outgoing:
        event_type = type(event)
        outgoing = self._outgoing.get(event_type)
        self._in_flight.refuse_if_stopped()
        if outgoing is None:
            if isinstance(event, type):
                msg = (
                    f"the class {event.__module__}.{event.__qualname__} was given where an event is needed. Send an "
                    f"object of it, as in send_event({event.__name__}(...))."
                )
                raise DeclarationError(msg)
            descriptor = self._events.add(describe_event(event_type))
            codec = Codec(descriptor)
            self._connect()
            # Not under the lock: a pipeline's constructor is the user's code, and may send.
            chain = Chain(self._pipelines(), "send")
            producer = self._provider.producer(Destination(descriptor.name, durable=descriptor.durable))
            with self._lock:
                self._chain = chain or None
                outgoing = self._outgoing.setdefault(event_type, Outgoing(descriptor, codec, producer))
        return outgoing

    def _envelope(self, outgoing: Outgoing, event: object, headers: Mapping[str, str] | None) -> Envelope:
        if headers is not None:
            _check_headers(headers)
        return Envelope(outgoing.codec.encode(event), headers)

    def _around(self, outgoing: Outgoing, envelope: Envelope) -> Any:
        chain = self._chain
        return _NOTHING if chain is None else chain.around(envelope, outgoing.descriptor)

    def _message_of(self, outgoing: Outgoing, envelope: Envelope) -> Message:
        """As it is now: what a pipeline sets after its yield is too late."""
        headers = envelope._headers  # noqa: SLF001 (the same package; the property makes a copy)
        return self._message(outgoing, envelope._body, headers if self._chain is None else dict(headers))  # noqa: SLF001 (see above)

    def _message(self, outgoing: Outgoing, body: bytes, headers: Mapping[str, str]) -> Message:
        number = f"{self._prefix}-{self._next_number()}"
        # By position: by names it takes twice as long.
        return Message(body, headers, number, number, CONTENT_TYPE, outgoing.descriptor.durable)

    def stamp(self) -> int:
        """A number that is one more than that of the last call, if no message was made in between."""
        return self._next_number()

    def health(self) -> SendingHealth:
        """The state of sending. Thread-safe."""
        return self._in_flight.health()

    # -- the end, as `InFlight` has it ------------------------------------------------------------------------

    def refuse_others(self, is_allowed: Callable[[], bool]) -> None:
        """Refuse further sends, but while ``is_allowed`` says yes, and for callbacks of futures."""
        self._in_flight.refuse_others(is_allowed)

    def refuse(self) -> None:
        """Refuse every further send."""
        self._in_flight.refuse()

    def refuse_when(self, quiet: Callable[[], bool]) -> bool:
        """Refuse every further send, if none is in flight and it is ``quiet``; whether it was."""
        return self._in_flight.refuse_when(quiet)

    def flush(self, timeout: float) -> bool:
        """Wait until every send is confirmed or failed. False after ``timeout`` seconds."""
        return self._in_flight.flush(timeout)

    def close(self, timeout: float) -> None:
        """End its threads."""
        self._late.stop()
        self._callbacks.stop(timeout)


_NOTHING = nullcontext()


async def _off_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], R]) -> R:
    """Await a call that may block: it connects, or makes pipelines, or waits for another thread that does.

    As `asyncio.to_thread`, but on this thread where none can be started: Python 3.12 can't while it exits.
    """
    try:
        running = loop.run_in_executor(None, contextvars.copy_context().run, call)
    except RuntimeError:
        return call()
    return await running


def _check_headers(headers: Mapping[str, str] | None) -> None:
    if headers is None:
        return
    if not isinstance(headers, Mapping):
        msg = f"headers must be a dictionary of strings, not of type {type(headers).__name__}"
        raise HeaderError(msg)
    for key, value in headers.items():
        check_header(key, value)


def _check_events(events: object) -> None:
    """Refuse one event: a pydantic model can be iterated over, and would give its fields."""
    if is_event(events) or not isinstance(events, Iterable):
        what = "one event" if is_event(events) else f"an object of type {type(events).__name__}"
        msg = f"send_events takes an iterable of events, not {what}. Write send_events([...]) or send_event(...)."
        raise DeclarationError(msg)


class _Waiter:
    """Waits for one confirmation. A bare lock is the cheapest event that Python has."""

    __slots__ = ("_error", "_lock")

    def __init__(self) -> None:
        # Guards nothing: it is held until the send is confirmed, and who waits for that asks for it, too.
        self._lock = threading.Lock()
        self._lock.acquire()
        self._error: Exception | None = None

    def __call__(self, errors: Mapping[int, Exception]) -> None:
        self._error = errors.get(0)
        try:
            self._lock.release()
        except RuntimeError:  # told twice, after an interruption
            return

    def wait(self, until: float) -> None:
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            msg = "the provider did not report the outcome of the send"
            raise SendTimeoutError(msg, in_doubt=True)
        if self._error is not None:
            raise self._error
