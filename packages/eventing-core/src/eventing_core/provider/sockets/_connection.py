"""A connection to a broker through its generations, and the thread that drives it."""

from __future__ import annotations

import logging
import socket
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from eventing_core.errors import BrokerConnectionError, ConnectionLostError
from eventing_core.provider._interface import Destination, Handle, Health, Observer, Subscriber, Subscription
from eventing_core.provider.sockets._attempt import GRACE, Attempt
from eventing_core.provider.sockets._backoff import Backoff
from eventing_core.provider.sockets._brokers import Brokers
from eventing_core.provider.sockets._carrier import Endpoint
from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._connecting import close_silently
from eventing_core.provider.sockets._connection_log import ConnectionLog
from eventing_core.provider.sockets._consumer import SocketConsumer
from eventing_core.provider.sockets._deadlines import Deadlines
from eventing_core.provider.sockets._driver import Driver
from eventing_core.provider.sockets._endpoints import Endpoints
from eventing_core.provider.sockets._generation import Generation
from eventing_core.provider.sockets._loop import quietly
from eventing_core.provider.sockets._producer import SocketProducer
from eventing_core.provider.sockets._send import Send
from eventing_core.provider.sockets._session import Session
from eventing_core.provider.sockets._states import OVER, REFUSING, TRYING, UP, ConnectionInput, ConnectionState

_log = logging.getLogger("eventing.sockets")

#: Of the time that closing may take, this much is kept for the broker's good-bye, in seconds, or a quarter.
_GOODBYE = 1.0

#: A connection that held this long, in seconds, was a good one: the backoff begins again.
_STABLE = 5.0

_CLOSED = "the provider is closed"

#: By itself, since it is looked at for each send: to look into a set calls a function for the hash.
_CONNECTED = ConnectionState.CONNECTED
_DRAINING = frozenset({ConnectionState.DRAINING, ConnectionState.STRANDED})

G = TypeVar("G", bound=Generation)
S = TypeVar("S", bound=Session)


class Connection(Driver[G], Generic[G, S]):
    """One life of a provider, from `open` to `close`: carries out what `ConnectionState` names.

    The public methods of the first part may be called on any thread; everything else runs on the I/O thread. A
    transport derives from it and says what a generation and a session are, and what sends and consumes.

    Args:
        config: the settings.
        name: of the I/O thread.

    Attributes:
        generation_number: of the present generation, or the last one; 0: there was none.
    """

    def __init__(self, config: SocketConfig, name: str) -> None:
        super().__init__(config, name)
        self.generation_number = 0
        self._name = name
        self._opening: Future[None] = Future()
        self._observer: Observer = lambda _connected, _error: None
        self._error: Exception | None = None
        #: The present attempt to connect, or the last one.
        self._attempt: Attempt | None = None
        self._brokers = Brokers(config.of_each_broker())
        self._backoff = Backoff(config.backoff_initial, config.backoff_max)
        self._opened_at = 0.0
        self._log = ConnectionLog()
        self._endpoints: Endpoints[G, S] = Endpoints()
        #: ``expire_by(deadline)``: look for late sends at this time, or before.
        self.expire_by: Callable[[float], None] = Deadlines(self.loop, self._endpoints.expire).add

    # -- what a transport is -------------------------------------------------------------------------------------------

    @abstractmethod
    def make_generation(self, sock: socket.socket, number: int, config: Any) -> G:
        """A generation on a connected socket; it calls `session_open` once the peer has agreed.

        ``config`` is of the type that the connection was made with; its host, port and password are those of this
        connection.
        """

    @abstractmethod
    def make_session(self, generation: G) -> S | None:
        """What goes with an open generation. None: it can't be used; `Generation.fail` was called."""

    @abstractmethod
    def make_producer(self, destination: Destination) -> SocketProducer[G, S]:
        """A new producer, on the caller's thread."""

    @abstractmethod
    def make_consumer(self, subscription: Subscription, subscriber: Subscriber) -> SocketConsumer[G, S]:
        """A new consumer, on the caller's thread."""

    # -- any thread ---------------------------------------------------------------------------------------------------

    def open(self, observer: Observer) -> None:
        """Start the thread and wait for the first connection.

        Raises:
            BrokerConnectionError: no broker could be reached; the thread has ended.
        """
        self._observer = observer
        self._log.begins(self.config)
        try:
            with self._starting:
                if self.state is ConnectionState.NEW:
                    self._advance(ConnectionInput.OPEN)
                    self._thread.start()
            self._opening.result()
        except BrokerConnectionError:
            if self._thread.ident is not None:
                self._thread.join()
            raise
        except BaseException:
            self.close(0.0)
            raise

    def hand_over(self, take: Callable[[list[Send]], None], sends: list[Send]) -> None:
        """Give sends to the I/O thread.

        Raises:
            ConnectionLostError: the provider is closed.
        """
        if self.state is not _CONNECTED and self.state in REFUSING:
            raise ConnectionLostError(_CLOSED)
        self.loop.post(take, sends)
        if self.loop.closed:
            self.loop.finish_posted()

    def hand_over_or(self, call: Callable[[Any], None], argument: Any, otherwise: Callable[[], None]) -> None:
        """Give a command to the I/O thread; once that has ended, do something else."""
        if not self.loop.hand_over(call, argument):
            otherwise()

    def producer(self, destination: Destination) -> SocketProducer[G, S]:
        """A new producer."""
        producer = self.make_producer(destination)
        self.loop.post(self._endpoints.add_producer, producer)
        return producer

    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> Handle:
        """A new consumer.

        Raises:
            ConnectionLostError: the provider is closed.
        """
        self.refuse_when_closing()
        consumer = self.make_consumer(subscription, subscriber)
        self.welcome(consumer)
        return consumer

    def refuse_when_closing(self) -> None:
        """See whether it takes anything new.

        Raises:
            ConnectionLostError: the provider is closed.
        """
        if self.closing:
            raise ConnectionLostError(_CLOSED)

    def welcome(self, consumer: SocketConsumer[G, S]) -> None:
        """Attach a consumer, soon."""
        self.loop.hand_over(self._add_consumer, consumer)

    def health(self) -> Health:
        """How it is."""
        error = self._error
        connected = self.state in UP
        return Health(
            connected=connected,
            generation=self.generation_number,
            error="" if connected else str(error) if error else "not open",
            place=self.place if connected else "",
        )

    def close(self, timeout: float) -> None:
        """Close the connection properly; return when the thread has ended, or after ``timeout`` seconds."""
        if not self._thread.is_alive():
            with self._starting:
                is_over = not self._thread.is_alive()  # still: it may have been about to start
                mine = is_over and self.state in {ConnectionState.NEW, ConnectionState.CONNECTING}
                if mine:
                    self._advance(ConnectionInput.CLOSE)
            if mine:
                self._end()
            if is_over:
                return
        self.loop.post(self._begin_close, time.monotonic() + timeout)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout + GRACE)

    def abandon(self) -> None:
        """In a forked child: close the descriptors. The engine's memory is not freed: it may have been in use."""
        self._advance(ConnectionInput.FORKED)
        # It may be held by a thread that isn't there any more.
        self._starting = threading.Lock()
        self.loop.abandon()
        generation, self._generation = self._generation, None
        attempt, self._attempt = self._attempt, None
        if generation is not None:
            close_silently(generation.sock)
        if attempt is not None:
            attempt.abandon()

    @property
    def session(self) -> S | None:
        """Of the present generation, on the I/O thread."""
        return self._endpoints.session

    @property
    def closing(self) -> bool:
        """Whether it takes nothing new: on the I/O thread, what comes now was handed over after the close began."""
        return self.state is not _CONNECTED and self.state in REFUSING

    # -- connecting ---------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if self.state not in TRYING or (self._attempt is not None and self._attempt.is_under_way):
            return
        config = self._brokers.current
        self.place = config.place
        self._attempt = attempt = Attempt(
            config,
            self._name,
            self.loop,
            is_first=not self.generation_number,
            dialed=self._begin_generation,
            failed=self._attempt_failed,
        )
        attempt.start()

    def _begin_generation(self, sock: socket.socket, config: SocketConfig) -> G:
        self._generation = generation = self.make_generation(sock, self.generation_number + 1, config)
        return generation

    def session_open(self) -> None:
        """The generation is open: tell everyone."""
        generation, attempt = self._generation, self._attempt
        if generation is None or attempt is None or self.state not in TRYING:
            return
        session = self.make_session(generation)
        if session is None:
            return
        attempt.opened()
        self.generation_number = generation.number
        self._error = None
        self._brokers.connected()
        self._opened_at = time.monotonic()
        self._advance(ConnectionInput.ESTABLISHED)
        self._observe(connected=True, error=None)
        self._endpoints.attach(generation, session)
        if not self._opening.done():
            self._opening.set_result(None)
        self._log.connected(self.place)

    def _attempt_failed(self, error: Exception) -> None:
        problem = self._brokers.failed(error)
        if problem is None:
            self.loop.call_in(0.0, self._connect)
            return
        self._error = problem
        self._advance(ConnectionInput.FAILED)
        if self.state is ConnectionState.ENDING:
            self._opening.set_exception(problem)
        else:
            self._log.failed(problem)
            self.loop.call_in(self._backoff.next(), self._connect)

    def _lose(self, error: Exception) -> None:
        """The one way out of every loss: drop the generation as a whole, and connect again."""
        if self.state in OVER:
            return
        self._error = error
        generation, attempt = self._generation, self._attempt
        if self.state in UP:
            self._advance(ConnectionInput.LOST)
            self._drop()
            self._lost(error, at_once=generation is not None and generation.refused)
        elif attempt is not None and attempt.is_under_way:
            self._drop()
            attempt.fail(error, generation.heard if generation is not None else b"")

    def _lost(self, error: Exception, *, at_once: bool) -> None:
        """Try again, first the broker that was connected, unless it did not keep the connection for long.

        A restart, or a fault of the network, moves no client elsewhere.
        """
        if time.monotonic() - self._opened_at > _STABLE:
            self._backoff.reset()
        else:
            self._brokers.turn()
        self._observe(connected=False, error=error)
        self._endpoints.lost(error)
        if self.state in TRYING:
            self.loop.call_in(self.config.backoff_initial if at_once else self._backoff.next(), self._connect)

    def _drop(self) -> None:
        generation, self._generation = self._generation, None
        self._endpoints.detach()
        if generation is not None:
            self.loop.watch(None)
            generation.free()

    def _observe(self, *, connected: bool, error: Exception | None) -> None:
        try:
            self._observer(connected, error)
        except Exception:  # noqa: BLE001 (must not end the I/O thread)
            with quietly:
                _log.exception("the state of the connection could not be handed over")

    # -- producers and consumers --------------------------------------------------------------------------------------

    def _add_consumer(self, consumer: SocketConsumer[G, S]) -> None:
        if self.closing:
            consumer.finish()
        else:
            self._endpoints.add_consumer(consumer)

    def forget(self, consumer: Endpoint) -> None:
        """A consumer has closed."""
        self.dirty.discard(consumer)
        self._endpoints.remove(consumer)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _begin_close(self, deadline: float) -> None:
        if self.closing:
            return
        self._advance(ConnectionInput.CLOSE)
        left = max(0.0, deadline - time.monotonic())
        self.loop.call_at(deadline - min(_GOODBYE, left / 4), self._say_goodbye)
        self.loop.call_at(deadline, lambda: self._advance(ConnectionInput.CUT))

    def _go_on_closing(self, generation: G | None) -> None:
        if self.state is ConnectionState.CLOSING:
            if generation is not None and generation.closed:
                self._advance(ConnectionInput.GOODBYE)
        elif self.state in _DRAINING and not self._endpoints.has_sends():
            self._say_goodbye()
            if generation is not None:
                generation.write()
                generation.pump()

    def _say_goodbye(self) -> None:
        """Close the connection in order; what is unsettled goes back and isn't counted."""
        if self.state in _DRAINING:
            self._advance(ConnectionInput.DRAINED)
            if self.state is ConnectionState.CLOSING and self._generation is not None:
                self._generation.close()

    def _end(self) -> None:
        """Leave nothing behind. The last thing on the I/O thread; in place of it where it never ran. Under no lock."""
        if self._attempt is not None:
            self._attempt.end()
        self.loop.run_posted()
        self._drop()
        self._endpoints.finish()
        if not self._opening.done():
            self._opening.set_exception(BrokerConnectionError(f"{self.place}: closed while it was connecting"))
        if self.generation_number:
            self._error = None
        self.loop.close()
        self._advance(ConnectionInput.RELEASED)
        self.loop.finish_posted()
