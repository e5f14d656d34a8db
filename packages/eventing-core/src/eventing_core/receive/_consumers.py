"""The way in: the listeners of one manager, from their declaration to the end of their work."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future, wait
from typing import Any

from eventing_core.codec._codec import Codec
from eventing_core.configure._options import Options
from eventing_core.declare._listener import EventListener, EventListenerDescriptor, describe_listeners
from eventing_core.declare._pipeline import EnvelopePipeline
from eventing_core.declare._registry import EventRegistry
from eventing_core.declare._retry import Retry
from eventing_core.errors import CapabilityError, DeclarationError
from eventing_core.inject._environment import Environment, create
from eventing_core.pipeline._chain import Chain
from eventing_core.provider import Provider, Subscription
from eventing_core.provider._messages import DEAD_SUFFIX
from eventing_core.provider._timer import Timer
from eventing_core.receive._copies import Copies
from eventing_core.receive._incoming import Incoming, Sharing
from eventing_core.receive._loop import LoopShell
from eventing_core.receive._queues import dead_letters_of, queue_of
from eventing_core.receive._shell import Shell
from eventing_core.receive._threads import ThreadShell
from eventing_core.runtime._health import ListenerHealth
from eventing_core.runtime._loop_watch import LoopWatch
from eventing_core.runtime._workers import LoopThread, Workers
from eventing_core.send._sender import Sender

_log = logging.getLogger("eventing")

_numbers = itertools.count(1)

#: Between two looks for what is left unhandled, in seconds.
_LOOK = 0.005


class Consumers:
    """The listeners of one manager. Checks everything that can be checked before anything is connected."""

    def __init__(  # noqa: PLR0913, PLR0917 (what a manager is made of)
        self,
        provider: Provider,
        listeners: Sequence[type[EventListener[Any]]],
        pipelines: Sequence[EnvelopePipeline],
        environment: Environment | None,
        events: EventRegistry,
        options: Options,
        retry: Retry,
    ) -> None:
        self._provider = provider
        self._options = options
        described = [describe_listeners(cls) for cls in listeners]
        descriptors = [descriptor for one in described for descriptor in one]
        for descriptor in descriptors:
            events.add(descriptor.event)
        _check_names(descriptors, provider.server_name)
        for descriptor in descriptors:
            self._check_workers(descriptor)
            self._check_capabilities(descriptor)
        chain = Chain(pipelines, "handle")
        codecs = {d.event.event_type: Codec(d.event, options.max_body_bytes) for d in descriptors}
        name = f"eventing-{next(_numbers)}"
        self._timer = Timer(name)
        self._workers = Workers(options.workers, name) if any(not d.is_async for d in descriptors) else None
        self._loop = LoopThread(name) if any(d.is_async for d in descriptors) else None
        self._watch = LoopWatch(self._timer, self._loop) if self._loop is not None else None
        try:
            self._shells = [
                self._shell(
                    Incoming(
                        descriptor=descriptor,
                        listener=listener,
                        codec=codecs[descriptor.event.event_type],
                        chain=chain,
                        retry=descriptor.retry or retry,
                        copies=Copies(provider, descriptor, options.send_timeout),
                        capabilities=provider.capabilities,
                        timer=self._timer,
                        stuck_after=options.stuck_after,
                        sharing=sharing,
                    )
                )
                for one in described
                for listener, sharing in [(_make(environment, one[0]), _sharing_of(one))]
                for descriptor in one
            ]
        except BaseException:
            if self._loop is not None:
                self._loop.stop(0.0)
            raise

    def _shell(self, incoming: Incoming) -> Shell:
        if incoming.descriptor.is_async and self._loop is not None and self._watch is not None:
            return LoopShell(incoming, self._loop, self._watch)
        if self._workers is None:  # pragma: no cover (a plain listener makes the pool)
            raise AssertionError
        return ThreadShell(incoming, self._workers)

    def _check_workers(self, descriptor: EventListenerDescriptor) -> None:
        if not descriptor.is_async and descriptor.concurrency > self._options.workers:
            msg = (
                f"{descriptor.label}: concurrency={descriptor.concurrency} is more than the manager's "
                f"{self._options.workers} workers. Lower it, or set workers={descriptor.concurrency} or more."
            )
            raise DeclarationError(msg)

    def _check_capabilities(self, descriptor: EventListenerDescriptor) -> None:
        capabilities = self._provider.capabilities
        missing = []
        if descriptor.event.durable and not capabilities.durable:
            missing.append("durable=True: its queues don't survive a restart of the broker")
        if descriptor.per_process and not capabilities.per_process:
            missing.append("per_process=True: processes can't have queues of their own")
        if descriptor.ordered and not capabilities.exclusive:
            missing.append("ordered=True: it can't give all events to one consumer")
        for flaw in missing:
            msg = f"{descriptor.label}: the provider {self._provider.name!r} can't do {flaw}."
            if self._options.strict:
                raise CapabilityError(msg)
            _log.warning("%s It goes on without; strict = true makes this an error.", msg)

    def subscribe(self) -> None:
        """Start the threads, subscribe, and wait until every queue is there. No delivery comes before `begin`."""
        self._timer.start()
        if self._workers is not None:
            self._workers.start()
        if self._loop is not None:
            self._loop.start()
        for shell in self._shells:
            queue = queue_of(shell.descriptor, self._provider.server_name)
            shell.attach(
                self._provider.subscribe(
                    Subscription(
                        destination=queue, dead_letter=dead_letters_of(queue), exclusive=shell.descriptor.ordered
                    ),
                    shell,
                )
            )
        deadline = time.monotonic() + self._options.start_timeout
        for shell in self._shells:
            error = shell.wait_active(deadline)
            if error is not None:
                raise error

    def begin(self) -> None:
        """Let deliveries come."""
        for shell in self._shells:
            shell.begin()

    def pause(self) -> None:
        """Take no more, and give back what was not begun."""
        for shell in self._shells:
            with _told(shell, "could not be paused"):
                shell.pause()

    def drain(self, sender: Sender, deadline: float) -> None:
        """Take no more and let running listeners finish; cut short what does not by the deadline.

        Where the provider doesn't keep what is left, nobody sends any more but while a listener runs, and all that was
        sent is handled first.
        """
        try:
            if not self._provider.capabilities.retains:
                sender.refuse_others(self._may_be_a_listeners)
                self._handle_all(sender, deadline)
            self.pause()
            for shell in self._shells:
                shell.wait_idle(deadline)
        except BaseException:  # Ctrl-C
            self.pause()
            raise
        finally:
            unfinished = [shell for shell in self._shells if not shell.wait_idle(0.0)]
            for shell in unfinished:
                shell.cut_short()
            with contextlib.suppress(Exception):
                for shell in unfinished:
                    stacks = "".join(f"\n{run.thread}:\n{run.stack}" for run in shell.stuck(math.inf))
                    label = shell.descriptor.label
                    _log.warning(
                        "%s: still running when stop_timeout ended; its event is redelivered later. Raise "
                        "stop_timeout, or end 'on' sooner%s",
                        label,
                        stacks,
                    )

    def _handle_all(self, sender: Sender, deadline: float) -> None:
        """Wait until nothing is left to do: a listener may send to another one."""
        while not sender.refuse_when(self._nothing_is_left):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(_LOOK, left))

    def _nothing_is_left(self) -> bool:
        return not self._provider.unhandled() and all(shell.wait_empty(0.0) for shell in self._shells)

    def _may_be_a_listeners(self) -> bool:
        """Whether the caller may do the work of a listener: one that runs has any thread do it, and waits for that."""
        running = any(shell.running for shell in self._shells)
        return running or (self._loop is not None and self._loop.owns_current_context())

    def close(self, deadline: float) -> None:
        """Unsubscribe and end the threads."""
        self._timer.stop()
        futures: list[Future[None]] = []
        for shell in self._shells:
            with _told(shell, "could not be closed"):
                future = shell.close()
                if future is not None:
                    futures.append(future)
        wait(futures, max(0.0, deadline - time.monotonic()))
        left = max(0.1, deadline - time.monotonic())
        if self._workers is not None:
            self._workers.stop(min(left, 1.0))
        if self._loop is not None:
            self._loop.stop(left)

    def abandon(self) -> None:
        """In a child after a fork: run nothing of the parent's, also where the fork was made in a listener."""
        for shell in self._shells:
            shell.abandon()
        if self._workers is not None:
            self._workers.abandon()
        if self._loop is not None:
            self._loop.abandon()

    def owns_current_thread(self) -> bool:
        """Whether the caller is a listener of this manager."""
        return (self._workers is not None and self._workers.owns_current_thread()) or self.owns_current_loop()

    def owns_current_loop(self) -> bool:
        """Whether the caller runs on the manager's event loop."""
        return self._loop is not None and self._loop.owns_current_thread()

    def unfinished(self) -> Sequence[EventListenerDescriptor]:
        """Those with deliveries that aren't settled yet."""
        return [shell.descriptor for shell in self._shells if not shell.wait_empty(0.0)]

    @property
    def descriptors(self) -> Sequence[EventListenerDescriptor]:
        """All listeners, with each of their events."""
        return [shell.descriptor for shell in self._shells]

    @property
    def workers(self) -> int:
        """How many threads run listeners."""
        return self._options.workers if self._workers is not None else 0

    def health(self) -> tuple[ListenerHealth, ...]:
        """How each listener is."""
        return tuple(shell.health() for shell in self._shells)

    def stuck_workers(self, listeners: Sequence[ListenerHealth]) -> int:
        """How many threads stuck runs take, of that health."""
        return sum(run.thread != self._loop_name for listener in listeners for run in listener.stuck)

    @property
    def loop_blocked(self) -> bool:
        """Whether the event loop hasn't answered for long."""
        return self._loop is not None and self._loop.silence() > self._options.stuck_after

    @property
    def _loop_name(self) -> str:
        return self._loop.name if self._loop is not None else ""


def _make(environment: Environment | None, descriptor: EventListenerDescriptor) -> EventListener[Any]:
    """The one object of a listener. No container is asked for a function."""
    kind = descriptor.listener_type
    return create(environment, kind) if descriptor.function is None else kind()


def _sharing_of(descriptors: Sequence[EventListenerDescriptor]) -> Sharing | None:
    """What the queues of one listener share; None for a single one."""
    return Sharing(descriptors[0].concurrency) if len(descriptors) > 1 else None


@contextlib.contextmanager
def _told(shell: Shell, what: str) -> Generator[None, None, None]:
    """Log what a provider raises, so that the other listeners have their turn."""
    try:
        yield
    except Exception:  # noqa: BLE001 (see above)
        with contextlib.suppress(Exception):
            _log.exception("%s: %s", shell.descriptor.label, what)


def _check_names(descriptors: Sequence[EventListenerDescriptor], server_name: str) -> None:
    """Refuse listeners whose queues would be one."""
    queues: dict[tuple[str, str], EventListenerDescriptor] = {}
    for descriptor in descriptors:
        destination = queue_of(descriptor, server_name)
        queue = destination.group + (f"-{destination.member}" if destination.member else "")
        other = queues.setdefault((destination.topic, queue), descriptor)
        if other is descriptor:
            continue
        classes = " and ".join(
            f"{d.listener_type.__module__}.{d.listener_type.__qualname__}" for d in (other, descriptor)
        )
        why = (
            f"two listeners of the event {destination.topic!r} are named {descriptor.name!r}"
            if other.name == descriptor.name
            else f"two listeners of the event {destination.topic!r} would share the queue {queue!r}"
        )
        msg = f'{why}: {classes}. Give one of them another name with @event_listener(..., name="...").'
        raise DeclarationError(msg)
    for (topic, queue), descriptor in queues.items():
        other = queues.get((topic, queue + DEAD_SUFFIX), descriptor)
        if other is not descriptor:
            msg = (
                f"the listener {other.name!r} of the event {topic!r} would share the queue {queue + DEAD_SUFFIX!r} "
                f"with the dead letters of {descriptor.name!r}. Give one of them another name with "
                '@event_listener(..., name="...").'
            )
            raise DeclarationError(msg)
