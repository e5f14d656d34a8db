"""`EventManager`: sends events, and runs listeners."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeAlias

from eventing_core import provider as spi
from eventing_core.configure._checks import check_arguments
from eventing_core.configure._options import Options
from eventing_core.declare import _envelope, _event, _listener
from eventing_core.declare._event import EventLike
from eventing_core.declare._limits import seconds
from eventing_core.declare._pipeline import EnvelopePipeline
from eventing_core.declare._registry import EventRegistry
from eventing_core.declare._retry import Retry
from eventing_core.errors import ManagerStateError
from eventing_core.inject._environment import Environment, create
from eventing_core.manager import _async_life
from eventing_core.manager._closing import Step
from eventing_core.manager._connection import ManagerConnection
from eventing_core.manager._finding import Listeners, find_listeners
from eventing_core.manager._health_server import HealthServer
from eventing_core.manager._life import ManagerLife
from eventing_core.manager._start_log import log_start
from eventing_core.manager._states import ManagerState
from eventing_core.manager._steps import closing_steps
from eventing_core.pipeline._made import MadePipelines
from eventing_core.receive._consumers import Consumers
from eventing_core.runtime._health import ManagerHealth
from eventing_core.runtime._process import forget, is_exiting, remember
from eventing_core.runtime._running_loops import warn_of_blocking
from eventing_core.send._sender import Sender

_log = logging.getLogger("eventing")

_running_loop = asyncio._get_running_loop  # noqa: SLF001 (the public one raises where there is none)


class EventManager:
    """Sends events and runs listeners over one provider. Thread-safe, except for `run`.

    Without `start` it connects at the first send, and only for sending. A stopped manager cannot be restarted. A
    manager that is still open is stopped at the interpreter's exit: when the main thread ends, before non-daemon
    threads have ended, and before the functions of `atexit`, whose sends are refused.

    Args:
        provider: the transport; the manager opens and closes it.
        environment: the application's container, for the constructor arguments of listeners and pipelines.
        listeners: the listeners to run: classes, functions with ``@event_listener``, and names of modules, which
            `start` imports to run the listeners that they and their submodules declare. None means all that are
            declared when `start` is called; if there are none, a warning is logged.
        pipelines: the pipelines to use, as classes or instances; None means all declared ones.
        retry: the retry policy of listeners that don't set their own.
        options: workers, time limits and other settings.

    Raises:
        ConfigError: an argument has the wrong type, or the provider's ``server_name`` can't be part of a queue name.
        DeclarationError: ``listeners`` or ``pipelines`` contains something else.
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
        listeners: Listeners | None = None,
        pipelines: Sequence[EnvelopePipeline | type[EnvelopePipeline]] | None = None,
        retry: Retry | None = None,
        options: Options | None = None,
    ) -> None:
        check_arguments(provider, environment, listeners, pipelines, retry, options)
        self._provider = provider
        self._environment = environment
        self._listeners = listeners
        self._pipelines = pipelines
        self._retry = retry or Retry()
        self._options = options or Options()
        self._plugin_pipelines: Sequence[EnvelopePipeline] = ()
        self._life = ManagerLife(
            end_waiting=self._end_waiting,
            end_connecting=lambda: self._connection.end_opening(),  # noqa: PLW0108 (made anew after a fork)
            closing_steps=self._closing_steps,
            stopped=lambda: forget(self),
        )
        self._set_up()

    def _set_up(self) -> None:
        self._connection = ManagerConnection(self._provider, self._life.refuse_if_stopping)
        self._events = EventRegistry()
        self._made_pipelines = MadePipelines(self._pipelines, partial(create, self._environment))
        self._consumers: Consumers | None = None
        self._health_server = HealthServer(self._options.health, self.health)
        self._sender = Sender(self._provider, self._options, self._events, self._connection.open, self._get_pipelines)
        remember(self)

    @classmethod
    def from_config(
        cls,
        path: str | Path | None = None,
        *,
        environment: Environment | None = None,
        listeners: Listeners | None = None,
        pipelines: Sequence[EnvelopePipeline | type[EnvelopePipeline]] | None = None,
        **overrides: Any,
    ) -> Self:
        """Create a manager from a configuration file, environment variables and keyword arguments.

        Args:
            path: the file; None means ``eventing.toml``, or else ``[tool.eventing]`` in ``pyproject.toml``.
            environment: see the class.
            listeners: see the class; overrides the setting ``listeners``.
            pipelines: see the class; those of installed plugins are added.
            overrides: configuration keys, which override file and environment variables; tables as dictionaries.

        Raises:
            ConfigError: a key is unknown, or a value has the wrong type.
            ProviderNotFoundError: no installed plugin has that name.
            ProviderLoadError: the plugin can't be used.
        """
        from eventing_core.configure._config import load_configuration  # noqa: PLC0415 (pydantic-settings is slow to import)
        from eventing_core.configure._plugins import Plugins  # noqa: PLC0415 (so is the plugin machinery)

        plugins = Plugins()
        configuration = load_configuration(plugins, path, overrides)
        provider = configuration.provider_spec.factory(configuration.server_name, configuration.provider_config)
        manager = cls(
            provider,
            environment=environment,
            listeners=configuration.listeners if listeners is None else listeners,
            pipelines=pipelines,
            retry=configuration.retry,
            options=configuration.options,
        )
        manager._plugin_pipelines = plugins.load_pipelines()
        return manager

    # -- sending ----------------------------------------------------------------------------------------------

    def send_event(
        self, event: EventLike, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> None:
        """Send an event, and wait until the broker has confirmed that it is in every existing queue of the event.

        Args:
            event: an instance of an event class: a dataclass or a pydantic model with `event`.
            headers: strings that travel with the event.
            timeout: seconds until `SendTimeoutError`; None means the setting ``send_timeout``.

        Raises:
            SerializationError: the event can't be serialised; nothing was sent.
            HeaderError: a header is invalid; nothing was sent.
            DeclarationError: the object is not an event, or its class is declared wrongly; nothing was sent.
            ConfigError: ``timeout`` is not a number of seconds; nothing was sent.
            SendError: the broker has not confirmed the event; ``in_doubt`` says whether it may have it nevertheless.
            BrokerConnectionError: the first attempt to connect failed.
            ManagerStateError: the manager was stopped, or the call was made on its own event loop. On another running
                event loop it blocks that loop, and a warning is logged, once for each calling line.
        """
        if _running_loop() is not None:
            self._refuse_on_loop("send_event")
        self._sender.send_event(event, headers, timeout)

    def send_events(
        self, events: Iterable[EventLike], *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> None:
        """Send many events, and wait until all are confirmed.

        The iterable is consumed lazily. Events are handed over in batches, each event after 5 ms at the latest, and
        up to 4000 events, or 8 MiB, are in flight. After a failure no more events are taken; the method waits for
        those in flight, and raises. It does the same if the iterable raises: it raises that exception if all events
        taken so far are confirmed, or else a `SendEventsError` with that exception as its ``__cause__``.

        Args:
            events: instances of event classes.
            headers: strings that travel with each of them.
            timeout: seconds for each event after it was handed over; up to 4000 events may be ahead of it.

        Raises:
            SendEventsError: lists (index, cause) of each event that failed.
            DeclarationError: ``events`` is a single event, or not an iterable; nothing was sent.
            HeaderError: a header is invalid; nothing was sent.
            ConfigError: ``timeout`` is not a number of seconds; nothing was sent.
            ManagerStateError: the manager was stopped, or the call was made on its own event loop.
        """
        if _running_loop() is not None:
            self._refuse_on_loop("send_events")
        self._sender.send_events(events, headers, timeout)

    def submit_event(
        self, event: EventLike, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> Future[None]:
        """Send an event without waiting. The future is done when the broker has confirmed the event, or has the error.

        Blocks while ``max_in_flight`` submitted events are unconfirmed. Callbacks of the future run on a
        separate thread. Cancelling the future doesn't cancel the send.

        Raises:
            SerializationError: the event can't be serialised; nothing was sent.
            HeaderError: a header is invalid; nothing was sent.
            DeclarationError: the object is not an event, or its class is declared wrongly; nothing was sent.
            ConfigError: ``timeout`` is not a number of seconds; nothing was sent.
            SendTimeoutError: none of the ``max_in_flight`` events was confirmed in time; nothing was sent.
            ManagerStateError: the manager was stopped, or the call was made on its own event loop.
        """
        if _running_loop() is not None:
            self._refuse_on_loop("submit_event")
        return self._sender.submit_event(event, headers, timeout)

    async def send_event_async(
        self, event: EventLike, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> None:
        """Like `send_event`, for coroutines. Works on any event loop, and never blocks it.

        The first send of an event class, which may have to connect, is prepared in the loop's default executor.
        """
        await self._sender.send_event_async(event, headers, timeout)

    def _refuse_on_loop(self, method: str) -> None:
        consumers = self._consumers
        if consumers is not None and consumers.owns_current_loop():
            msg = f"{method} would block the event loop that async listeners run on; use 'await send_event_async(...)'"
            raise ManagerStateError(msg)
        warn_of_blocking(method, "await send_event_async(...)")

    # -- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Create the listeners, connect, and start to consume.

        Returns once the queue of every listener exists, so that events sent from then on reach it.

        Raises:
            DeclarationError: an event, listener or pipeline is declared wrongly.
            CapabilityError: the provider can't do what a listener asks for, and ``strict`` is set.
            ListenerCreationError: the container can't make a listener.
            BrokerConnectionError: the first connect failed.
            SubscriptionError: a listener can't consume from its queue.
            ManagerStateError: the manager was already started or stopped.
            ConfigError: a module that ``listeners`` names can't be imported; ``__cause__`` says why.
            HealthServerError: the health server can't listen on its port. Nothing was connected.
        """
        if _running_loop() is not None:
            warn_of_blocking("start", "async with manager")
        self._life.start(self._begin)

    def _begin(self) -> None:
        self._health_server.start()  # first: a probe shall find "not ready", and not a closed port
        consumers = Consumers(
            self._provider,
            find_listeners(self._listeners),
            self._get_pipelines(),
            self._environment,
            self._events,
            self._options,
            self._retry,
        )
        self._consumers = consumers
        self._life.refuse_if_stopping()  # while a listener was made
        self._connection.open()
        consumers.subscribe()
        self._life.ready()
        log_start(self._provider, consumers.descriptors, self._options)
        # After that: the first listener to run may ask for the stop, and this start has succeeded all the same.
        consumers.begin()

    def stop(self, timeout: float | None = None) -> None:
        """Finish running work, and close. Idempotent; waits for another call that is in progress.

        The manager takes no more deliveries. Running listeners finish, and may send. Then sends are refused, those in
        flight are confirmed, and everything is closed. Deliveries that are unfinished after ``timeout`` are returned to
        the broker, without counting as attempts if the broker supports that. If the broker would lose them, as a
        private memory broker does, all confirmed events are handled first, within ``timeout``, and sends are refused
        whenever no listener runs, except those of callbacks. In a listener or its constructor, this method only
        requests the stop. A ``KeyboardInterrupt`` during the stop is raised after everything was closed quickly.

        Don't call it in a signal handler: the signal may have interrupted what this method waits for, so that it waits
        forever. Use `run`, or let the handler set something that the main thread waits for.

        Args:
            timeout: time limit in seconds; None means the setting ``stop_timeout``.

        Raises:
            ConfigError: ``timeout`` is not a number of seconds.
        """
        limit = seconds("stop: timeout", timeout, self._options.stop_timeout)
        consumers = self._consumers
        if consumers is not None and consumers.owns_current_thread():
            # At the interpreter's exit every manager is stopped anyway, and Python 3.12 starts no thread any more.
            if self._life.state is ManagerState.STARTED and not is_exiting():
                threading.Thread(target=self.stop, args=(limit,), name="eventing-stop", daemon=True).start()
            return
        if _running_loop() is not None:
            warn_of_blocking("stop", "async with manager")
        self._life.stop(limit)

    def run(self) -> None:
        """Start, run until SIGINT, SIGTERM or a call of `stop`, then stop. Call it on the main thread.

        A signal during the start aborts it; a running constructor of a listener or pipeline finishes first. A second
        signal has the effect that it would have without a manager.

        Raises:
            ManagerStateError: it was not called on the main thread, the only one that receives signals.
        """
        reason = self._life.run(self.start, self.stop)
        _log.info("stopping: %s", reason)
        self.stop()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Start, without blocking the event loop: listeners are made, and the connection too, on another thread."""
        await _async_life.start(self.start, self.stop)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, without blocking the event loop. Also where the task is cancelled, the stop goes on to its end."""
        await _async_life.stop(self.stop)

    def health(self) -> ManagerHealth:
        """Return the state of the connection and the listeners. Never blocks."""
        consumers = self._consumers
        listeners = consumers.health() if consumers is not None else ()
        return ManagerHealth(
            state=self._life.state.value,
            provider=self._provider.health(),
            listeners=listeners,
            sending=self._sender.health(),
            workers=consumers.workers if consumers is not None else 0,
            stuck_workers=consumers.stuck_workers(listeners) if consumers is not None else 0,
            loop_blocked=consumers is not None and consumers.loop_blocked,
        )

    @property
    def health_url(self) -> str | None:
        """Where the health server answers, such as ``http://127.0.0.1:8081``; None where it doesn't."""
        return self._health_server.url

    def __repr__(self) -> str:
        return f"EventManager({self._provider.name!r}, {self._life.state.value})"

    # -- inner steps ------------------------------------------------------------------------------------------

    def _get_pipelines(self) -> Sequence[EnvelopePipeline]:
        return self._made_pipelines.get(self._plugin_pipelines)

    def _end_waiting(self) -> None:
        if self._consumers is not None:
            self._consumers.pause()

    def _closing_steps(self, deadline: Callable[[], float]) -> Sequence[Step]:
        return closing_steps(self._sender, self._consumers, self._connection, self._health_server, deadline)

    def at_exit(self) -> None:
        """Stop at the interpreter's exit. Not for users."""
        if self._connection.is_open:
            self.stop()

    def after_fork(self) -> None:
        """In a forked child: drop what was inherited. The next send opens a new connection, and no listener consumes.

        Not for users.
        """
        self._life.after_fork()
        if self._consumers is not None:
            self._consumers.abandon()
        self._provider.abandon()
        self._health_server.abandon()
        self._set_up()
