"""What a manager tells of its state."""

from __future__ import annotations

from dataclasses import dataclass

from eventing_core.provider import Health

#: The state in which a manager consumes.
STARTED = "started"


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckRun:
    """A run of ``on`` that takes longer than it should.

    Attributes:
        seconds: how long it runs.
        thread: the name of the thread that runs it.
        stack: where it is, as in a traceback; without values of variables.
    """

    seconds: float
    thread: str
    stack: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerHealth:
    """How a listener is.

    Attributes:
        listener: its name.
        event: the event's name.
        consuming: its queue is attached in the current generation, credit was given, and nothing takes up room for
            ever: an event that an unexpected error left unsettled does, until the next generation, and so do stuck
            runs, where they are as many as its ``concurrency``.
        paused: it would consume, and tries single events only: almost everything failed (`Retry.pause_after`).
        running: runs of ``on`` at this moment.
        held: deliveries that wait for another attempt.
        stuck: runs of ``on`` that take longer than the listener's ``timeout``, or `Options.stuck_after`.
        error: what is wrong: why it isn't attached, why a copy can't be stored, or what unexpected error left an
            event unsettled; empty for nothing.
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
    """How sending is.

    Attributes:
        in_flight: sends that the broker hasn't confirmed yet.
        error: of the last send, where it failed: not confirmed in time, refused, or lost; empty for nothing.
    """

    in_flight: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerHealth:
    """How a manager is.

    Attributes:
        state: ``not started``, ``starting``, ``started``, ``stopping``, ``draining`` or ``stopped``.
        provider: how the connection is.
        listeners: how each listener is.
        sending: how sending is.
        workers: threads for listeners; 0 where no listener needs one.
        stuck_workers: of these, how many a stuck run of ``on`` takes.
        loop_blocked: the event loop of ``async def on`` has not answered for `Options.stuck_after`, as far as health
            was asked: something on it blocks.
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

        A lost connection mends itself, and needs no restart.
        """
        return not self.loop_blocked and (not self.workers or self.stuck_workers < self.workers)

    @property
    def ready(self) -> bool:
        """For a readiness probe: started, connected, and every listener consumes, or has paused itself."""
        listening = all(listener.consuming or listener.paused for listener in self.listeners)
        return self.state == STARTED and self.provider.connected and listening

    @property
    def degraded(self) -> bool:
        """Ready, and something is wrong: a listener is paused, stuck or has an error, or the last send failed."""
        flawed = any(listener.paused or listener.stuck or listener.error for listener in self.listeners)
        return self.ready and (flawed or bool(self.sending.error))
