"""The events of one `send_events`: handed over in batches, and counted until they are confirmed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from eventing_core.errors import SendError, SendTimeoutError
from eventing_core.provider import Message
from eventing_core.provider._timer import Timer

#: So many events are unconfirmed at most, those included that are not handed over yet. A batch counts for as many as it
#: has of these bytes, if those are more: so there are 8 MiB of bodies at most, and one batch.
_WINDOW = 4000
_UNIT_BYTES = 1 << 11

#: A batch is full with so many messages, or so many bytes of them.
_FULL = 128
_FULL_BYTES = 1 << 18

#: An event waits no longer than this for company, in seconds. The first after a longer pause goes alone.
_PAUSE = 0.005

#: Called once it is known of all messages of a batch what became of them; with the errors, by their places in it.
Told: TypeAlias = Callable[[Mapping[int, Exception]], None]

T = TypeVar("T")


class _Batch(Generic[T]):
    """Messages that go to the provider together.

    Attributes:
        to: for whom.
        messages: they themselves.
        first: the index of the first one's event.
    """

    __slots__ = ("first", "messages", "to")

    def __init__(self, to: T, messages: Sequence[Message], first: int) -> None:
        self.to = to
        self.messages = messages
        self.first = first


class LateHand:
    """The thread that hands over what waits for company while the next event takes its time. Thread-safe.

    It is made when it is first needed.
    """

    def __init__(self) -> None:
        # Guards both fields below, and so starts one thread at most.
        self._lock = threading.Lock()
        self._timer: Timer | None = None
        self._stopped = False

    def timer(self) -> Timer | None:
        """What calls later; None where there can be none: while the interpreter exits, Python 3.12 starts no thread."""
        with self._lock:
            if self._timer is None and not self._stopped:
                self._timer = Timer("eventing-send")
            timer = self._timer
            if timer is not None and not timer.is_started:  # also after an interruption
                try:
                    timer.start()
                except RuntimeError:
                    self._timer = timer = None
            return timer

    def stop(self) -> None:
        """End the thread."""
        with self._lock:
            self._stopped = True
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()


class Batches(Generic[T]):
    """Gathers messages for one destination after the other. For one sending thread.

    Args:
        send: takes messages for a destination, and tells once what became of them. Never raises but for an
            interruption.
        late: who hands over what would wait too long; None: nothing waits.
        patience: seconds that a wait for what became of messages may take.
    """

    def __init__(self, send: Callable[[T, Sequence[Message], Told], None], late: Timer | None, patience: float) -> None:
        #: By the index of the event.
        self.failures: dict[int, Exception] = {}
        self._send = send
        self._late = late
        self._patience = patience
        self._alarmed = False
        #: What is gathered is for one destination. The sending thread adds without a lock: a message that comes while
        #: others are moved on waits.
        self._to: T | None = None
        self._batch: list[Message] = []
        #: Of what was added since the sending thread handed over.
        self._bytes = 0
        self._handed_at = 0.0
        #: What is to be handed over, by one thread at a time, so that the order holds: others leave it to that one.
        self._line: deque[_Batch[T]] = deque()
        self._handing = False
        # Guards `_to`, `_line` and `_handing`, and what moves messages from `_batch` to the line. Nothing is sent
        # under it.
        self._lock = threading.Lock()
        self._handed = 0
        #: What was given to the line, and what of it was told, as the window counts; the latter under `_fell`.
        self._given = 0
        self._told = 0
        #: What each batch counts for that isn't told, by the index of its first event.
        self._out: dict[int, int] = {}
        self._wanted = 0
        # Guards `failures`, `_told`, `_wanted` and what is taken out of `_out`; notified when as many are told as
        # `_wanted` asks for.
        self._fell = threading.Condition(threading.Lock())

    def add(self, to: T, message: Message, *, alone: bool = False) -> None:
        """Take a message, and hand it over: at once if it is to be ``alone``, or soon, with others.

        Raises:
            SendTimeoutError: there is no room, since the provider doesn't tell, which it has to.
        """
        self.make_room()
        batch = self._batch
        if to is not self._to or (alone and batch):
            self._hand_over(to)
        batch.append(message)
        self._bytes += len(message.body)
        count = len(batch)
        full = alone or count >= _FULL or self._bytes >= _FULL_BYTES
        if full or self._late is None or (count == 1 and time.monotonic() - self._handed_at > _PAUSE):
            self._bytes = 0
            self._hand_over(to)
        elif not self._alarmed:
            self._alarmed = True
            self._late.call_later(_PAUSE, self._hand_over_late)

    def fail(self, index: int, error: Exception) -> None:
        """Note the failure of an event that was not taken."""
        with self._fell:
            self.failures.setdefault(index, error)

    def make_room(self) -> None:
        """Wait until one more may be unconfirmed; woken once, when half of the window is free."""
        if self._given - self._told + len(self._batch) >= _WINDOW:
            self._wait_below(_WINDOW // 2)

    def end(self) -> None:
        """Hand over what waits, and wait until it is known of all what became of them.

        Raises:
            SendTimeoutError: the provider doesn't tell, which it has to.
        """
        self._wait_below(1)

    def _hand_over_late(self) -> None:
        # First: who adds something from now on, which may be too late for this time, sees that another is due.
        self._alarmed = False
        self._hand_over()

    def _hand_over(self, next_to: T | None = None) -> None:
        """Hand over what waits, or leave it to who does; what comes next is for ``next_to``, where that is given."""
        mine = False
        try:
            with self._lock:
                self._move()
                if next_to is not None:
                    self._to = next_to
                if self._handing:
                    return
                self._handing = mine = True
            while True:
                with self._lock:
                    if not self._line:
                        self._handing = mine = False
                        return
                    batch = self._line[0]
                self._send(batch.to, batch.messages, partial(self._done, batch.first))
                self._handed_at = time.monotonic()
                with self._lock:
                    self._line.popleft()
        except BaseException:
            if mine:  # an interruption, of which nobody knows what it left undone
                self._give_up()
            raise

    def _move(self) -> None:
        """Move what waits to the line. Call it with the lock."""
        messages, to = self._batch[:], self._to
        if messages and to is not None:
            count = len(messages)
            units = max(count, -(-sum([len(message.body) for message in messages]) // _UNIT_BYTES))
            batch = _Batch(to, messages, self._handed)
            # At once: no call between these, after which an exception of a signal handler could come.
            self._out[self._handed] = units
            self._handed += count
            self._given += units
            del self._batch[:count]
            self._line.append(batch)

    def _give_up(self) -> None:
        error = SendError("interrupted before the broker confirmed", in_doubt=True)
        left = [*self._line]
        self._line.clear()
        self._handing = False
        for batch in left:
            self._done(batch.first, dict.fromkeys(range(len(batch.messages)), error))

    def _done(self, first: int, errors: Mapping[int, Exception]) -> None:
        with self._fell:
            units = self._out.get(first, 0)
            if not units:
                return  # an interruption came first
            self._told += units
            self._out[first] = 0
            for index, error in errors.items():
                self.failures[first + index] = error
            del self._out[first]
            if self._wanted and self._given - self._told < self._wanted:
                self._wanted = 0
                self._fell.notify()

    def _wait_below(self, count: int) -> None:
        self._hand_over()
        with self._fell:
            self._wanted = count
            if not self._fell.wait_for(lambda: self._given - self._told < count, self._patience):
                msg = "the provider did not report the outcome of the sends"
                raise SendTimeoutError(msg, in_doubt=True)
            self._wanted = 0
