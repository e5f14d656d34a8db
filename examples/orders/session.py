"""A session that travels with the events: opened by the shop, open again around every listener."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from eventing_core import Envelope, EnvelopePipeline, EventDescriptor, EventListenerDescriptor, envelope_pipeline

_session: ContextVar[str] = ContextVar("session", default="")


def current_session() -> str:
    """The session that is open here; empty when there is none."""
    return _session.get()


@contextmanager
def open_session(session: str) -> Iterator[None]:
    """Open a session, and close it at the end."""
    token = _session.set(session)
    try:
        yield
    finally:
        _session.reset(token)


@envelope_pipeline(order=0)
class SessionPipeline(EnvelopePipeline):
    """Carries the sender's session to the listener, in a header."""

    def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> None:
        """Note the session on the envelope."""
        envelope.set("session", current_session())

    def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> Iterator[None]:
        """Open it for the listener; it is closed when the listener has returned or raised."""
        with open_session(envelope.get("session")):
            yield
