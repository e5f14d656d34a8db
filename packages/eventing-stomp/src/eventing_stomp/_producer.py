"""Sends to one destination, over STOMP."""

from __future__ import annotations

from eventing_core.errors import SendRejectedError
from eventing_core.provider import Destination, Message
from eventing_core.provider.artemis import ArtemisProducer, Node, Reply
from eventing_core.provider.sockets import Carrier, next_number, of_encoding
from eventing_stomp._frames import lines
from eventing_stomp._generation import StompGeneration
from eventing_stomp._message import encode, encode_alone, filter_of, routing
from eventing_stomp._rights import Rights
from eventing_stomp._size import LEAST_ADDED, LOOKED_AT, Large, marked, record_size


class StompProducer(ArtemisProducer[StompGeneration]):
    """SEND frames, each with a receipt of its own: the receipt of a later frame confirms nothing earlier.

    Args:
        connection: what carries it.
        destination: where it sends to.
        node: the same, as the broker calls it.
        rights: the user's.
    """

    #: Some message had a large head; how large the broker takes it: None: ask; 0: it doesn't tell.
    _any_large = False
    _limit: int | None = None
    _asking = False

    def __init__(self, connection: Carrier, destination: Destination, *, node: Node, rights: Rights) -> None:
        super().__init__(connection, destination)
        self._rights = rights
        self._where = lines(routing(node, "destination-type"))

    @property
    def names(self) -> frozenset[str]:
        """Its address."""
        return frozenset((self._node.address.partition("::")[0],))

    def why_refused(self, text: str) -> str:
        """With the right that is missing, or probably missing."""
        return self._rights.why("send", self._node.address.partition("::")[0], text)

    def encode(self, message: Message, delay: float) -> bytes:
        """The message as a SEND frame."""
        write = encode_alone if self.destination.kind == "queue" else encode
        try:
            data = write(message, self._where, next_number(), delay)
        except UnicodeEncodeError as error:
            raise of_encoding(self.destination, message, error) from None
        if len(data) > LOOKED_AT:
            data = marked(data)
            if isinstance(data, Large):
                self._any_large = True
        return data

    def filter_of(self, data: bytes) -> str:
        """What finds a message in its queue."""
        return filter_of(data)

    def reset(self) -> None:
        """The next broker may be another one."""
        super().reset()
        self._limit, self._asking = None, False

    def can_write(self, generation: StompGeneration) -> bool:
        """Whether not too much waits for the socket already."""
        if generation.has_room:
            return True
        # It is tried again when the socket has taken something.
        self._connection.dirty.add(self)
        return False

    def write(self, generation: StompGeneration, *, unrouted: bool) -> None:
        """Write what there is room for."""
        if self._any_large and not self._sift():
            return
        if not generation.write_sends(self._waiting, unrouted=unrouted):
            self._connection.dirty.add(self)

    def _sift(self) -> bool:
        """Refuse what is larger than the broker can store: it would end the connection. False: it is being asked."""
        large = [send for send in self._waiting if isinstance(send.data, Large)]
        if large and self._limit is None:
            self._ask()
            return False
        for send in large:
            size = record_size(send.data) + LEAST_ADDED
            if self._limit and size >= self._limit:
                self._waiting.remove(send)
                text = (
                    f"its headers take {size} bytes in the broker's journal, whose records hold at most {self._limit}"
                )
                send.tell(SendRejectedError(f"{self.destination}: {text}", in_doubt=send.in_doubt, permanent=True))
        return True

    def _ask(self) -> None:
        session = self._session
        if session is None or self._asking:
            return
        self._asking = True

        def answered(reply: Reply) -> None:
            if session is self._session:
                self._limit = reply.value if reply.kind == "done" and isinstance(reply.value, int) else 0
                self._connection.dirty.add(self)

        session.management.attribute("broker", "JournalBufferSize", answered)
