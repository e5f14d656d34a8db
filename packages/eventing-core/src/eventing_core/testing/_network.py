"""What only a provider's author can do: restart the broker, break the network, have sends refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Protocol

import pytest

from eventing_core.testing._kit import Kit


class Network(Protocol):
    """The way from managers to their broker, in the hands of a test: a proxy, or what the system's firewall does.

    The broker itself stays up, and what doesn't go through here reaches it all the time.

    Attributes:
        config: keyword arguments for `EventManager.from_config`, by which managers go this way. A provider that
            sends heartbeats should do so often here: tests wait until a silent peer is noticed.
    """

    @property
    def config(self) -> Mapping[str, Any]:
        """See the class."""
        ...

    def cut(self) -> None:
        """Reset all connections and refuse new ones, until `mend`."""

    def silence(self) -> None:
        """Pass nothing on any more, until `mend`; connections stay open, as when a cable is pulled."""

    def mend(self) -> None:
        """Pass everything on and take connections again. Idempotent."""


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
