"""Who is told of what happens on an AMQP connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

from eventing_core.provider.sockets import Send, SendOwner

#: An error condition of AMQP: name and description.
Condition = tuple[str, str] | None


class AmqpSendOwner(SendOwner, Protocol):
    """Whose a `Send` is."""

    def refused(self, send: Send, outcome: int, condition: Condition) -> None:
        """The broker answered with something else than a plain acceptance."""


class Outgoing(Protocol):
    """Something else than a `Send` on its way.

    Attributes:
        unrouted: as of a `Send`: False, so that an acceptance takes the short way.
    """

    data: bytes
    done: Any
    index: int
    unrouted: bool

    def refused(self) -> None:
        """It was answered by something else than an acceptance."""


class LinkHandler(Protocol):
    """What a link's owner is told."""

    def opened(self) -> None:
        """The peer agreed to the link."""

    def flowed(self) -> None:
        """The credit has changed."""

    def arrived(self) -> None:
        """There are deliveries."""

    def closed(self, condition: Condition) -> None:
        """The peer refused or closed the link. It is freed already."""


class ConnectionHandler(ABC):
    """What the owner of a connection is told."""

    @abstractmethod
    def on_introduced(self, product: str) -> None:
        """The peer opened the connection, and calls itself that."""

    @abstractmethod
    def on_session_opened(self) -> None:
        """The peer opened the session."""

    @abstractmethod
    def on_session_closed(self, condition: Condition) -> None:
        """The peer closed the session."""

    @abstractmethod
    def on_connection_closed(self, condition: Condition) -> None:
        """The peer closed the connection."""

    @abstractmethod
    def on_failed(self, condition: Condition) -> None:
        """The engine gave up."""

    @abstractmethod
    def on_ended(self) -> None:
        """Both sides have closed."""

    @abstractmethod
    def on_oversized(self) -> None:
        """A message came that is larger than allowed."""

    @abstractmethod
    def locked_out(self, condition: Condition) -> bool:
        """A refusal came. True: nothing works on this connection any more."""
