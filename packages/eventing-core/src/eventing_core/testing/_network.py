"""Fixtures that only the author of a provider can write: restart the broker, cut the network, refuse sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Protocol

import pytest

from eventing_core.testing._kit import Kit


class Network(Protocol):
    """The network path from managers to their broker, which tests can interrupt; usually a proxy.

    The broker itself keeps running, and other connections are not affected.

    Attributes:
        config: keyword arguments for `EventManager.from_config` with which managers connect through this path. Use a
            short heartbeat, if there is one, because tests wait until a silent peer is detected.
    """

    @property
    def config(self) -> Mapping[str, Any]:
        """See the class."""
        ...

    def cut(self) -> None:
        """Reset all connections and refuse new ones, until `restore`."""

    def silence(self) -> None:
        """Stop forwarding, until `restore`. Connections stay open, as if a cable was unplugged."""

    def restore(self) -> None:
        """Forward everything and accept connections again. Idempotent."""


#: What the fixtures are that a class can give, beside ``config``.
_FIXTURES = {
    "network": "an eventing_core.testing.Network, which cuts the network",
    "restart_broker": "a callable that restarts the broker and returns when it takes connections",
    "refuse_sends": "a callable that makes a context manager in which the broker refuses sends to a destination",
}


def require(test_class: object, fixture: str, value: object) -> None:
    """Say in the table, and loudly, that a test could not be tried for want of a fixture."""
    if value is None:
        pytest.skip(f"{type(test_class).__name__} has no fixture {fixture!r}: {_FIXTURES[fixture]}")


def needs(fixture: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test where there is a network and the fixture; say in the table why it didn't run otherwise."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def run(self: object, kit: Kit, **fixtures: Any) -> None:
            if not kit.capabilities.network:
                kit.not_applicable("network")
                return
            require(self, fixture, fixtures[fixture])
            test(self, kit, **fixtures)

        return run

    return decorate
