"""One subscription, over STOMP, to a queue that may hold messages that end the connection.

Artemis finds out that it can't write a message in STOMP when it hands it over, and then ends the connection. What comes
of that is decided by `Isolation`, and carried out here.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial

from eventing_core.provider import Outcome, Subscriber, Subscription, SubscriptionState
from eventing_core.provider.artemis import ArtemisSession, Aside, Queue
from eventing_core.provider.sockets import Carrier, SocketConsumer, Undeliverable, next_number
from eventing_stomp._frame_consumer import Arrived, FrameConsumer
from eventing_stomp._frames import Incoming
from eventing_stomp._generation import StompGeneration
from eventing_stomp._isolation import Isolation, consumer_of
from eventing_stomp._message import is_map

#: Isolated, a listener waits so long with each message, in seconds: the connection's end may be on its way, and to
#: acknowledge anything meanwhile could have Artemis hold it back (decision 22).
_HOLD = 0.1

#: What is selected and doesn't come within so many seconds is elsewhere.
_PICKING = 3.0


class CarefulConsumer(FrameConsumer[ArtemisSession]):
    """Says when to subscribe, and to what.

    Attributes:
        isolation: what it decides by; a successor on another connection goes on with it.
    """

    def __init__(self, connection: Carrier, subscription: Subscription, subscriber: Subscriber) -> None:
        super().__init__(connection, subscription, subscriber)
        self.isolation = Isolation(str(subscription.destination))
        self._queue: Queue | None = None
        #: The id of the STOMP subscription; empty where there is none.
        self._live = ""
        #: One message at a time, each held for a moment; since it subscribed.
        self._careful = False
        #: What came may be followed by the connection's end.
        self._held = False
        #: The subscription selects messages that are known to be good.
        self._picks = False
        #: It is to be made anew, once nothing is out.
        self._wants_anew = False
        #: What was acknowledged last.
        self._last: Incoming | None = None

    @abstractmethod
    def subscribe(self, generation: StompGeneration, size: int) -> None:
        """Subscribe, with that many bytes on their way; 0: one message at a time."""

    @property
    def flaw(self) -> str:
        """What is wrong while it is attached."""
        return self.isolation.flaw or self._flaw

    @property
    def is_waiting(self) -> bool:
        """Whether it would take a message, and has none."""
        return self._active and self._size > 0 and not (self._out or self._arrived or self._stand_ins)

    # -- subscribing --------------------------------------------------------------------------------------------------

    def subscribe_safely(self, generation: StompGeneration, session: ArtemisSession, size: int) -> None:
        """Subscribe, once what is known to end the connection is set aside."""
        queue, attempt, isolation = self._queue, self._attempt, self.isolation
        isolation.quarantine.pass_time(time.monotonic())

        def go_on() -> None:
            if attempt == self._attempt:
                self.subscribe(generation, 0 if isolation.quarantine.is_isolated else size)
                self._see_whether_quiet()

        if queue is not None and isolation.quarantine.is_searching:
            isolation.search(session, queue, self._connection.loop, go_on)
        else:
            go_on()

    def selection(self) -> dict[str, str]:
        """The headers by which only good messages come, where the other one can't be set aside. At each subscribing."""
        selector = self.isolation.selector()
        self._careful, self._picks = self.isolation.quarantine.is_isolated, bool(selector)
        self.isolation.subscribed()
        if not selector:
            return {}
        self._connection.loop.call_in(_PICKING, partial(self._stop_picking, self._attempt))
        # Only where the other routing type is asked for, Artemis selects from a queue that is there.
        return {"subscription-type": "ANYCAST", "selector": selector}

    def attach_anew(self) -> None:
        """Subscribe again, over the same connection."""
        self._wants_anew = False
        self._detach()
        self._tell(SubscriptionState.INACTIVE, None)
        self._begin()

    def forget(self) -> None:
        """Nothing is subscribed to."""
        self._held = self._picks = self._careful = False
        self._stand_ins.clear()

    def _set_window(self, size: int) -> None:
        super()._set_window(self.isolation.quarantine.limit(size))

    # -- what ends the connection -------------------------------------------------------------------------------------

    def lost(self, error: Exception) -> None:
        """The connection is gone; see whether a message for this listener has ended it."""
        is_blamed = self._note_blame()
        super().lost(error)
        if is_blamed and self.move is not None and self.isolation.quarantine.is_isolated:
            move, self.move = self.move, None
            move()

    def _note_blame(self) -> bool:
        generation, queue, session = self._generation, self._queue, self._session
        if generation is None or queue is None or self._closing is not None:
            return False
        came = [incoming for _, incoming in (*self._out.values(), *self._arrived)]
        mine, large = came[0] if came else self._last, generation.too_large
        is_too_large = large is not None and bool(large.message_id) and large.subscription in self.live
        has_ended = mine is not None and bool(generation.ended) and generation.ended == consumer_of(mine)
        if generation.blamed != queue.name and not is_too_large and not has_ended:
            return False
        culprit = large.message_id.encode() if large is not None and is_too_large else None
        managed = session is not None and not session.management.denied
        self.isolation.blamed(queue, came, culprit, managed=managed)
        return True

    def hoards(self, numbers: Sequence[int]) -> None:
        """The broker counts these messages as delivered to this listener, which has none of them: set them aside."""
        if self._queue is not None and self.is_waiting:
            self.isolation.dropped(self._queue, numbers)
            self.attach_anew()

    def keeps_back(self, incoming: Incoming) -> bool:
        """Whether a message that came without body is to be set aside: it has one, and only AMQP can carry it."""
        if self._queue is None or self.isolation.why_not or not is_map(incoming):
            return False
        if self._session is None or self._session.management.denied:
            return False
        self.isolation.unwritten(self._queue, incoming)
        self._wants_anew = True
        self._connection.dirty.add(self)
        return True

    def succeed(self, other: SocketConsumer[StompGeneration, ArtemisSession]) -> None:
        """Go on where one on another connection was."""
        super().succeed(other)
        if isinstance(other, CarefulConsumer):
            self.isolation = other.isolation

    # -- one at a time ------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Something came: wait with it."""
        self._held = True
        self._connection.loop.call_in(_HOLD, partial(self._release, self._attempt))

    def _release(self, attempt: int) -> None:
        if attempt == self._attempt and self._held:
            self._held = False
            self._connection.dirty.add(self)

    def remember(self, settled: Sequence[Arrived]) -> None:
        """These are acknowledged, and the listener doesn't stand as others do."""
        quarantine = self.isolation.quarantine
        self.isolation.acknowledged(incoming for _, incoming in settled)
        if quarantine.has_enough:
            self._may_be_quiet(self._attempt)
        if self._picks and not any(quarantine.seen.values()):
            self._wants_anew = True

    def _stop_picking(self, attempt: int) -> None:
        """Nothing more comes of what was selected: go on with what comes."""
        if attempt == self._attempt and self._picks and not (self._out or self._arrived):
            self.isolation.quarantine.settled([*self.isolation.quarantine.seen])
            self._wants_anew = True
            self._connection.dirty.add(self)

    def _see_whether_quiet(self) -> None:
        """Widen the window when it has been quiet for long enough."""
        left = self.isolation.quarantine.quiet_in(time.monotonic())
        if left is not None:
            self._connection.loop.call_in(left, partial(self._may_be_quiet, self._attempt))

    def _may_be_quiet(self, attempt: int) -> None:
        if attempt != self._attempt:
            return
        if self.isolation.quiet(time.monotonic()):
            self._wants_anew = True
            self._connection.dirty.add(self)
        else:
            self._see_whether_quiet()

    # -- what was set aside -------------------------------------------------------------------------------------------

    def hand_over_asides(self) -> None:
        """Have a dead letter stored for each message that was set aside, beyond the window."""
        told = {id(aside) for aside in self._stand_ins.values()}
        batch: list[Undeliverable] = []
        for aside in self.isolation.asides:
            if id(aside) not in told:
                number = next_number()
                self._stand_ins[number] = aside
                batch.append(Undeliverable(aside.message, aside.failure, number, self._attachment))
        if batch:
            self.hand_over(batch)

    def stood_in(self, settled: Sequence[Aside], outcome: Outcome) -> None:
        """Their dead letters are stored; or they are given back, and told again."""
        if outcome is Outcome.ACCEPT:
            for aside in settled:
                self.isolation.asides.remove(aside)
