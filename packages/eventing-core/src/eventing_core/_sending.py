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
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from eventing_core._batches import Batches, LateHand, Told
from eventing_core._callbacks import CallbackThread, SendFuture
from eventing_core._chain import Chain
from eventing_core._codec import CONTENT_TYPE, Codec
from eventing_core._copies import describe_error
from eventing_core._envelope import Envelope, check_header
from eventing_core._event import EventDescriptor, describe_event, is_event, is_redeclared
from eventing_core._health import SendingHealth
from eventing_core._limits import seconds
from eventing_core._mailbox import Mailbox
from eventing_core._options import Options
from eventing_core._pipeline import EnvelopePipeline
from eventing_core._room import Room
from eventing_core.errors import (
    DeclarationError,
    HeaderError,
    ManagerStoppedError,
    SendError,
    SendEventsError,
    SendTimeoutError,
    UnroutedError,
)
from eventing_core.provider import Destination, Done, Message, Producer, Provider

_log = logging.getLogger("eventing")

#: For an event that no queue takes.
_UNROUTED = (
    "the event %s has no queue on this broker: no listener of it has ever started, or its queue is gone, and what is "
    'sent now is lost. Start one first; the setting unrouted = "error" makes this an error, and "ignore" silences it'
)

#: How long beyond its deadline a provider may take to tell of a send, in seconds.
_GRACE = 5.0

R = TypeVar("R")


class EventRegistry:
    """The event classes that one manager has met. Thread-safe.

    Two classes of one name are refused, unless they are one class that was declared again.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, EventDescriptor] = {}
        self._lock = threading.Lock()

    def add(self, descriptor: EventDescriptor) -> EventDescriptor:
        """Take an event in.

        Raises:
            DeclarationError: another class has that name.
        """
        with self._lock:
            known = self._by_name.setdefault(descriptor.name, descriptor)
            if is_redeclared(known.event_type, descriptor.event_type):
                known = self._by_name[descriptor.name] = descriptor
        if known.event_type is not descriptor.event_type and not is_redeclared(descriptor.event_type, known.event_type):
            msg = (
                f"two events are named {descriptor.name!r}: {_class_name(known.event_type)} and "
                f'{_class_name(descriptor.event_type)}. Give one of them another with @event("name").'
            )
            raise DeclarationError(msg)
        return descriptor


def _class_name(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


class _Outgoing:
    """All that is needed to send the events of one class."""

    __slots__ = ("codec", "descriptor", "producer")

    def __init__(self, descriptor: EventDescriptor, codec: Codec, producer: Producer) -> None:
        self.descriptor = descriptor
        self.codec = codec
        self.producer = producer


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
        self._outgoing: dict[type[Any], _Outgoing] = {}
        self._lock = threading.Lock()
        self._chain: Chain | None = None
        self._prefix = uuid4().hex
        self._next_number = itertools.count(1).__next__
        self._room = Room(options.max_in_flight)
        self._callbacks = CallbackThread()
        self._late = LateHand()
        self._mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = weakref.WeakKeyDictionary()
        #: Events of which the last send reached no queue, and was warned of.
        self.unrouted: set[str] = set()
        #: Messages that were ever counted, and those of which it is known what became of them.
        self._begun = self._ended = 0
        #: Of the last send whose end is known.
        self.error: Exception | None = None
        self._pending_lock = threading.Lock()
        self._quiet = threading.Condition(self._pending_lock)
        self._refusing = False
        self._is_allowed: Callable[[], bool] = _nobody

    # -- the four ways to send --------------------------------------------------------------------------------

    def send_event(self, event: object, headers: Mapping[str, str] | None, timeout: float | None) -> None:
        """Send and wait for the confirmation."""
        outgoing = self._outgoing_of(event)
        envelope = self._envelope(outgoing, event, headers)
        waiter = _Waiter()
        with self._around(outgoing, envelope):
            deadline = time.monotonic() + self._timeout(timeout)
            self._hand_over(outgoing, (self._message_of(outgoing, envelope),), waiter, deadline)
            waiter.wait(deadline + _GRACE)

    def send_events(self, events: Iterable[object], headers: Mapping[str, str] | None, timeout: float | None) -> None:
        """Send many, a window of them at a time, and wait for all confirmations."""
        self._refuse_if_stopped()
        _check_headers(headers)
        _check_events(events)
        limit = self._timeout(timeout)
        shared = dict(headers) if headers else {}

        def send(outgoing: _Outgoing, batch: Sequence[Message], done: Told) -> None:
            self._hand_over(outgoing, batch, done, time.monotonic() + limit)

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
                self._hand_over(outgoing, (self._message_of(outgoing, envelope),), done, time.monotonic() + limit)
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
            self._hand_over(outgoing, (message,), lambda errors: put(future, errors.get(0)), deadline)
            await future

    # -- the steps --------------------------------------------------------------------------------------------

    def _timeout(self, timeout: float | None) -> float:
        return seconds("timeout", timeout, self._options.send_timeout)

    def _outgoing_of(self, event: object) -> _Outgoing:
        event_type = type(event)
        outgoing = self._outgoing.get(event_type)
        self._refuse_if_stopped()
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
                outgoing = self._outgoing.setdefault(event_type, _Outgoing(descriptor, codec, producer))
        return outgoing

    def _envelope(self, outgoing: _Outgoing, event: object, headers: Mapping[str, str] | None) -> Envelope:
        if headers is not None:
            _check_headers(headers)
        return Envelope(outgoing.codec.encode(event), headers)

    def _around(self, outgoing: _Outgoing, envelope: Envelope) -> Any:
        chain = self._chain
        return _NOTHING if chain is None else chain.around(envelope, outgoing.descriptor)

    def _message_of(self, outgoing: _Outgoing, envelope: Envelope) -> Message:
        """As it is now: what a pipeline sets after its yield is too late."""
        headers = envelope._headers  # noqa: SLF001 (the same package; the property makes a copy)
        return self._message(outgoing, envelope._body, headers if self._chain is None else dict(headers))  # noqa: SLF001 (see above)

    def _message(self, outgoing: _Outgoing, body: bytes, headers: Mapping[str, str]) -> Message:
        number = f"{self._prefix}-{self._next_number()}"
        # By position: by names it takes twice as long.
        return Message(body, headers, number, number, CONTENT_TYPE, outgoing.descriptor.durable)

    def _hand_over(self, outgoing: _Outgoing, batch: Sequence[Message], done: Told, deadline: float) -> None:
        """Give messages to the provider; ``done`` is called exactly once, also for what fails at once."""
        under_way = _UnderWay(self, outgoing.descriptor, len(batch), done)
        try:
            with self._pending_lock:
                self._begun += under_way.count
                under_way.counted = True
            self._refuse_if_stopped()
            self._send(outgoing.producer, batch, under_way, deadline)
        except Exception as error:  # noqa: BLE001 (it reaches the caller by way of done)
            under_way.fail(error)
        except BaseException:  # Ctrl-C
            under_way.fail(SendError("interrupted before the broker confirmed", in_doubt=True))
            raise

    def told(self, under_way: _UnderWay) -> None:
        """Those messages are no longer under way."""
        with self._pending_lock:
            if under_way.counted:
                self._ended += under_way.count
                under_way.counted = False
            if self._refusing and not self._pending:
                self._quiet.notify_all()

    @property
    def _pending(self) -> int:
        """How many messages are under way."""
        return self._begun - self._ended

    def judge(self, descriptor: EventDescriptor, error: Exception | None) -> tuple[Exception | None, bool]:
        """What a provider's answer means, under the ``unrouted`` setting and for the health; whether to warn of it."""
        warn = False
        if isinstance(error, UnroutedError) and self._options.unrouted != "error":
            warn = self._options.unrouted == "warn" and descriptor.name not in self.unrouted
            if warn:
                self.unrouted.add(descriptor.name)
            error = None
        elif error is None:
            # It will be worth a warning again.
            self.unrouted.discard(descriptor.name)
        self.error = error
        return error, warn

    @staticmethod
    def _send(producer: Producer, batch: Sequence[Message], finished: Done, deadline: float) -> None:
        try:
            producer.send(batch, finished, deadline=deadline)
        except Exception:
            if len(batch) == 1:
                raise
        else:
            return
        # Nothing of it was taken, and one message alone may be to blame.
        for index, message in enumerate(batch):

            def alone(_: int, error: Exception | None, index: int = index) -> None:
                finished(index, error)

            try:
                producer.send((message,), alone, deadline=deadline)
            except Exception as error:  # noqa: BLE001 (it reaches the caller by way of finished)
                finished(index, error)

    def stamp(self) -> int:
        """A number that is one more than that of the last call, if no message was made in between."""
        return self._next_number()

    def health(self) -> SendingHealth:
        """The state of sending. Thread-safe."""
        error = self.error
        return SendingHealth(in_flight=self._pending, error="" if error is None else describe_error(error))

    # -- the end ----------------------------------------------------------------------------------------------

    def _refuse_if_stopped(self) -> None:
        if self._refusing and not self._is_allowed():
            msg = "the event manager was stopped and cannot be used again; create a new one"
            raise ManagerStoppedError(msg)

    def refuse_others(self, is_allowed: Callable[[], bool]) -> None:
        """Refuse further sends, but while ``is_allowed`` says yes, and for callbacks of futures."""
        with self._quiet:
            self._is_allowed = lambda: is_allowed() or self._callbacks.owns_current_thread()
            self._refusing = True

    def refuse(self) -> None:
        """Refuse every further send."""
        with self._quiet:
            self._is_allowed = _nobody
            self._refusing = True

    def refuse_when(self, quiet: Callable[[], bool]) -> bool:
        """Refuse every further send, if none is under way and it is ``quiet``; whether it was.

        No send begins between the look and the refusal.
        """
        with self._quiet:
            begun, pending = self._begun, self._pending
        if pending or not quiet():
            return False
        with self._quiet:
            if self._pending or self._begun != begun:
                return False
            self._is_allowed = _nobody
            self._refusing = True
            return True

    def flush(self, timeout: float) -> bool:
        """Wait until every send is confirmed or failed. False after ``timeout`` seconds."""
        with self._quiet:
            return self._quiet.wait_for(lambda: not self._pending, timeout)

    def close(self, timeout: float) -> None:
        """End its threads."""
        self._late.stop()
        self._callbacks.stop(timeout)


_NOTHING = nullcontext()


def _nobody() -> bool:
    return False


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


class _UnderWay:
    """Messages that were handed over together: tells once of all what became of them. It is their `Done`.

    Attributes:
        count: of the messages.
        counted: the sender counts them as under way.
    """

    __slots__ = (
        "_by",
        "_descriptor",
        "_done",
        "_ending",
        "_errors",
        "_finished",
        "_sender",
        "_told",
        "count",
        "counted",
    )

    def __init__(self, sender: Sender, descriptor: EventDescriptor, count: int, done: Told) -> None:
        self._sender = sender
        self._descriptor = descriptor
        self._done = done
        self._errors: dict[int, Exception] = {}
        #: Of each, 1 when it is known.
        self._told = bytearray(count)
        self._ending = threading.Lock()
        self._by = 0
        self._finished = False
        self.count = count
        self.counted = False

    def __call__(self, index: int, error: Exception | None) -> None:
        told = self._told
        if told[index]:
            return  # an interruption came first
        told[index] = 1
        # Else there is nothing to judge, and none to take back.
        sender = self._sender
        warn = (error is not None or sender.error is not None or bool(sender.unrouted)) and self._judge(index, error)
        # Two threads may have told of the last two.
        if 0 not in told and self._ending.acquire(blocking=False):
            self._end()
        if warn:  # at last: a logging handler may take its time, or hold a lock that the sending thread has
            with suppress(Exception):  # a logging handler's: the event is sent
                _log.warning(_UNROUTED, self._descriptor.name)

    def _judge(self, index: int, error: Exception | None) -> bool:
        error, warn = self._sender.judge(self._descriptor, error)
        if error is not None:
            self._errors[index] = error
        return warn

    def _end(self) -> None:
        self._by = threading.get_ident()
        try:
            self._done(self._errors)
        finally:
            self._sender.told(self)
            self._finished = True

    def fail(self, error: Exception) -> None:
        """That became of all of which nothing is known."""
        for index in range(self.count):
            self(index, error)
        # What was interrupted may have been the end, where the provider tells on this thread.
        if not self._finished and self._by in {0, threading.get_ident()}:
            self._ending.acquire(blocking=False)
            self._end()


class _Waiter:
    """Waits for one confirmation. A bare lock is the cheapest event that Python has."""

    __slots__ = ("_error", "_lock")

    def __init__(self) -> None:
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
