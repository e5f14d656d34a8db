"""What a manager tells of its state."""

from __future__ import annotations

from dataclasses import dataclass

from eventing_core.provider import Health

#: The state in which a manager consumes.
STARTED = "started"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerHealth:
    """How a listener is.

    Attributes:
        listener: its name.
        event: the event's name.
        consuming: its queue is attached in the current generation, credit was given, and nothing takes up room for
            ever: an event that an unexpected error left unsettled does, until the next generation.
        paused: it would consume, and tries single events only: almost everything failed (`Retry.pause_after`).
        running: runs of ``on`` at this moment.
        held: deliveries that wait for another attempt.
        error: what is wrong: why it isn't attached, why a copy can't be stored, or what unexpected error left an
            event unsettled; empty for nothing.
    """

    listener: str
    event: str
    consuming: bool
    running: int
    held: int
    paused: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerHealth:
    """How a manager is.

    Attributes:
        state: ``not started``, ``starting``, ``started``, ``stopping`` or ``stopped``.
        provider: how the connection is.
        listeners: how each listener is.
    """

    state: str
    provider: Health
    listeners: tuple[ListenerHealth, ...]

    @property
    def consuming(self) -> bool:
        """The manager is started, and every listener consumes."""
        return self.state == STARTED and all(listener.consuming for listener in self.listeners)
