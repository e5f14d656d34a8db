"""What queues are called, on brokers where their names are free. Pure."""

from __future__ import annotations

import re
import string

from eventing_core.provider._messages import Destination, queue_name_of

#: The part of a queue's name that comes from the listener.
QUEUE_NAME = "{listener}"

_FIELDS = {"event", "listener"}


def check_queue_name(template: str) -> str:
    """Return the template.

    Raises:
        ValueError: it has other fields than ``{event}`` and ``{listener}``, or lacks the latter.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        msg = f"{template!r} is not a valid template: {error}"
        raise ValueError(msg) from None
    fields = {field for _, field, _, _ in parts if field is not None}
    if any(spec or conversion for _, _, spec, conversion in parts) or not fields <= _FIELDS or "listener" not in fields:
        msg = f"{template!r} must contain {{listener}} and may contain {{event}}; the default is {QUEUE_NAME!r}"
        raise ValueError(msg)
    if re.search(r"::|[?#*,\s]", template):
        msg = f"{template!r} contains characters that addresses can't have"
        raise ValueError(msg)
    return template


def queue_name(template: str, destination: Destination) -> str:
    """The name of a listener's queue, or of the queue for its dead letters."""
    return queue_name_of(template.format(event=destination.topic, listener=destination.group), destination)
