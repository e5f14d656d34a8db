"""A pipeline that counts what is sent and handled."""

from __future__ import annotations

from collections.abc import Iterator

from eventing_core import Envelope, EnvelopePipeline, EventDescriptor, EventListenerDescriptor, envelope_pipeline
from examples.orders.journal import Journal, Server


@envelope_pipeline(order=10)
class TallyPipeline(EnvelopePipeline):
    """Counts confirmed sends, and attempts by what became of them.

    Its order is higher than that of the session's pipeline: it stands further in, where the session is open.
    """

    def __init__(self, journal: Journal, server: Server) -> None:
        self._journal = journal
        self._server = server

    def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
        """Count the event once the broker has confirmed it."""
        yield
        self._journal.count(f"sent {event_descriptor.name}")

    def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> Iterator[None]:
        """Count the attempt."""
        listener = event_listener_descriptor
        try:
            yield
        except Exception:
            self._journal.count(f"failed {listener.name}")
            raise
        self._journal.count(f"handled {listener.name}" + (f" on {self._server.name}" if listener.per_process else ""))
