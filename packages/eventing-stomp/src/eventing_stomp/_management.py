"""Artemis's management over STOMP: questions by SEND, answers by a subscription with a queue of our own.

That queue is a temporary one, and it is there in each generation before anything else, for more than the answers: when
a connection breaks, Artemis 2.44 clears up after it on two threads at once, and what its consumers had out can end
between them, held for nobody until the broker restarts. Where the connection has a temporary queue, one of the two
deletes that first, and the other is done before it comes back (decision 22).
"""

from __future__ import annotations

from eventing_core.provider.artemis import ADDRESS, NOTIFICATIONS, REPLIES, SUCCEEDED, Follower, Management
from eventing_core.provider.sockets import Loop
from eventing_stomp._errors import is_of_rights
from eventing_stomp._frames import Incoming
from eventing_stomp._generation import StompGeneration

#: What notifications tell, of that which matters.
_TOLD = ("_AMQ_NotifType", "_AMQ_Address")

#: So many refusals in a row are taken for a missing right.
_REFUSALS = 3


class Right:
    """What a user may do, or may not: learnt over the generations, since a refusal ends the connection.

    Artemis mostly doesn't say why it refuses ("Error sending message"): one refusal may have any reason.
    """

    def __init__(self) -> None:
        self._refusals = 0

    def copy(self) -> Right:
        """The same for another connection."""
        other = Right()
        other._refusals = self._refusals
        return other

    @property
    def given(self) -> bool:
        """It is worth while to try."""
        return self._refusals < _REFUSALS

    def refused(self, error: str) -> None:
        """The broker did not let it."""
        self._refusals = _REFUSALS if is_of_rights(error) else self._refusals + 1

    def used(self) -> None:
        """The broker let it."""
        self._refusals = 0


class Access:
    """A user's rights.

    Attributes:
        asking: to ask management.
        temporary: to have a temporary queue.
        following: to follow notifications; taken away by one refusal, since all works without them, too.
    """

    def __init__(self) -> None:
        self.following = True
        self.asking = Right()
        self.temporary = Right()

    def copy(self) -> Access:
        """The same for another connection."""
        other = Access()
        other.following = self.following
        other.asking, other.temporary = self.asking.copy(), self.temporary.copy()
        return other


class StompManagement(Management):
    """The broker's management, in one generation. The queue for answers is made at once."""

    def __init__(self, generation: StompGeneration, loop: Loop, access: Access) -> None:
        super().__init__(loop)
        self._generation = generation
        self._access = access
        if access.temporary.given:
            _Replies(generation, self)
        if not (access.temporary.given and access.asking.given):
            self.deny("refused before")

    def flush(self) -> None:
        """Send what is waiting."""
        while self.waiting:
            call = self.waiting.popleft()
            headers = {
                "destination": ADDRESS,
                "reply-to": REPLIES,
                "correlation-id": call.number,
                **call.headers,
            }
            # Without a length it is text, which management wants.
            self._generation.request("SEND", headers, self._sent, call.body.encode())

    def follow(self, selector: str, follower: Follower) -> None:
        """Subscribe to notifications, unless the broker has refused that before."""
        if self._access.following:
            _Notifications(self._generation, selector, follower, self._access)
        else:
            follower.unfollowed("refused before")

    def _sent(self, error: str | None) -> None:
        if error is not None:
            self._refused(self._access.asking, error)

    def had(self, error: str | None) -> None:
        """There is a queue for answers; or why there is none."""
        if error is None:
            self._access.temporary.used()
        else:
            self._refused(self._access.temporary, error)

    def _refused(self, right: Right, error: str) -> None:
        """The connection is over. While the right may be given, all that was asked is asked again over the next one."""
        right.refused(error)
        if not right.given:
            self.deny(error)

    def came(self, incoming: Incoming) -> None:
        """An answer came."""
        self._access.asking.used()
        succeeded = incoming.header(SUCCEEDED.encode()) == "true"
        self.answered(incoming.header(b"correlation-id"), incoming.body, succeeded=succeeded)


class _Replies:
    """The queue for answers: a multicast subscription that isn't durable is a temporary queue."""

    gives_back = False
    names = frozenset((REPLIES,))

    def __init__(self, generation: StompGeneration, management: StompManagement) -> None:
        self._management = management
        generation.subscribe(self, _to(REPLIES, management.selector))

    def answered(self, subscription: str, error: str | None) -> None:  # noqa: ARG002 (a handler's signature)
        """The queue is there; or the user lacks a right."""
        self._management.had(error)

    def arrived(self, subscription: str, incoming: Incoming) -> None:  # noqa: ARG002 (a handler's signature)
        """An answer came."""
        self._management.came(incoming)


class _Notifications:
    """The subscription to notifications."""

    gives_back = False
    names = frozenset((NOTIFICATIONS,))

    def __init__(self, generation: StompGeneration, selector: str, follower: Follower, access: Access) -> None:
        self._follower = follower
        self._access = access
        generation.subscribe(self, _to(NOTIFICATIONS, selector))

    def answered(self, subscription: str, error: str | None) -> None:  # noqa: ARG002 (a handler's signature)
        """It is there; or the broker refuses it, and ends the connection for that."""
        if error is not None:
            self._access.following = False
            self._follower.unfollowed(error)

    def arrived(self, subscription: str, incoming: Incoming) -> None:  # noqa: ARG002 (a handler's signature)
        """A notification has arrived."""
        self._follower.notified({name: incoming.header(name.encode()) for name in _TOLD})


def _to(address: str, selector: str) -> dict[str, str]:
    return {"destination": address, "subscription-type": "MULTICAST", "ack": "auto", "selector": selector}
