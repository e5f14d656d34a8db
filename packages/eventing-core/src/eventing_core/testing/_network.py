"""Fixtures that only the author of a provider can write: restart the broker, cut the network, refuse sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from types import TracebackType
from typing import Any, Protocol, Self

import pytest

from eventing_core.testing._kit import Kit
from eventing_core.testing._proxy import Proxy


class Network(Protocol):
    """The network path from managers to their broker, which tests can interrupt; usually a proxy.

    `ProxyNetwork` implements it for every broker that is reached by TCP.

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

    def hold_answers(self) -> None:
        """Forward to the broker only, and hold back what it sends, until `restore`, or lose that with `cut`."""

    def restore(self) -> None:
        """Forward everything and accept connections again. Idempotent."""


class ProxyNetwork:
    """A `Network` for a broker that is reached by TCP: the kit's `Proxy` stands before it. A context manager.

    Each method waits at most 30 seconds for the proxy's thread, and raises `TimeoutError` after that.

    Args:
        proxy: before the broker; or the broker's port, on this machine.
        config: makes the keyword arguments for `EventManager.from_config` from the port to connect to.

    Attributes:
        config: what ``config`` made for the proxy's port.
    """

    config: Mapping[str, Any]

    def __init__(self, proxy: Proxy | int, config: Callable[[int], Mapping[str, Any]]) -> None:
        self._proxy = Proxy(proxy) if isinstance(proxy, int) else proxy
        self._make_config = config

    def __enter__(self) -> Self:
        self._proxy.__enter__()
        self.config = self._make_config(self._proxy.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._proxy.__exit__(kind, error, traceback)

    def cut(self) -> None:
        """Reset all connections and refuse new ones, until `restore`."""
        self._proxy.refuse()

    def silence(self) -> None:
        """Stop forwarding, until `restore`; connections stay open."""
        self._proxy.silence()

    def hold_answers(self) -> None:
        """Forward to the broker only, and hold back what it sends, until `restore`."""
        self._proxy.silence("to_client")

    def restore(self) -> None:
        """Forward everything, what was held back first, and accept connections again. Idempotent."""
        self._proxy.speak()
        self._proxy.accept()


#: What the fixtures are that a class can give, beside ``config``.
_FIXTURES = {
    "network": "an eventing_core.testing.Network, which cuts the network",
    "restart_broker": "a callable that restarts the broker and returns when it takes connections",
    "refuse_sends": "a callable that makes a context manager in which the broker refuses sends to a destination",
    "send_foreign": "a callable that has foreign clients' messages sent to a destination, and returns how many",
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
