"""The messages of one manager that are in flight: handed to the provider, and unconfirmed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from eventing_core.codec._codec import Codec
from eventing_core.configure._options import Options
from eventing_core.declare._event import EventDescriptor
from eventing_core.errors import ManagerStoppedError, SendError, UnroutedError
from eventing_core.provider import Done, Message, Producer
from eventing_core.runtime._health import SendingHealth
from eventing_core.runtime._log_words import describe_error
from eventing_core.send._batches import Told

_log = logging.getLogger("eventing")

#: For an event that no queue takes.
_UNROUTED = (
    "the event %s has no queue on this broker: no listener of it has ever started, or its queue is gone, and what is "
    'sent now is lost. Start one first; the setting unrouted = "error" makes this an error, and "ignore" silences it'
)


class Outgoing:
    """All that is needed to send the events of one class."""

    __slots__ = ("codec", "descriptor", "producer")

    def __init__(self, descriptor: EventDescriptor, codec: Codec, producer: Producer) -> None:
        self.descriptor = descriptor
        self.codec = codec
        self.producer = producer


class InFlight:
    """Hands messages to the provider, counts those whose outcome is unknown, and refuses further ones at the end.

    Thread-safe. An exception out of a signal handler may come between any two calls, as with `Sender`, so a batch knows
    itself whether it was counted. No provider and no logging handler is called under the lock.

    Attributes:
        unrouted: names of the events of which the last send reached no queue, and was warned of.
        error: of the last send whose outcome is known.
    """

    def __init__(self, options: Options, owns_current_thread: Callable[[], bool]) -> None:
        self._options = options
        self._owns_current_thread = owns_current_thread
        self.unrouted: set[str] = set()
        self.error: Exception | None = None
        #: Messages that were ever counted, and those of which it is known what became of them.
        self._begun = self._ended = 0
        self._refusing = False
        self._is_allowed: Callable[[], bool] = _nobody
        # Guards the four above, and each batch's ``counted``. ``_quiet`` is notified when nothing is in flight any
        # more while sends are refused. `refuse_if_stopped` looks without it.
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)

    def __len__(self) -> int:
        return self._begun - self._ended

    def hand_over(self, outgoing: Outgoing, batch: Sequence[Message], done: Told, deadline: float) -> None:
        """Give messages to the provider; ``done`` is called exactly once, also for what fails at once."""
        handed = _Handed(self, outgoing.descriptor, len(batch), done)
        try:
            with self._lock:
                self._begun += handed.count
                handed.counted = True
            self.refuse_if_stopped()
            _send(outgoing.producer, batch, handed, deadline)
        except Exception as error:  # noqa: BLE001 (it reaches the caller by way of done)
            handed.fail(error)
        except BaseException:  # Ctrl-C
            handed.fail(SendError("interrupted before the broker confirmed", in_doubt=True))
            raise

    def told(self, handed: _Handed) -> None:
        """Those messages are no longer in flight."""
        with self._lock:
            if handed.counted:
                self._ended += handed.count
                handed.counted = False
            if self._refusing and not len(self):
                self._quiet.notify_all()

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

    def health(self) -> SendingHealth:
        """How sending is. Thread-safe."""
        error = self.error
        return SendingHealth(in_flight=len(self), error="" if error is None else describe_error(error))

    # -- the end ----------------------------------------------------------------------------------------------

    def refuse_if_stopped(self) -> None:
        """Do nothing while sends are taken.

        Raises:
            ManagerStoppedError: they are refused.
        """
        if self._refusing and not self._is_allowed():
            msg = "the event manager was stopped and cannot be used again; create a new one"
            raise ManagerStoppedError(msg)

    def refuse_others(self, is_allowed: Callable[[], bool]) -> None:
        """Refuse further sends, but while ``is_allowed`` says yes, and for callbacks of futures."""
        with self._lock:
            self._is_allowed = lambda: is_allowed() or self._owns_current_thread()
            self._refusing = True

    def refuse(self) -> None:
        """Refuse every further send."""
        with self._lock:
            self._is_allowed = _nobody
            self._refusing = True

    def refuse_when(self, quiet: Callable[[], bool]) -> bool:
        """Refuse every further send, if none is in flight and it is ``quiet``; whether it was.

        No send begins between the look and the refusal.
        """
        with self._lock:
            begun, pending = self._begun, len(self)
        if pending or not quiet():
            return False
        with self._lock:
            if len(self) or self._begun != begun:
                return False
            self._is_allowed = _nobody
            self._refusing = True
            return True

    def flush(self, timeout: float) -> bool:
        """Wait until every send is confirmed or failed. False after ``timeout`` seconds."""
        with self._quiet:
            return self._quiet.wait_for(lambda: not len(self), timeout)


def _nobody() -> bool:
    return False


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


class _Handed:
    """Messages that were handed over together: tells once of all what became of them. It is their `Done`.

    Attributes:
        count: of the messages.
        counted: they count as in flight.
    """

    __slots__ = (
        "_by",
        "_descriptor",
        "_done",
        "_ending",
        "_errors",
        "_finished",
        "_in_flight",
        "_told",
        "count",
        "counted",
    )

    def __init__(self, in_flight: InFlight, descriptor: EventDescriptor, count: int, done: Told) -> None:
        self._in_flight = in_flight
        self._descriptor = descriptor
        self._done = done
        self._errors: dict[int, Exception] = {}
        #: Of each, 1 when it is known.
        self._told = bytearray(count)
        # Guards nothing: who gets it tells of the end, and it is never released.
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
        known = self._in_flight
        warn = (error is not None or known.error is not None or bool(known.unrouted)) and self._judge(index, error)
        # Two threads may have told of the last two.
        if 0 not in told and self._ending.acquire(blocking=False):
            self._end()
        if warn:  # at last: a logging handler may take its time, or hold a lock that the sending thread has
            with suppress(Exception):  # a logging handler's: the event is sent
                _log.warning(_UNROUTED, self._descriptor.name)

    def _judge(self, index: int, error: Exception | None) -> bool:
        error, warn = self._in_flight.judge(self._descriptor, error)
        if error is not None:
            self._errors[index] = error
        return warn

    def _end(self) -> None:
        self._by = threading.get_ident()
        try:
            self._done(self._errors)
        finally:
            self._in_flight.told(self)
            self._finished = True

    def fail(self, error: Exception) -> None:
        """That became of all of which nothing is known."""
        for index in range(self.count):
            self(index, error)
        # What was interrupted may have been the end, where the provider tells on this thread.
        if not self._finished and self._by in {0, threading.get_ident()}:
            self._ending.acquire(blocking=False)
            self._end()
