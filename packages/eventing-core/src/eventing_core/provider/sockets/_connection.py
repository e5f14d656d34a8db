"""A connection to a broker through its generations, and the thread that drives it."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from eventing_core.errors import (
    AuthenticationError,
    BrokerConnectionError,
    ConnectionLostError,
    ConnectTimeoutError,
    ProtocolMismatchError,
    SendTimeoutError,
    TlsError,
    UnsupportedBrokerError,
)
from eventing_core.provider._interface import Destination, Health, Observer, Subscriber, Subscription
from eventing_core.provider.sockets._backoff import Backoff
from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._connecting import Connector, close_silently
from eventing_core.provider.sockets._consumer import SocketConsumer
from eventing_core.provider.sockets._errors import of_all, of_protocol
from eventing_core.provider.sockets._generation import Generation
from eventing_core.provider.sockets._loop import Loop, Timer, quietly
from eventing_core.provider.sockets._probing import Look
from eventing_core.provider.sockets._producer import SocketProducer
from eventing_core.provider.sockets._protocols import WireProtocol
from eventing_core.provider.sockets._send import Send

_log = logging.getLogger("eventing.sockets")

#: Between two looks for sends that are late, in seconds: a long line of deadlines isn't walked for each of them.
_EXPIRY_STEP = 0.01

#: Of the time that closing may take, this much is kept for the broker's good-bye, in seconds, or a quarter.
_GOODBYE = 1.0

#: A connection that held this long, in seconds, was a good one: the backoff begins again.
_STABLE = 5.0

#: How much longer than its time limit a connector may take, in seconds, before it is left alone.
_CONNECTOR_GRACE = 0.5

#: What keeps a connection from coming back until somebody changes something.
_LASTING = (AuthenticationError, TlsError, ProtocolMismatchError, UnsupportedBrokerError)


class Session(Protocol):
    """What a provider knows of the broker in one generation, beyond the connection itself."""

    def prepare(self, subscription: Subscription, ready: Callable[[Any], None]) -> None:
        """Make the queues of a subscription, the dead letters' first; ``ready(error)`` is called once."""

    def forget(self, subscription: Subscription) -> None:
        """Make them again when they are needed next: one may have been deleted."""

    def lost(self) -> None:
        """The generation is over: call nobody any more."""


#: A rest that is shorter, in seconds, is none: selectors count in milliseconds, and round up.
_SHORTEST = 0.0005

G = TypeVar("G", bound=Generation)
S = TypeVar("S", bound=Session)


class Connection(ABC, Generic[G, S]):
    """One life of a provider: from `open` to `close`.

    The public methods of the first part may be called on any thread; everything else runs on the I/O thread. A
    transport derives from it and says what a generation and a session are, and what sends and consumes.

    Args:
        config: the settings.
        name: of the I/O thread.

    Attributes:
        config: the settings.
        loop: to post commands to.
        refusing: no more sends are handed over.
        dirty: who may have something to write.
        generation_number: of the present generation, or the last one.
        place: host and port of the broker that it is connected to, or tries, for messages.
    """

    def __init__(self, config: SocketConfig, name: str) -> None:
        self.config = config
        self.loop = Loop()
        self.refusing = False
        self.dirty: set[SocketProducer[G, S] | SocketConsumer[G, S]] = set()
        self.generation_number = 0
        self._name = name
        self.place = config.place
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._opening: Future[None] = Future()
        self._observer: Observer = lambda _connected, _error: None
        self._was_open = False
        self._ended = False
        #: Of who starts the thread, or ends this connection in place of one that never ran.
        self._life = threading.Lock()
        self._ending = False
        #: Who carries out what was posted too late; others leave theirs to that one, so that nobody waits for it.
        self._leftovers = threading.Lock()
        self._error: Exception | None = None
        self._connected = False
        self._generation: G | None = None
        self._session: S | None = None
        self._connector: Connector | None = None
        self._handshake: Timer | None = None
        #: Asks the port of this attempt what it speaks, since it doesn't answer as it should.
        self._look: Look | None = None
        #: What the attempt ended with meanwhile, unless the look knows better.
        self._unlooked: Exception | None = None
        self._deadline = 0.0
        self._opened_at = 0.0
        self._backoff = Backoff(config.backoff_initial, config.backoff_max)
        self._brokers = config.of_each_broker()
        #: Which of them is connected to, or tried.
        self._broker = 0
        #: Why those that were tried in this round failed.
        self._failures: list[Exception] = []
        #: What kept it from connecting again, since it was connected.
        self._reported: set[type[Exception]] = set()
        self._connected_to = ""
        self._producers: list[SocketProducer[G, S]] = []
        self._consumers: list[SocketConsumer[G, S]] = []
        self._expiry_at = float("inf")
        self._expiry: Timer | None = None
        self._more = False
        self._closing = False
        self._said_goodbye = False
        self._finished = False

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
            BrokerConnectionError: there is none, from any broker; the thread has ended.
        """
        self._observer = observer
        self._warn_of_clear_password()
        with self._life:
            self._thread.start()
        try:
            self._opening.result()
        except BrokerConnectionError:
            self._thread.join()
            raise
        except BaseException:
            self.close(0.0)
            raise

    def _warn_of_clear_password(self) -> None:
        for config in self._brokers:
            if config.has_password and not config.tls and not _is_loopback(config.host):
                with quietly:
                    _log.warning(
                        "%s: the password is sent in clear text: set tls = true to encrypt the connection", config.place
                    )

    def hand_over(self, take: Callable[[list[Send]], None], sends: list[Send]) -> None:
        """Give sends to the I/O thread.

        Raises:
            ConnectionLostError: the provider is closed.
        """
        if self.refusing or self._ended:
            msg = "the provider is closed"
            raise ConnectionLostError(msg)
        self.loop.post(take, sends)
        if self._ended:
            self._run_leftovers()

    def hand_over_or(self, call: Callable[[Any], None], argument: Any, otherwise: Callable[[], None]) -> None:
        """Give a command to the I/O thread; once that has ended, do something else."""
        self.loop.post(call, argument)
        if self._ended:
            self._run_leftovers()
            otherwise()

    def producer(self, destination: Destination) -> SocketProducer[G, S]:
        """A new producer."""
        producer = self.make_producer(destination)
        self.loop.post(self._add_producer, producer)
        return producer

    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> SocketConsumer[G, S]:
        """A new consumer.

        Raises:
            ConnectionLostError: the provider is closed.
        """
        if self.refusing or self._ended:
            msg = "the provider is closed"
            raise ConnectionLostError(msg)
        consumer = self.make_consumer(subscription, subscriber)
        self.loop.post(self._add_consumer, consumer)
        if self._ended:
            self._run_leftovers()
        return consumer

    def health(self) -> Health:
        """How it is."""
        error = self._error
        connected = self._connected
        return Health(
            connected=connected,
            generation=self.generation_number,
            error="" if connected else str(error) if error else "not open",
            place=self._connected_to if connected else "",
        )

    def close(self, timeout: float) -> None:
        """Close in order; returns when the thread has ended, or after ``timeout`` seconds."""
        if not self._thread.is_alive():
            with self._life:
                is_over = not self._thread.is_alive()  # still: it may have been about to start
                mine = is_over and self._claim_end()
            if mine:
                self._end()
            if is_over:
                return
        self.refusing = True
        self.loop.post(self._begin_close, time.monotonic() + timeout)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout + _CONNECTOR_GRACE)

    def abandon(self) -> None:
        """In a forked child: close the descriptors. The engine's memory is left: the parent may have been inside."""
        self.refusing = self._ended = True
        # They may be held by threads that aren't there any more.
        self._life, self._leftovers = threading.Lock(), threading.Lock()
        self.loop.abandon()
        generation, self._generation = self._generation, None
        connector, self._connector = self._connector, None
        if generation is not None:
            close_silently(generation.sock)
        if connector is not None:
            connector.abandon()

    # -- the I/O thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._connect()
            while not self._finished:
                try:
                    self._turn()
                except Exception as error:  # noqa: BLE001 (the thread has to live)
                    self._lose(BrokerConnectionError(f"{self.place}: internal error: {type(error).__name__}"))
                    with quietly:
                        _log.exception("%s: the connection is given up after an internal error", self.place)
        finally:
            with self._life:
                mine = self._claim_end()
            if mine:
                self._end()

    def _turn(self) -> None:
        loop, generation = self.loop, self._generation
        limit: float | None = None
        if generation is not None:
            rests = False
            if self._more or (self.dirty and generation.is_open and not generation.blocked):
                limit = 0.0
            else:
                now = time.monotonic()
                rests = generation.rests_until - now > _SHORTEST and not generation.blocked
                due = min(generation.next_tick, generation.rests_until) if rests else generation.next_tick
                if due != float("inf"):
                    limit = max(0.0, due - now)
            loop.watch(None if rests else generation.sock, writing=generation.blocked)
        ready = loop.sleep(limit)
        if generation is not None and (ready or self._more):
            self._more = generation.read()
        loop.run_posted()
        loop.run_timers()
        generation = self._generation
        if generation is not None:
            self._drive(generation)
        if self._closing:
            self._go_on_closing(generation)
        if generation is not None and generation.failure is not None and not self._finished:
            self._lose(generation.failure)

    def _drive(self, generation: Generation) -> None:
        if generation.failure is None:
            if self.dirty and generation.is_open and not (generation.blocked and self._is_blocked(generation)):
                dirty, self.dirty = self.dirty, set()
                for endpoint in dirty:
                    endpoint.flush()
            generation.tick()
            generation.pump()
            generation.write()
            generation.pump()

    @staticmethod
    def _is_blocked(generation: Generation) -> bool:
        generation.write()
        return generation.blocked

    # -- connecting ---------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if self._finished or self._said_goodbye or self._connector or self._generation:
            return
        config = self._brokers[self._broker]
        self.place = config.place
        self._look = self._unlooked = None
        deadline = time.monotonic() + config.connect_timeout
        self._connector = connector = Connector(
            config,
            self._name,
            deadline,
            lambda result: self.hand_over_or(self._came, result, lambda: None),
            is_curious=not self._was_open,
        )
        self._handshake = self.loop.call_at(deadline + _CONNECTOR_GRACE, self._connector_late)
        self._deadline = deadline
        connector.start()

    def _connector_late(self) -> None:
        """The resolver hangs, or who is asked for the password; nothing can interrupt it."""
        if self._connector is not None:
            self._connector.cancel()
            self._connector = None
        what = "neither resolved nor was the password had" if self.config.asks_for_password else "not resolved"
        self._lose(ConnectTimeoutError(f"{self.place}: the host name is {what} within the connect time limit"))

    def _came(self, result: tuple[Connector, socket.socket | None, BrokerConnectionError | None]) -> None:
        connector, sock, error = result
        if connector is not self._connector or self._finished:
            if sock is not None:
                sock.close()
            return
        # It is about to end.
        connector.join(_CONNECTOR_GRACE)
        self._connector = None
        if self._handshake is not None:
            self._handshake.cancel()
        if sock is None:
            self._lose(error or ConnectTimeoutError(f"{self.place}: given up"))
            return
        self._more = False
        try:
            self._generation = generation = self.make_generation(sock, self.generation_number + 1, connector.config)
        except Exception as problem:  # noqa: BLE001 (whatever it is: whoever waits for the connection has to be told)
            sock.close()
            self._lose(BrokerConnectionError(f"{self.place}: internal error: {type(problem).__name__}"))
            with quietly:
                _log.exception("%s: the connection can't be used", self.place)
            return
        self._handshake = self.loop.call_at(self._deadline, generation.silent)
        if not self._was_open:
            self.loop.call_in(connector.config.soon, lambda: self._look_at(generation))

    def _look_at(self, generation: Generation) -> None:
        """Nothing came soon: see whether the port speaks something else."""
        if generation is self._generation and not (generation.heard or generation.is_open or generation.failure):
            self._begin_look()

    def _begin_look(self) -> None:
        if self._look is None:
            config = self._brokers[self._broker]
            until = max(self._deadline, time.monotonic() + config.soon)
            self._look = Look(config, until, lambda *found: self.hand_over_or(self._looked, found, lambda: None))
            self._look.start()

    def _waits_for_look(self, error: Exception) -> bool:
        """It ended without a word: whether the look, which goes on or begins now, is to say why."""
        if self._was_open or self._said_goodbye or not isinstance(error, ProtocolMismatchError):
            return False
        if self._unlooked is not None or (self._look is not None and not self._look.is_alive()):
            return False
        self._unlooked = error
        self._begin_look()
        return True

    def _looked(self, found: tuple[Look, WireProtocol | None]) -> None:
        look, protocol = found
        if look is not self._look or self._finished:
            return
        # It is about to end.
        look.join(_CONNECTOR_GRACE)
        generation, error = self._generation, self._unlooked
        wanted = self.config.protocol
        better = of_protocol(self.place, wanted, protocol) if protocol and not protocol.is_for(wanted) else None
        if error is not None:
            self._lose(better or error)
        elif better is not None and generation is not None and not (generation.heard or generation.is_open):
            generation.fail(better)

    def session_open(self) -> None:
        """The generation is open: tell everyone."""
        generation = self._generation
        session = self.make_session(generation) if generation is not None else None
        if generation is None or session is None:
            return
        if self._handshake is not None:
            self._handshake.cancel()
        self.generation_number = generation.number
        self._session = session
        self._error = None
        self._failures = []
        self._reported.clear()
        before, self._connected_to = self._connected_to, self.place
        self._connected = self._was_open = True
        self._opened_at = time.monotonic()
        self._observe(connected=True, error=None)
        for consumer in [*self._consumers]:
            consumer.attach(generation, session)
        for producer in self._producers:
            producer.attach(generation, session)
        if not self._opening.done():
            self._opening.set_result(None)
        if before not in {"", self.place}:
            with quietly:
                _log.warning("%s: connected, in place of %s", self.place, before)

    def _lose(self, error: Exception) -> None:
        """The one way out of every loss: drop the generation as a whole, and connect again.

        A round of attempts begins with the broker that was connected, unless it did not keep the connection for long:
        a restart, or a fault of the network, moves no client elsewhere.
        """
        was_connected, self._connected = self._connected, False
        refused = self._generation is not None and self._generation.refused
        self._error = error
        heard = self._generation.heard if self._generation is not None else b""
        self._drop()
        if not heard and self._waits_for_look(error):
            return
        if was_connected:
            if time.monotonic() - self._opened_at > _STABLE:
                self._backoff.reset()
            else:
                self._turn_to_next_broker()
            self._observe(connected=False, error=error)
            for consumer in [*self._consumers]:
                consumer.lost(error)
        elif self._round_goes_on(error):
            self.loop.call_in(0.0, self._connect)
            return
        elif not self._was_open:
            self._finish()
            self._opening.set_exception(self._error)
            return
        else:
            self._report(self._error)
        if self._said_goodbye:
            self._finish()
        else:
            self.loop.call_in(self.config.backoff_initial if refused else self._backoff.next(), self._connect)

    def _report(self, error: Exception) -> None:
        """A round of attempts to connect again failed: say so aloud, once, where waiting alone won't help."""
        kind = type(error)
        with quietly:
            if kind in self._reported or not isinstance(error, _LASTING):
                _log.debug("%s; trying again", error)
            else:
                _log.error("%s; trying again, until the broker or the settings are changed", error)
        self._reported.add(kind)

    def _round_goes_on(self, error: Exception) -> bool:
        """Note why a broker could not be had. True: there is another one to try at once."""
        self._failures.append(error)
        self._turn_to_next_broker()
        if len(self._failures) < len(self._brokers) and not self._said_goodbye:
            return True
        self._error = of_all(self._failures)
        self._failures = []
        return False

    def _turn_to_next_broker(self) -> None:
        self._broker = (self._broker + 1) % len(self._brokers)

    def _drop(self) -> None:
        generation, self._generation = self._generation, None
        session, self._session = self._session, None
        if self._handshake is not None:
            self._handshake.cancel()
        if session is not None:
            session.lost()
        self._more = False
        if generation is not None:
            self.loop.watch(None)
            for producer in self._producers:
                producer.lost()
            generation.free()

    def _observe(self, *, connected: bool, error: Exception | None) -> None:
        try:
            self._observer(connected, error)
        except Exception:  # noqa: BLE001 (must not end the I/O thread)
            with quietly:
                _log.exception("the state of the connection could not be handed over")

    # -- producers and consumers --------------------------------------------------------------------------------------

    def _add_producer(self, producer: SocketProducer[G, S]) -> None:
        self._producers.append(producer)
        if self._generation is not None and self._session is not None:
            producer.attach(self._generation, self._session)

    def _add_consumer(self, consumer: SocketConsumer[G, S]) -> None:
        if self._finished or self._closing:
            consumer.finish()
            return
        self._consumers.append(consumer)
        if self._generation is not None and self._session is not None:
            consumer.attach(self._generation, self._session)

    def forget(self, consumer: SocketConsumer[G, S]) -> None:
        """A consumer has closed."""
        self.dirty.discard(consumer)
        with contextlib.suppress(ValueError):
            self._consumers.remove(consumer)

    @property
    def closing(self) -> bool:
        """On the I/O thread: what comes now was handed over after the close began."""
        return self._closing

    # -- deadlines ----------------------------------------------------------------------------------------------------

    def expire_by(self, deadline: float) -> None:
        """Look for late sends at this time, or before."""
        if deadline < self._expiry_at:
            if self._expiry is not None:
                self._expiry.cancel()
            self._expiry_at = deadline
            self._expiry = self.loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        now = time.monotonic()
        self._expiry_at = float("inf")
        earliest = min([producer.expire(now) for producer in self._producers], default=self._expiry_at)
        generation = self._generation
        if generation is not None:
            for delivery, send in [*generation.sends.items()]:
                if not isinstance(send, Send):
                    continue
                if send.deadline <= now:
                    # Its late answer, if any, is passed over.
                    del generation.sends[delivery]
                    what = f"{send.producer.destination}: the broker has not confirmed it in time"
                    send.tell(SendTimeoutError(what, in_doubt=True))
                else:
                    earliest = min(earliest, send.deadline)
        if earliest != float("inf"):
            self.expire_by(max(earliest, now + _EXPIRY_STEP))

    # -- the end ------------------------------------------------------------------------------------------------------

    def _begin_close(self, deadline: float) -> None:
        if self._closing:
            return
        self._closing = True
        self.refusing = True
        left = max(0.0, deadline - time.monotonic())
        self.loop.call_at(deadline - min(_GOODBYE, left / 4), self._say_goodbye)
        self.loop.call_at(deadline, self._finish)

    def _go_on_closing(self, generation: Generation | None) -> None:
        if generation is not None and generation.closed:
            self._finish()
        elif not self._said_goodbye and not self._has_sends(generation):
            self._say_goodbye()
            if generation is not None:
                generation.write()
                generation.pump()

    def _has_sends(self, generation: Generation | None) -> bool:
        if any(producer.busy for producer in self._producers):
            return True
        return generation is not None and any(isinstance(send, Send) for send in generation.sends.values())

    def _say_goodbye(self) -> None:
        """Close the connection in order; what is unsettled goes back and isn't counted."""
        if self._said_goodbye:
            return
        self._said_goodbye = True
        generation = self._generation
        if generation is None or not generation.is_open:
            self._finish()
        else:
            generation.close()

    def _finish(self) -> None:
        self._finished = True

    def _claim_end(self) -> bool:
        """Whether it is the caller's to `_end`. Call it with the lock."""
        ending, self._ending = self._ending, True
        return not ending

    def _end(self) -> None:
        """Leave nothing behind. The last thing on the I/O thread; in place of it where it never ran. Under no lock."""
        self._finished = self._closing = self.refusing = True
        self._connected = False
        connector, self._connector = self._connector, None
        if connector is not None:
            connector.cancel()
            connector.join(_CONNECTOR_GRACE)
        if self._look is not None:
            self._look.end()
            self._look.join(_CONNECTOR_GRACE)
        self.loop.run_posted()
        self._drop()
        for producer in self._producers:
            producer.fail("the provider was closed before the broker confirmed")
        for consumer in [*self._consumers]:
            consumer.finish()
        if not self._opening.done():
            self._opening.set_exception(BrokerConnectionError(f"{self.place}: closed while it was connecting"))
        self._error = self._error if not self._was_open else None
        self.loop.close()
        self._ended = True
        self._run_leftovers()

    def _run_leftovers(self) -> None:
        """Carry out what was posted while the thread ended, or after: all of it fails.

        One thread at a time does. What is called may come here again, and a thread that finds another one at it leaves.
        """
        # Looked at again after it was given back: another thread may have posted and gone its way.
        while self.loop.has_posted and self._leftovers.acquire(blocking=False):
            try:
                self.loop.run_posted()
            finally:
                self._leftovers.release()


def _is_loopback(host: str) -> bool:
    if host.lower() in {"localhost", "localhost."}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
