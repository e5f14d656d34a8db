"""`ProviderConformance`: the tests that every provider passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import pytest

from eventing_core.provider import Destination
from eventing_core.testing._between import BetweenTests
from eventing_core.testing._capabilities import CapabilityTests
from eventing_core.testing._crashes import CrashTests
from eventing_core.testing._delivery import DeliveryTests
from eventing_core.testing._extremes import ExtremeTests
from eventing_core.testing._failures import FailureTests
from eventing_core.testing._fanout import FanOutTests
from eventing_core.testing._gone import GoneTests
from eventing_core.testing._kit import Kit
from eventing_core.testing._life import LifeTests
from eventing_core.testing._lifecycle import LifecycleTests
from eventing_core.testing._network import Network
from eventing_core.testing._outage import OutageTests
from eventing_core.testing._refusal import RefusalTests
from eventing_core.testing._report import tell_of
from eventing_core.testing._restart import RestartTests
from eventing_core.testing._timing import TimingTests
from eventing_core.testing._transport import TransportTests


class ProviderConformance(
    DeliveryTests,
    FanOutTests,
    FailureTests,
    LifecycleTests,
    TransportTests,
    ExtremeTests,
    TimingTests,
    LifeTests,
    GoneTests,
    CrashTests,
    OutageTests,
    BetweenTests,
    RestartTests,
    RefusalTests,
    CapabilityTests,
):
    """The tests that every provider must pass.

    Derive a class ``Test...`` from it, with a fixture ``config`` and those of the other fixtures that your broker
    allows::

        class TestExample(ProviderConformance):
            capabilities_file = Path(__file__).with_name("capabilities.json")

            @pytest.fixture
            def config(self, broker):
                return {"provider": "example", "example": {"port": broker.port}}

            @pytest.fixture
            def restart_broker(self, broker):
                return broker.restart

    Each test uses unique names, so that all tests can share one broker. The run ends with a table that says of every
    behaviour whether it holds, is refused because a capability is missing, is not applicable, or could not be tried
    because a fixture is missing. Such a test is skipped with that reason.

    Attributes:
        broker_in_process: the broker lives in the test's own process: no other process reaches it, and nothing lies
            between a send and its answer. What needs another process is not applicable then.
    """

    broker_in_process: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a class that takes tests away: the table would say nothing of them."""
        super().__init_subclass__(**options)
        gone = [name for name in dir(cls) if name.startswith("test_") and not callable(getattr(cls, name))]
        if gone:
            msg = f"{cls.__name__} takes away {', '.join(gone)}: a failing test must stay visible"
            raise TypeError(msg)

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Called by pytest during collection, to print the table at the end."""
        if metafunc.cls is not None:
            tell_of(metafunc.cls, metafunc.config)

    @pytest.fixture
    def config(self) -> Mapping[str, Any]:
        """Keyword arguments for `EventManager.from_config`: override it."""
        msg = f"give {type(self).__name__} a fixture 'config': the keyword arguments for EventManager.from_config"
        raise NotImplementedError(msg)

    @pytest.fixture
    def restart_broker(self) -> Callable[[], object] | None:
        """A callable that restarts the broker of ``config``, and returns when it accepts connections again."""
        return None

    @pytest.fixture
    def network(self) -> Network | None:
        """The network path to the broker of ``config``. The fixture must restore it after the test."""
        return None

    @pytest.fixture
    def refuse_sends(self) -> Callable[[Destination], AbstractContextManager[object]] | None:
        """A callable that takes a `Destination`, a topic or dead letters, and returns a context manager.

        Within the context, the broker refuses sends to that destination, but still delivers its messages.
        """
        return None

    @pytest.fixture
    def kit(self, config: Mapping[str, Any]) -> Iterator[Kit]:
        """What the tests are written with."""
        kit = Kit(config)
        yield kit
        kit.close()
