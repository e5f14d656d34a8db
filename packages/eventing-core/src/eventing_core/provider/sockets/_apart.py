"""Subscriptions that can move to a connection of their own, and those connections."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from eventing_core.errors import BrokerConnectionError
from eventing_core.provider._interface import Delivery, Handle, Outcome
from eventing_core.provider.sockets._attempt import GRACE
from eventing_core.provider.sockets._backoff import Backoff
from eventing_core.provider.sockets._consumer import SocketConsumer
from eventing_core.provider.sockets._loop import quietly

_log = logging.getLogger("eventing.sockets")

#: How long a connection may take to close where nobody waits for it, in seconds.
_GOODBYE = 5.0


class Home(Protocol):
    """A connection that one subscription has to itself."""

    def open(self, observer: Callable[[bool, Exception | None], None]) -> None:
        """Connect."""

    def close(self, timeout: float) -> None:
        """Close."""

    def abandon(self) -> None:
        """In a forked child: drop it."""

    def adopt(self, consumer: Any) -> Any:
        """Carry on a consumer of another connection, by one of its own, which is returned; it isn't attached yet."""
        ...

    def welcome(self, consumer: Any) -> None:
        """Attach it."""


class ApartHandle(Handle):
    """A subscription on the connection that all share, or on one of its own. Thread-safe.

    Args:
        consumer: on the shared connection.
        make: a connection like that.
        backoff: the first and the longest wait between attempts to open its own connection, in seconds.
    """

    def __init__(
        self, consumer: SocketConsumer[Any, Any], make: Callable[[], Home], backoff: tuple[float, float]
    ) -> None:
        #: Guards who opens, and who closes: `_consumer`, `_home`, `_is_over`.
        self._lock = threading.Lock()
        self._consumer = consumer
        self._make = make
        self._backoff = Backoff(*backoff)
        self._home: Home | None = None
        self._is_over = False
        self._over = threading.Event()
        self._mover: threading.Thread | None = None

    @property
    def consumer(self) -> SocketConsumer[Any, Any]:
        """On the connection that it has now."""
        return self._consumer

    # -- the core's side ----------------------------------------------------------------------------------------------

    @property
    def flaw(self) -> str:
        """What is wrong while it is attached."""
        return self._consumer.flaw

    def settle(self, batch: Sequence[Delivery], outcome: Outcome) -> None:
        """Settle, soon."""
        self._consumer.settle(batch, outcome)

    def window(self, size: int) -> None:
        """Set the window, soon."""
        self._consumer.window(size)

    def close(self) -> Future[None]:
        """Unsubscribe; its own connection goes, too."""
        consumer, home = self._finish()
        closing = consumer.close()
        if home is not None:
            closing.add_done_callback(lambda _: self._leave(home))
        return closing

    def _finish(self) -> tuple[SocketConsumer[Any, Any], Home | None]:
        with self._lock:
            self._is_over = True
            found = self._consumer, self._home
        self._over.set()
        return found

    @staticmethod
    def _leave(home: Home) -> None:
        # Whoever closes a subscription is not to wait for a connection.
        threading.Thread(target=home.close, args=(_GOODBYE,), name="eventing-leaving", daemon=True).start()

    # -- moving -------------------------------------------------------------------------------------------------------

    def move(self) -> None:
        """Go on over a connection of its own. On the I/O thread of the shared one, once."""
        self._consumer.retire()
        name = f"eventing-moving-{self._consumer.subscription.destination.group}"
        self._mover = threading.Thread(target=self._move, name=name, daemon=True)
        self._mover.start()

    def _move(self) -> None:
        home = self._open()
        if home is None:
            return
        successor = home.adopt(self._consumer)
        with self._lock:
            is_over = self._is_over
            if not is_over:
                self._consumer = successor
        if is_over:
            home.close(_GOODBYE)
        else:
            home.welcome(successor)

    def _open(self) -> Home | None:
        """Connect, however long it takes; None: the subscription was closed meanwhile."""
        while True:
            home = self._make()
            with self._lock:
                if self._is_over:
                    return None
                self._home = home
            try:
                home.open(self._observe)
            except BrokerConnectionError as error:
                with quietly:
                    _log.debug(
                        "%s: its own connection: %s; trying again", self._consumer.subscription.destination, error
                    )
            else:
                return home
            if self._over.wait(self._backoff.next()):
                return None

    def _observe(self, connected: bool, error: Exception | None) -> None:  # noqa: FBT001 (as `Provider.open` has it)
        with quietly:
            what = "connected" if connected else f"connection lost: {error}; reconnecting"
            _log.info("%s: on a connection of its own: %s", self._consumer.subscription.destination, what)

    # -- the provider's side ------------------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """It was closed, and is on the shared connection."""
        return self._is_over and self._mover is None

    def end(self, deadline: float) -> None:
        """Close its own connection, if there is one; nothing of it is left by then, of `time.monotonic`."""
        _, home = self._finish()
        if home is not None:
            home.close(max(0.0, deadline - time.monotonic()))
        if self._mover is not None:
            self._mover.join(max(0.0, deadline - time.monotonic()) + GRACE)

    def abandon(self) -> None:
        """In a forked child: drop its own connection."""
        # It may be held by a thread that isn't there any more.
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._is_over = True
        home, self._home = self._home, None
        if home is not None:
            home.abandon()


class Apart:
    """The subscriptions of one connection that can move. Thread-safe."""

    def __init__(self) -> None:
        #: Guards `_handles`.
        self._lock = threading.Lock()
        self._handles: list[ApartHandle] = []

    def add(self, handle: ApartHandle) -> None:
        """One more."""
        with self._lock:
            self._handles = [*(other for other in self._handles if not other.is_over), handle]

    def end(self, timeout: float) -> None:
        """Close their own connections, all at once."""
        deadline = time.monotonic() + timeout
        with self._lock:
            handles, self._handles = self._handles, []
        ending = [threading.Thread(target=handle.end, args=(deadline,), daemon=True) for handle in handles]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join(max(0.0, deadline - time.monotonic()) + GRACE)

    def abandon(self) -> None:
        """In a forked child: drop their own connections."""
        self._lock = threading.Lock()
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.abandon()
