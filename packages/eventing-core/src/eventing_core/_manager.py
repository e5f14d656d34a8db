"""`EventManager`: sends events, and runs listeners."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from eventing_core import _envelope, _event, _listener
from eventing_core import provider as spi
from eventing_core._checks import (
    check_environment,
    check_listeners,
    check_pipelines,
    check_provider,
    check_retry_and_options,
)
from eventing_core._closing import take_steps
from eventing_core._consuming import Consumers
from eventing_core._health import STARTED, ManagerHealth
from eventing_core._injection import Environment
from eventing_core._limits import seconds
from eventing_core._listener import EventListener, declared_listeners
from eventing_core._made_pipelines import MadePipelines
from eventing_core._opening import Opening
from eventing_core._options import Options
from eventing_core._pipeline import EnvelopePipeline
from eventing_core._process import forget, is_exiting, remember
from eventing_core._retry import Retry
from eventing_core._sending import EventRegistry, Sender
from eventing_core._signals import SignalWaiter
from eventing_core.errors import BrokerConnectionError, ManagerStateError, ManagerStoppedError

_log = logging.getLogger("eventing")

#: Between two tries to end a connect that a stop finds under way, in seconds: the first may come before it began.
_AGAIN = 0.1


class _State(Enum):
    NEW = "not started"
    STARTING = "starting"
    STARTED = STARTED
    STOPPING = "stopping"
    STOPPED = "stopped"


class EventManager:
    """Sends events and runs listeners over one provider. Thread-safe, except for `run`.

    Without `start` it connects at the first send, for sending alone. A manager has one life: once stopped,
    it can't be started again. A manager that is still open drains at the interpreter's exit: when the main thread
    ends, before threads that are no daemons have ended, and before the functions of `atexit`, whose sends are refused.

    Args:
        provider: the transport; the manager opens and closes it.
        environment: the application's container, for the constructor arguments of listeners and pipelines.
        listeners: exactly these listener classes; all declared ones at the time of `start` when None.
        pipelines: exactly these, as classes or instances; all declared ones when None.
        retry: for listeners that don't set their own.
        options: workers, time limits and the like.

    Raises:
        ConfigError: an argument is no such thing, or the provider's ``server_name`` can't be part of a queue's name.
        DeclarationError: ``listeners`` or ``pipelines`` are no such classes.
    """

    # By way of their modules, so that type checkers see aliases and not variables.
    Envelope: TypeAlias = _envelope.Envelope
    EventDescriptor: TypeAlias = _event.EventDescriptor
    EventListenerDescriptor: TypeAlias = _listener.EventListenerDescriptor
    Provider: TypeAlias = spi.Provider

    def __init__(  # noqa: PLR0913 (all but the first are keyword-only)
        self,
        provider: spi.Provider,
        *,
        environment: Environment | None = None,
        listeners: Sequence[type[EventListener[Any]]] | None = None,
        pipelines: Sequence[EnvelopePipeline | type[EnvelopePipeline]] | None = None,
        retry: Retry | None = None,
        options: Options | None = None,
    ) -> None:
        check_provider(provider)
        check_environment(environment)
        check_listeners(listeners)
        check_pipelines(pipelines)
        check_retry_and_options(retry, options)
        self._provider = provider
        self._environment = environment
        self._listeners = listeners
        self._pipelines = pipelines
        self._retry = retry or Retry()
        self._options = options or Options()
        self._plugin_pipelines: Sequence[EnvelopePipeline] = ()
        self._set_up()

    def _set_up(self) -> None:
        self._state = _State.NEW
        self._opening = Opening(lambda: self._provider.health().connected)
        self._connecting = False
        self._observed: deque[tuple[bool, Exception | None]] = deque()
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._signals: SignalWaiter | None = None
        self._events = EventRegistry()
        self._finishing = False
        #: The threads that start or finish this manager: they can't wait for the end of that.
        self._busy: set[int] = set()
        self._made_pipelines = MadePipelines(self._pipelines, self._environment)
        self._consumers: Consumers | None = None
        self._sender = Sender(self._provider, self._options, self._events, self._open, self._get_pipelines)
        remember(self)

    @classmethod
    def from_config(
        cls,
        path: str | Path | None = None,
        *,
        environment: Environment | None = None,
        listeners: Sequence[type[EventListener[Any]]] | None = None,
        pipelines: Sequence[EnvelopePipeline | type[EnvelopePipeline]] | None = None,
        **overrides: Any,
    ) -> Self:
        """Make a manager as a configuration file, environment variables and keywords say.

        Args:
            path: the file; ``eventing.toml``, or else ``[tool.eventing]`` in ``pyproject.toml``, when None.
            environment: see the class.
            listeners: see the class.
            pipelines: see the class; those of installed plugins come on top.
            overrides: configuration keys, over file and environment variables; tables as dictionaries.

        Raises:
            ConfigError: an unknown key, or a value of a wrong type.
            ProviderNotFoundError: no installed plugin has that name.
            ProviderLoadError: the plugin can't be used.
        """
        from eventing_core._config import load_configuration  # noqa: PLC0415 (pydantic-settings is slow to import)
        from eventing_core._plugins import Plugins  # noqa: PLC0415 (so is the plugin machinery)

        plugins = Plugins()
        configuration = load_configuration(plugins, path, overrides)
        provider = configuration.provider_spec.factory(configuration.server_name, configuration.provider_config)
        manager = cls(
            provider,
            environment=environment,
            listeners=listeners,
            pipelines=pipelines,
            retry=configuration.retry,
            options=configuration.options,
        )
        manager._plugin_pipelines = plugins.load_pipelines()
        return manager

    # -- sending ----------------------------------------------------------------------------------------------

    def send_event(
        self, event: object, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> None:
        """Send an event; returns once the broker has confirmed it, in every queue that exists.

        Args:
            event: an instance of an event class.
            headers: strings that travel with the event.
            timeout: seconds until `SendTimeoutError`; the setting ``send_timeout`` when None.

        Raises:
            SerializationError: the event can't be serialised; nothing was sent.
            HeaderError: a header can't be carried; nothing was sent.
            DeclarationError: the event's class is none, or is declared wrongly; nothing was sent.
            ConfigError: ``timeout`` is no number of seconds; nothing was sent.
            SendError: the broker has not confirmed; ``in_doubt`` says whether it may have the event.
            BrokerConnectionError: the first connect failed.
            ManagerStateError: the manager was stopped, or this is its own event loop.
        """
        self._refuse_on_loop("send_event")
        self._sender.send_event(event, headers, timeout)

    def send_events(
        self, events: Iterable[object], *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> None:
        """Send many events; returns once all are confirmed.

        Takes the iterable lazily, hands events over in batches, none later than 5 ms, whatever the iterable does
        meanwhile, and keeps up to 4000 of them unconfirmed, or 8 MiB. After a failure it takes no more, waits
        for those under way, and raises. So it does where the iterable raises: that exception, if all that was taken
        is confirmed, or else a `SendEventsError` with that as its ``__cause__``.

        Args:
            events: instances of event classes.
            headers: strings that travel with each of them.
            timeout: seconds for each event, from its hand-over; up to 4000 may be before it.

        Raises:
            SendEventsError: lists (index, cause) of each event that failed.
            DeclarationError: ``events`` is one event, or no iterable; nothing was sent.
            HeaderError: a header can't be carried; nothing was sent.
            ConfigError: ``timeout`` is no number of seconds; nothing was sent.
            ManagerStateError: the manager was stopped, or this is its own event loop.
        """
        self._refuse_on_loop("send_events")
        self._sender.send_events(events, headers, timeout)

    def submit_event(
        self, event: object, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> Future[None]:
        """Hand an event over; the future is done once the broker has confirmed, or has the error.

        Blocks while ``max_in_flight`` submitted events are unconfirmed. Callbacks of the future run on a
        thread of their own. A future that was cancelled doesn't call the event back.

        Raises:
            SerializationError: the event can't be serialised; nothing was sent.
            HeaderError: a header can't be carried; nothing was sent.
            DeclarationError: the event's class is none, or is declared wrongly; nothing was sent.
            ConfigError: ``timeout`` is no number of seconds; nothing was sent.
            SendTimeoutError: none of ``max_in_flight`` events was confirmed in time; nothing was sent.
            ManagerStateError: the manager was stopped, or this is its own event loop.
        """
        self._refuse_on_loop("submit_event")
        return self._sender.submit_event(event, headers, timeout)

    async def send_event_async(
        self, event: object, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> None:
        """Like `send_event`, for coroutines: on any event loop, and never blocks it.

        The first send of an event's class, which may have to connect, is prepared in the loop's default executor.
        """
        await self._sender.send_event_async(event, headers, timeout)

    def _refuse_on_loop(self, method: str) -> None:
        consumers = self._consumers
        if consumers is not None and consumers.owns_current_loop():
            msg = f"{method} would block the event loop that async listeners run on; use 'await send_event_async(...)'"
            raise ManagerStateError(msg)

    # -- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the listeners, connect, and begin to consume.

        Returns once the queue of every listener exists: what is sent from now on reaches it.

        Raises:
            DeclarationError: an event, listener or pipeline is declared wrongly.
            CapabilityError: the provider can't do what a listener asks for, and ``strict`` is set.
            ListenerCreationError: the container can't make a listener.
            BrokerConnectionError: the first connect failed.
            SubscriptionError: a listener's queue can't be had.
            ManagerStateError: it was started or stopped before.
        """
        mine = False
        try:
            with self._lock:
                self._refuse_unless_new()
                self._busy.add(threading.get_ident())
                self._state, mine = _State.STARTING, True
            self._begin()
        except BaseException:
            if mine:
                self._finish(time.monotonic())
            raise
        finally:
            self._busy.discard(threading.get_ident())

    def _refuse_unless_new(self) -> None:
        if self._state is not _State.NEW:
            stopped = self._state in {_State.STOPPING, _State.STOPPED}
            msg = f"the event manager is {self._state.value}; a manager has one life, make a new one"
            raise (ManagerStoppedError if stopped else ManagerStateError)(msg)

    def _begin(self) -> None:
        listeners = declared_listeners() if self._listeners is None else self._listeners
        consumers = Consumers(
            self._provider,
            listeners,
            self._get_pipelines(),
            self._environment,
            self._events,
            self._options,
            self._retry,
        )
        self._consumers = consumers
        self._refuse_if_stopping()  # while a listener was made
        self._open()
        consumers.subscribe()
        with self._lock:
            self._refuse_if_stopping()
            self._state = _State.STARTED
        # After that: the first listener to run may ask for the stop, and this start has succeeded all the same.
        consumers.begin()

    def stop(self, timeout: float | None = None) -> None:
        """Drain and close. Idempotent; waits for a stop that is under way.

        No more deliveries are taken; running listeners finish, and may send; then sends are refused and those
        under way are confirmed; then everything is closed. What is unfinished after ``timeout`` goes back to
        the broker, without counting as an attempt where the broker can. Where nothing would keep that, as a memory
        broker of the manager's own, sends are refused as soon as no listener runs, but for those of callbacks, and all
        that was confirmed is handled within ``timeout``. In a listener, and in the constructor of one, it only asks
        for the stop. A ``KeyboardInterrupt`` meanwhile is raised once the rest is closed in haste.

        Not for signal handlers, which may have interrupted what it then waits for, for ever: use `run`, or have the
        handler set something that the main thread waits for.

        Args:
            timeout: seconds; the setting ``stop_timeout`` when None.

        Raises:
            ConfigError: ``timeout`` is no such number.
        """
        limit = seconds("stop: timeout", timeout, self._options.stop_timeout)
        consumers = self._consumers
        if consumers is not None and consumers.owns_current_thread():
            # At the interpreter's exit every manager is stopped anyway, and Python 3.12 starts no thread any more.
            if self._state is _State.STARTED and not is_exiting():
                threading.Thread(target=self.stop, args=(limit,), name="eventing-stop", daemon=True).start()
            return
        with self._lock:
            state = self._state
            if state is not _State.STOPPED:
                self._state = _State.STOPPING
        # One that was interrupted before it began to finish is gone on with.
        left = state is _State.STOPPING and not self._finishing and not self._busy
        if left or state in {_State.NEW, _State.STARTED}:
            self._finish(time.monotonic() + limit)
            return
        deadline = time.monotonic() + limit
        if state is _State.STARTING:
            self._interrupt_start(deadline)
        if threading.get_ident() not in self._busy:
            self._stopped.wait(max(0.0, deadline - time.monotonic()))

    def _stop_start(self) -> None:
        """Stop, if this manager is still starting, which isn't waited for, or is about to start."""
        if self._state is _State.NEW:
            self.stop()
            return
        with self._lock:
            if self._state is not _State.STARTING:
                return
            self._state = _State.STOPPING
        self._interrupt_start(math.inf)

    def _interrupt_start(self, deadline: float) -> None:
        """End what the thread that starts waits for. It notices that this manager is to stop, and finishes."""
        if self._consumers is not None:
            self._consumers.pause()
        while self._connecting and time.monotonic() < deadline:
            self._provider.close(0.0)
            if self._stopped.wait(min(_AGAIN, max(0.0, deadline - time.monotonic()))):
                return

    def _finish(self, deadline: float) -> None:
        """Close everything, in order, whatever fails or interrupts it; see `take_steps`."""
        mine = False
        interruption: BaseException | None = None
        try:
            with self._lock:
                if self._finishing:
                    return
                self._state = _State.STOPPING
                self._finishing = mine = True
        except BaseException as error:  # Ctrl-C: it may have come just after that
            if not mine:
                raise
            interruption, deadline = error, time.monotonic()
        over = False
        while not over:
            try:
                interruption = take_steps(self._closing_steps, deadline) or interruption
                over = True
            except BaseException as error:  # noqa: BLE001 (Ctrl-C, just before it or after it)
                interruption, deadline = error, time.monotonic()
        if interruption is not None:
            raise interruption

    def _be_stopped(self) -> None:
        self._state = _State.STOPPED
        self._stopped.set()
        if self._signals is not None:
            self._signals.wake()
        forget(self)
        self._busy.discard(threading.get_ident())

    def _closing_steps(self, deadline: Callable[[], float]) -> Sequence[Callable[[], object]]:
        def left(at_least: float) -> float:
            return max(at_least, deadline() - time.monotonic())

        steps: list[Callable[[], object]] = [
            self._sender.refuse,
            lambda: self._sender.flush(left(0.0)),
            lambda: self._close_provider(left(1.0)),
            lambda: self._sender.close(1.0),
            self._be_stopped,
        ]
        consumers = self._consumers
        if consumers is not None:
            steps.insert(0, lambda: consumers.drain(self._sender, deadline()))
            steps.insert(3, lambda: consumers.close(max(deadline(), time.monotonic() + 1.0)))
        steps.insert(0, lambda: self._busy.add(threading.get_ident()))
        return steps

    def _close_provider(self, timeout: float) -> None:
        self._opening.close(lambda: self._provider.close(timeout), timeout)

    def run(self) -> None:
        """Start, work until SIGINT or SIGTERM or a `stop`, then drain. Call it on the main thread.

        A signal while it starts ends the start, after the constructor of a listener or pipeline that is under way. A
        second signal acts as if there were no manager.

        Raises:
            ManagerStateError: this isn't the main thread, which alone gets signals.
        """
        if threading.current_thread() is not threading.main_thread():
            msg = "run() waits for signals, which only the main thread gets; on other threads use start() and stop()"
            raise ManagerStateError(msg)
        with SignalWaiter() as signals:
            self._signals = signals
            try:
                reason = self._start_and_wait(signals)
            finally:
                self._signals = None
            _log.info("stopping: %s", reason)
        self.stop()

    def _start_and_wait(self, signals: SignalWaiter) -> str:
        """Say why to stop."""
        is_new = self._state is _State.NEW
        try:
            if self._state is not _State.STARTED:
                with signals.calling(self._stop_start):
                    self.start()
        except ManagerStoppedError:  # by a signal, or by `stop`, which wakes
            if not is_new:
                raise
        return signals.wait()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def health(self) -> ManagerHealth:
        """How the connection and the listeners are. Never blocks."""
        consumers = self._consumers
        listeners = consumers.health() if consumers is not None else ()
        return ManagerHealth(
            state=self._state.value,
            provider=self._provider.health(),
            listeners=listeners,
            sending=self._sender.health(),
            workers=consumers.workers if consumers is not None else 0,
            stuck_workers=consumers.stuck_workers(listeners) if consumers is not None else 0,
            loop_blocked=consumers is not None and consumers.loop_blocked,
        )

    def __repr__(self) -> str:
        return f"EventManager({self._provider.name!r}, {self._state.value})"

    # -- inner steps ------------------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self._opening.open(self._connect)
        finally:
            self._tell_observed()

    def _connect(self) -> None:
        try:
            self._connecting = True  # first: a stop that comes after the look has to see it
            self._refuse_if_stopping()
            self._provider.open(self._observe)
        except BrokerConnectionError as error:
            self._refuse_if_stopping(error)
            raise
        finally:
            self._connecting = False
        try:
            self._refuse_if_stopping()
        except ManagerStoppedError:
            self._provider.close(0.0)
            raise

    def _refuse_if_stopping(self, cause: Exception | None = None) -> None:
        if self._state in {_State.STOPPING, _State.STOPPED}:
            msg = "the event manager was stopped meanwhile"
            raise ManagerStoppedError(msg) from cause

    def _observe(self, connected: bool, error: Exception | None) -> None:  # noqa: FBT001 (the SPI's signature)
        self._observed.append((connected, error))
        if not self._connecting:
            self._tell_observed()

    def _tell_observed(self) -> None:
        """Log what became of the connection. Under no lock: a logging handler may send."""
        while True:
            try:
                connected, error = self._observed.popleft()
            except IndexError:
                return
            with contextlib.suppress(Exception):  # a logging handler's must not reach the provider
                if connected:
                    _log.info("%s: connected", self._provider.name)
                else:
                    _log.warning("%s: connection lost, reconnecting: %s", self._provider.name, error)

    def _get_pipelines(self) -> Sequence[EnvelopePipeline]:
        return self._made_pipelines.get(self._plugin_pipelines)

    def at_exit(self) -> None:
        """Drain at the interpreter's exit. Not for users."""
        if self._opening.is_open:
            self.stop()

    def after_fork(self) -> None:
        """In a child: drop what was inherited; the next send connects anew, and nothing consumes by itself.

        Not for users.
        """
        if self._signals is not None:
            self._signals.leave()
        if self._consumers is not None:
            self._consumers.abandon()
        self._provider.abandon()
        self._set_up()
