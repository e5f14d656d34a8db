"""What producers and consumers need of the connection that carries them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from eventing_core.provider._interface import Health
from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._loop import Loop
from eventing_core.provider.sockets._send import Send


class Endpoint(Protocol):
    """A producer or consumer."""

    def flush(self) -> None:
        """Write what there is to write. Runs on the I/O thread."""


class Carrier(Protocol):
    """A connection, as its producers and consumers see it.

    Attributes:
        config: the settings.
        loop: to post commands to.
        dirty: who may have something to write.
    """

    config: SocketConfig
    loop: Loop
    dirty: set[Endpoint]

    @property
    def closing(self) -> bool:
        """On the I/O thread: what comes now was handed over after the close began."""
        ...

    def hand_over(self, take: Callable[[list[Send]], None], sends: list[Send]) -> None:
        """Give sends to the I/O thread. Thread-safe.

        Raises:
            ConnectionLostError: the provider is closed.
        """

    def hand_over_or(self, call: Callable[[Any], None], argument: Any, otherwise: Callable[[], None]) -> None:
        """Give a command to the I/O thread; once that has ended, do something else. Thread-safe."""

    def expire_by(self, deadline: float, /) -> None:
        """Look for late sends at this time, or before."""

    def forget(self, consumer: Endpoint) -> None:
        """A consumer has closed."""

    def health(self) -> Health:
        """Return the state of the connection."""
        ...
