"""What is done about a message that ends the connection, for one listener on Artemis.

It goes on from one connection's consumer to the next one's. What it decides by is a `Quarantine`, which is pure.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

from eventing_core.provider.artemis import ArtemisSession, Aside, Listing, Offender, Queue, list_queue, set_aside
from eventing_core.provider.sockets import Loop, Quarantine, Standing, quietly, quoted_list
from eventing_stomp._frames import Incoming

_log = logging.getLogger("eventing.stomp")

#: So many acknowledged messages are remembered: the broker may not have noted it when it ended the connection.
_REMEMBERED = 2_000

#: Where the broker has not taken everything back yet, how long to wait before it is asked again, in seconds, and how
#: often. Where other processes have messages of the queue, that can't be seen, and it gets so many moments.
_AGAIN, _TRIES, _SURE = 0.3, 20, 2

#: AMQP's plain ids begin so over STOMP, where they begin by "ID:"; and how a filter knows them.
_PLAIN = "ID:AMQP_NO_PREFIX:"

_UNWRITABLE = "the broker can't write it in STOMP, and ended the connection each time that it tried"
_TOO_LARGE = "it has more than max_message_bytes, or more than 1 MiB of headers"
_MAP = "its body is an AMQP map, of which the broker writes nothing in STOMP"
_DROPPED = "the broker gave it to this listener and wrote nothing: it can't write it in STOMP"


class Isolation:
    """Runs on the I/O thread of the connection that its listener has at the time.

    Args:
        label: of the listener, for the log.

    Attributes:
        quarantine: what it decides by.
        asides: messages that were set aside, and of which the listener has no dead letter yet.
        why_not: why a message can't be set aside; empty where it can.
    """

    def __init__(self, label: str) -> None:
        self.quarantine = Quarantine()
        self.asides: list[Aside] = []
        self.why_not = ""
        self._label = label
        self._queue = ""
        self._acknowledged: deque[bytes] = deque(maxlen=_REMEMBERED)

    @property
    def flaw(self) -> str:
        """What is wrong, for health; empty for nothing."""
        if not (self.quarantine.is_searching and self.quarantine.is_isolated):
            return ""
        text = (
            f"quarantined: the broker ends the connection when it hands over a message of the queue {self._queue!r}; "
            "this listener has a connection of its own and takes one event at a time until that message is set aside"
        )
        return f"{text}, which can't be done: {self._cure}" if self.why_not else text

    @property
    def _cure(self) -> str:
        return (
            f"{self.why_not}. Give the user the permissions 'manage' and 'send' on activemq.management, or remove the "
            f"message from {self._queue!r} over AMQP or by the broker's console; else the broker moves it to its own "
            "dead-letter queue after max-delivery-attempts"
        )

    # -- what happens -------------------------------------------------------------------------------------------------

    def acknowledged(self, settled: Iterable[Incoming]) -> None:
        """These are done with."""
        ids = [incoming.raw(b"\nmessage-id:") for incoming in settled]
        self._acknowledged.extend(ids)
        self.quarantine.delivered(len(ids))
        if self.quarantine.seen:
            self.quarantine.settled(map(number_of, ids))
        self.quarantine.pass_time(time.monotonic())

    def subscribed(self) -> None:
        """What was acknowledged before is of no interest."""
        self._acknowledged.clear()

    def blamed(self, queue: Queue, came: Iterable[Incoming], too_large: bytes | None, *, managed: bool) -> None:
        """A message of the queue has ended the connection; ``too_large``: which one, where that is known."""
        quarantine, before = self.quarantine, self.quarantine.standing
        self._queue = queue.name
        seen = {number_of(incoming.raw(b"\nmessage-id:")): _name(incoming) for incoming in came}
        culprit = None if too_large is None else number_of(too_large)
        done = map(number_of, self._acknowledged)
        quarantine.blamed(seen, done, time.monotonic(), culprit=culprit, why=_TOO_LARGE)
        self._acknowledged.clear()
        if not managed:
            self.why_not = "the broker's management is closed to this user"
        if quarantine.is_isolated and before is not Standing.ISOLATED:
            with quietly:
                _log.error("%s: %s", self._label, self.flaw)

    def quiet(self, now: float) -> bool:
        """See whether the window may be wider again."""
        if not self.quarantine.quiet(now):
            return False
        self.why_not = ""
        with quietly:
            _log.info("%s: no message has ended its connection lately; it takes as many events as it can", self._label)
        return True

    def dropped(self, queue: Queue, numbers: Iterable[int]) -> None:
        """The broker counts these as delivered, and they never came."""
        self._queue = queue.name
        self.quarantine.suspects.update(dict.fromkeys(numbers, _DROPPED))

    def unwritten(self, queue: Queue, incoming: Incoming) -> None:
        """Nothing came of this message's body."""
        self._queue = queue.name
        self.quarantine.suspects[number_of(incoming.raw(b"\nmessage-id:"))] = _MAP

    # -- setting aside ------------------------------------------------------------------------------------------------

    def search(self, session: ArtemisSession, queue: Queue, loop: Loop, then: Callable[[], None]) -> None:
        """Find and set aside what ends the connection, while nothing is subscribed to; then go on."""
        _Search(self, session, queue, loop, then).look()

    def selector(self) -> str:
        """What lets through messages that are known to be good, where the other one can't be set aside; else empty."""
        names = {name for name in self.quarantine.seen.values() if name}
        if not (self.why_not and self.quarantine.is_isolated and self.quarantine.is_searching and names):
            return ""
        ids = {"ID:" + name.removeprefix(_PLAIN) for name in names} | names
        return f"AMQUserID IN ({quoted_list(ids)}) OR NATIVE_MESSAGE_ID IN ({quoted_list(names)})"


class _Search:
    """One look at the queue after another, until nothing is found any more."""

    def __init__(
        self, isolation: Isolation, session: ArtemisSession, queue: Queue, loop: Loop, then: Callable[[], None]
    ) -> None:
        self._isolation = isolation
        self._session = session
        self._queue = queue
        self._loop = loop
        self._then = then
        self._tries = 0

    def look(self) -> None:
        """See what is in the queue."""
        if self._session.management.denied:
            self._give_up("the broker's management is closed to this user")
        else:
            list_queue(self._session, self._queue, self._listed)

    def _listed(self, found: Listing | str) -> None:
        if isinstance(found, str):
            self._give_up(found)
            return
        quarantine = self._isolation.quarantine
        self._tries += 1
        # What the last connection had has to be back in the queue, or an innocent one would seem to be the first.
        settled = self._tries > _SURE if found.rivals else not found.delivering
        known = next((number for number in found.ids if number in quarantine.suspects), None)
        number = quarantine.candidate([*found.ids]) if settled else known
        if number is not None:
            offender = Offender(number, found.ids[number], quarantine.suspects.get(number, _UNWRITABLE))
            set_aside(self._session, self._queue, offender, lambda end: self._moved(number, end))
        elif self._tries < _TRIES and (quarantine.suspects or not settled):
            self._loop.call_in(_AGAIN, self.look)
        else:
            quarantine.suspects.clear()
            self._isolation.why_not = ""
            self._then()

    def _moved(self, number: int, end: Aside | str) -> None:
        if isinstance(end, str) and end:
            self._give_up(end)
            return
        if isinstance(end, Aside):
            self._isolation.asides.append(end)
        self._isolation.quarantine.set_aside(number, time.monotonic())
        self._isolation.why_not = ""
        self._tries = 0
        self.look()

    def _give_up(self, why: str) -> None:
        self._isolation.why_not = why
        self._then()


def number_of(message_id: bytes) -> int:
    """The broker's number of a message by its id over STOMP, ``<consumer>,<number>``; -1 where it has none."""
    digits = message_id.rpartition(b",")[2]
    return int(digits) if digits.isdigit() else -1


def consumer_of(incoming: Incoming) -> str:
    """The broker's consumer by which a message came."""
    return incoming.raw(b"\nmessage-id:").rpartition(b",")[0].decode("latin-1")


def _name(incoming: Incoming) -> str:
    return incoming.header(b"NATIVE_MESSAGE_ID")
