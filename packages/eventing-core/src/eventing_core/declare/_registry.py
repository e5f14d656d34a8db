"""The event classes that one manager has met."""

from __future__ import annotations

import threading
from typing import Any

from eventing_core.declare._event import EventDescriptor, is_redeclared
from eventing_core.errors import DeclarationError


class EventRegistry:
    """The event classes that one manager has met. Thread-safe.

    Two classes of one name are refused, unless they are one class that was declared again.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, EventDescriptor] = {}
        # Guards `_by_name`.
        self._lock = threading.Lock()

    def add(self, descriptor: EventDescriptor) -> EventDescriptor:
        """Take an event in.

        Raises:
            DeclarationError: another class has that name.
        """
        with self._lock:
            known = self._by_name.setdefault(descriptor.name, descriptor)
            if is_redeclared(known.event_type, descriptor.event_type):
                known = self._by_name[descriptor.name] = descriptor
        if known.event_type is not descriptor.event_type and not is_redeclared(descriptor.event_type, known.event_type):
            msg = (
                f"two events are named {descriptor.name!r}: {_class_name(known.event_type)} and "
                f'{_class_name(descriptor.event_type)}. Give one of them another with @event("name").'
            )
            raise DeclarationError(msg)
        return descriptor


def _class_name(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
