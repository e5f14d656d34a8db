"""The connection to the broker, through its generations, and the thread that drives it."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from eventing_amqp import _engine
from eventing_amqp._address import Artemis, Queue, model_of
from eventing_amqp._backoff import Backoff
from eventing_amqp._config import AmqpConfig
from eventing_amqp._connecting import Connector, close_silently
from eventing_amqp._consumer import AmqpConsumer
from eventing_amqp._generation import Generation
from eventing_amqp._loop import Loop, Timer
from eventing_amqp._producer import AmqpProducer, Send
from eventing_amqp._provisioning import Broker, Warned
from eventing_core.errors import (
    BrokerConnectionError,
    ConnectionLostError,
    ConnectTimeoutError,
    SendTimeoutError,
    UnsupportedBrokerError,
)
from eventing_core.provider import Destination, Health, Observer, Subscriber, Subscription

_log = logging.getLogger("eventing.amqp")

#: Between two looks for sends that are late, in seconds: a long line of deadlines isn't walked for each of them.
_EXPIRY_STEP = 0.01

#: Of the time that closing may take, this much is kept for the broker's good-bye, in seconds, or a quarter.
_GOODBYE = 1.0

#: A connection that held this long, in seconds, was a good one: the backoff begins again.
_STABLE = 5.0

#: How much longer than its time limit a connector may take, in seconds, before it is left alone.
_CONNECTOR_GRACE = 0.5


class Connection:
    """One life of a provider: from `open` to `close`.

    The public methods of the first part may be called on any thread; everything else runs on the I/O thread.

    Attributes:
        config: the settings.
        loop: to post commands to.
        refusing: no more sends are taken.
        dirty: who may have something to write.
        generation_number: of the present generation, or the last one.
    """

    def __init__(self, config: AmqpConfig, server_name: str) -> None:
        self.config = config
        self.loop = Loop()
        self.refusing = False
        self.dirty: set[AmqpProducer | AmqpConsumer] = set()
        self.generation_number = 0
        self._place = f"{config.host}:{config.port}"
        self._container = f"eventing-{server_name}-{os.getpid()}-{secrets.token_hex(4)}"
        self._thread = threading.Thread(target=self._run, name=f"eventing-amqp-{self._place}", daemon=True)
        self._opening: Future[None] = Future()
        self._observer: Observer = lambda _connected, _error: None
        self._was_open = False
        self._ended = False
        self._end_lock = threading.Lock()
        self._error: Exception | None = None
        self._connected = False
        self._generation: Generation | None = None
        self._broker: Broker | None = None
        self._model: Artemis | None = None
        self._connector: Connector | None = None
        self._handshake: Timer | None = None
        self._opened_at = 0.0
        self._backoff = Backoff(config.backoff_initial, config.backoff_max)
        self._warned = Warned()
        self._producers: list[AmqpProducer] = []
        self._consumers: list[AmqpConsumer] = []
        self._queues: dict[str, Queue] = {}
        self._expiry_at = float("inf")
        self._expiry: Timer | None = None
        self._more = False
        self._closing = False
        self._said_goodbye = False
        self._finished = False

    # -- any thread ---------------------------------------------------------------------------------------------------

    def open(self, observer: Observer) -> None:
        """Start the thread and wait for the first connection.

        Raises:
            BrokerConnectionError: there is none; the thread has ended.
        """
        self._observer = observer
        self._warn_of_clear_password()
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
        config = self.config
        if config.mechanism == "PLAIN" and not config.tls and not _is_loopback(config.host):
            _log.warning("%s: the password travels in clear; tls = true encrypts the connection", self._place)

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

    def producer(self, destination: Destination) -> AmqpProducer:
        """A new producer."""
        producer = AmqpProducer(self, destination)
        self.loop.post(self._add_producer, producer)
        return producer

    def subscribe(self, subscription: Subscription, subscriber: Subscriber) -> AmqpConsumer:
        """A new consumer.

        Raises:
            ConnectionLostError: the provider is closed.
        """
        if self.refusing or self._ended:
            msg = "the provider is closed"
            raise ConnectionLostError(msg)
        consumer = AmqpConsumer(self, subscription, subscriber)
        self.loop.post(self._add_consumer, consumer)
        return consumer

    def health(self) -> Health:
        """How it is."""
        error = self._error
        connected = self._connected
        return Health(
            connected=connected,
            generation=self.generation_number,
            error="" if connected else str(error) if error else "not open",
        )

    def close(self, timeout: float) -> None:
        """Close in order; returns when the thread has ended, or after ``timeout`` seconds."""
        if not self._thread.is_alive():
            self._end()
            return
        self.refusing = True
        self.loop.post(self._begin_close, time.monotonic() + timeout)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout + _CONNECTOR_GRACE)

    def abandon(self) -> None:
        """In a forked child: close the descriptors. The engine's memory is left: the parent may have been inside."""
        self.refusing = self._ended = True
        self.loop.abandon()
        generation, connector = self._generation, self._connector
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
                    _log.exception("%s: the connection is given up after an internal error", self._place)
                    self._lose(BrokerConnectionError(f"{self._place}: internal error: {type(error).__name__}"))
        finally:
            self._end()

    def _turn(self) -> None:
        loop, generation = self.loop, self._generation
        limit: float | None = None
        if generation is not None:
            loop.watch(generation.sock, writing=generation.blocked)
            if self._more or (self.dirty and generation.is_open and not generation.blocked):
                limit = 0.0
            elif generation.next_tick != float("inf"):
                limit = max(0.0, generation.next_tick - time.monotonic())
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
        if self._finished or self._said_goodbye:
            return
        deadline = time.monotonic() + self.config.connect_timeout
        self._connector = connector = Connector(
            self.config, deadline, lambda result: self.loop.post(self._came, result)
        )
        self._handshake = self.loop.call_at(deadline + _CONNECTOR_GRACE, self._connector_late)
        self._deadline = deadline
        connector.start()

    def _connector_late(self) -> None:
        """The resolver hangs; nothing can interrupt it."""
        if self._connector is not None:
            self._connector.cancel()
            self._connector = None
        self._lose(ConnectTimeoutError(f"{self._place}: the host name is not resolved within the connect time limit"))

    def _came(self, result: tuple[Connector, socket.socket | None, BrokerConnectionError | None]) -> None:
        connector, sock, error = result
        # It is about to end.
        connector.join(_CONNECTOR_GRACE)
        if connector is not self._connector or self._finished:
            if sock is not None:
                sock.close()
            return
        self._connector = None
        if self._handshake is not None:
            self._handshake.cancel()
        if sock is None:
            self._lose(error or ConnectTimeoutError(f"{self._place}: given up"))
            return
        self._more = False
        self._generation = generation = Generation(
            _engine.load(),
            sock,
            self.generation_number + 1,
            config=self.config,
            container=self._container,
            introduced=self._introduced,
            opened=self._session_open,
        )
        self._handshake = self.loop.call_at(self._deadline, generation.silent)

    def _introduced(self) -> None:
        """The broker tells its name; one that opens the connection only to refuse it tells none."""
        generation = self._generation
        if generation is not None and generation.product:
            self._choose_model(generation)

    def _choose_model(self, generation: Generation) -> Artemis | None:
        config = self.config
        try:
            self._model = model_of(generation.product, config.queue_name, config.member_expiry or None)
        except UnsupportedBrokerError as error:
            self._model = None
            generation.fail(UnsupportedBrokerError(f"{self._place}: {error}"))
        return self._model

    def _session_open(self) -> None:
        generation = self._generation
        model = self._choose_model(generation) if generation is not None else None
        if generation is None or model is None:
            return
        if self._handshake is not None:
            self._handshake.cancel()
        self.generation_number = generation.number
        self._broker = broker = Broker(generation, self.loop, self._warned)
        self._error = None
        self._connected = self._was_open = True
        self._opened_at = time.monotonic()
        self._observe(connected=True, error=None)
        for consumer in [*self._consumers]:
            self._attach_consumer(consumer, generation, broker, model)
        for producer in self._producers:
            producer.attach(generation, broker, model.node(producer.destination))
        if not self._opening.done():
            self._opening.set_result(None)

    def _lose(self, error: Exception) -> None:
        """The one way out of every loss: drop the generation as a whole, and connect again."""
        was_connected, self._connected = self._connected, False
        self._error = error
        self._drop()
        if not self._was_open:
            self._finish()
            self._opening.set_exception(error)
            return
        if was_connected:
            _log.warning("%s; connecting again", error)
            if time.monotonic() - self._opened_at > _STABLE:
                self._backoff.reset()
            self._observe(connected=False, error=error)
            for consumer in [*self._consumers]:
                consumer.lost(error)
        if self._said_goodbye:
            self._finish()
        else:
            self.loop.call_in(self._backoff.next(), self._connect)

    def _drop(self) -> None:
        generation, self._generation = self._generation, None
        broker, self._broker = self._broker, None
        if self._handshake is not None:
            self._handshake.cancel()
        if broker is not None:
            broker.management.lost()
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
            _log.exception("the state of the connection could not be handed over")

    # -- producers and consumers --------------------------------------------------------------------------------------

    def _add_producer(self, producer: AmqpProducer) -> None:
        self._producers.append(producer)
        if self._generation is not None and self._broker is not None and self._model is not None:
            producer.attach(self._generation, self._broker, self._model.node(producer.destination))

    def _add_consumer(self, consumer: AmqpConsumer) -> None:
        if self._finished or self._closing:
            consumer.finish()
            return
        self._consumers.append(consumer)
        if self._generation is not None and self._broker is not None and self._model is not None:
            self._attach_consumer(consumer, self._generation, self._broker, self._model)

    def _attach_consumer(self, consumer: AmqpConsumer, generation: Generation, broker: Broker, model: Artemis) -> None:
        subscription = consumer.subscription
        node = model.source(subscription)
        if node.queue is not None:
            self._queues[node.queue.name] = node.queue
        dead = model.node(subscription.dead_letter) if subscription.dead_letter else None
        consumer.attach(generation, broker, node, dead)

    def queue_of(self, queue: Queue) -> Queue:
        """The queue as its subscription wants it, which knows more than a producer does."""
        known = self._queues.get(queue.name)
        return known if known is not None and known.address == queue.address else queue

    def forget(self, consumer: AmqpConsumer) -> None:
        """A consumer has closed."""
        self.dirty.discard(consumer)
        with contextlib.suppress(ValueError):
            self._consumers.remove(consumer)

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

    def _end(self) -> None:
        """Leave nothing behind. The last thing on the I/O thread; in place of it where it never ran."""
        with self._end_lock:
            if self._ended:
                return
            self._finished = self._closing = self.refusing = True
            self._connected = False
            connector, self._connector = self._connector, None
            if connector is not None:
                connector.cancel()
                connector.join(_CONNECTOR_GRACE)
            self.loop.run_posted()
            self._drop()
            for producer in self._producers:
                producer.fail("the provider was closed before the broker confirmed")
            for consumer in [*self._consumers]:
                consumer.finish()
            if not self._opening.done():
                self._opening.set_exception(BrokerConnectionError(f"{self._place}: closed while it was connecting"))
            self._error = self._error if not self._was_open else None
            self.loop.close()
            self._ended = True
        self._run_leftovers()

    def _run_leftovers(self) -> None:
        """Carry out what was posted while the thread ended: all of it fails."""
        with self._end_lock:
            self.loop.run_posted()


def _is_loopback(host: str) -> bool:
    if host.lower() in {"localhost", "localhost."}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
