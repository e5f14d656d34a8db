"""What a transport knows of the broker in one generation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from eventing_core.provider._interface import Subscription


class Session(Protocol):
    """What a provider knows of the broker in one generation, beyond the connection itself."""

    def prepare(self, subscription: Subscription, ready: Callable[[Any], None]) -> None:
        """Make the queues of a subscription, the dead letters' first; ``ready(error)`` is called once."""

    def forget(self, subscription: Subscription) -> None:
        """Create the queues again when they are needed next: one may have been deleted."""

    def lost(self) -> None:
        """The generation is over: call nobody any more."""
