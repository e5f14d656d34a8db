"""What a manager tells of its state."""

from __future__ import annotations

from dataclasses import dataclass

from eventing_core.provider import Health

#: The state in which a manager consumes.
STARTED = "started"


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckRun:
    """A run of ``on`` that exceeds its time limit.

    Attributes:
        seconds: how long it has been running.
        thread: the name of its thread.
        stack: its current stack, formatted like a traceback, without values of variables.
    """

    seconds: float
    thread: str
    stack: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerHealth:
    """The state of a listener.

    Attributes:
        listener: the name of the listener.
        event: the name of the event.
        consuming: it is attached to its queue in the current generation and may receive deliveries. False if an
            unexpected error has left an event unsettled, until the next generation; and while as many runs as its
            ``concurrency`` are stuck.
        paused: it could consume, but only tries single events, because almost all events failed
            (`Retry.pause_after`).
        running: number of current runs of ``on``.
        held: number of deliveries that wait for another attempt.
        stuck: runs of ``on`` that take longer than the listener's ``timeout``, or `Options.stuck_after`.
        error: why it isn't attached, why a copy can't be stored, or which unexpected error left an event unsettled;
            empty if nothing is wrong.
    """

    listener: str
    event: str
    consuming: bool
    running: int
    held: int
    paused: bool = False
    stuck: tuple[StuckRun, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingHealth:
    """The state of sending.

    Attributes:
        in_flight: number of sends that the broker hasn't confirmed yet.
        error: why the last send failed: not confirmed in time, refused, or lost; empty if it succeeded.
    """

    in_flight: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerHealth:
    """The state of a manager.

    Attributes:
        state: ``not started``, ``starting``, ``started``, ``stopping``, ``draining`` or ``stopped``.
        provider: the state of the connection.
        listeners: the state of each listener.
        sending: the state of sending.
        workers: number of threads for listeners; 0 if no listener needs one.
        stuck_workers: number of these threads that are occupied by stuck runs of ``on``.
        loop_blocked: the event loop of the ``async`` listeners is blocked: it has not responded for
            `Options.stuck_after`. Detected only while health is requested.
    """

    state: str
    provider: Health
    listeners: tuple[ListenerHealth, ...]
    sending: SendingHealth = SendingHealth()
    workers: int = 0
    stuck_workers: int = 0
    loop_blocked: bool = False

    @property
    def consuming(self) -> bool:
        """The manager is started, and every listener consumes."""
        return self.state == STARTED and all(listener.consuming for listener in self.listeners)

    @property
    def alive(self) -> bool:
        """For a liveness probe: not every worker is stuck, and the event loop isn't blocked.

        A lost connection doesn't matter, because reconnecting requires no restart.
        """
        return not self.loop_blocked and (not self.workers or self.stuck_workers < self.workers)

    @property
    def ready(self) -> bool:
        """For a readiness probe: the manager is started and connected, and every listener consumes or is paused."""
        listening = all(listener.consuming or listener.paused for listener in self.listeners)
        return self.state == STARTED and self.provider.connected and listening

    @property
    def degraded(self) -> bool:
        """Ready, but a listener is paused, stuck or has an error, or the last send failed."""
        flawed = any(listener.paused or listener.stuck or listener.error for listener in self.listeners)
        return self.ready and (flawed or bool(self.sending.error))
