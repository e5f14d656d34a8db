"""What a start logs: each listener with its queue, and the events that a restart of the broker would take."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from eventing_core.configure._options import Options
from eventing_core.declare._listener import EventListenerDescriptor
from eventing_core.provider import Provider
from eventing_core.receive._queues import queue_of

_log = logging.getLogger("eventing")


def log_start(provider: Provider, descriptors: Sequence[EventListenerDescriptor], options: Options) -> None:
    """Log it, once every queue is there. A logging handler that raises keeps nothing from starting."""
    with contextlib.suppress(Exception):
        for descriptor in descriptors:
            shared = f" over its {len(descriptor.events)} queues" if len(descriptor.events) > 1 else ""
            _log.info(
                "%s: listening: queue %s, concurrency %d%s, server %s",
                descriptor.label,
                provider.queue_name(queue_of(descriptor, provider.server_name)),
                descriptor.concurrency,
                shared,
                provider.server_name,
            )
        volatile = events_that_are_not_kept(provider, descriptors) if options.warn_not_durable else ()
        if volatile:
            _log.warning(
                "not durable, and lost when the broker restarts: %s. Declare them with @event(durable=True); if they "
                "may be lost, set warn_not_durable = false",
                ", ".join(volatile),
            )


def events_that_are_not_kept(provider: Provider, descriptors: Sequence[EventListenerDescriptor]) -> Sequence[str]:
    """The names of the events that aren't durable, although the broker could keep them over a restart."""
    # A memory broker ends with its process, whatever it keeps over a restart of its own.
    if not (provider.capabilities.durable and provider.capabilities.retains) or provider.name == "memory":
        return ()
    return sorted({descriptor.event.name for descriptor in descriptors if not descriptor.event.durable})
