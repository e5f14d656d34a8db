"""`ProviderConformance`: the tests that every provider passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest

from eventing_core.provider import Destination
from eventing_core.testing._capabilities import CapabilityTests
from eventing_core.testing._delivery import DeliveryTests
from eventing_core.testing._failures import FailureTests
from eventing_core.testing._fanout import FanOutTests
from eventing_core.testing._gone import GoneTests
from eventing_core.testing._kit import Kit
from eventing_core.testing._lifecycle import LifecycleTests
from eventing_core.testing._network import Network
from eventing_core.testing._outage import OutageTests
from eventing_core.testing._refusal import RefusalTests
from eventing_core.testing._report import tell_of
from eventing_core.testing._restart import RestartTests
from eventing_core.testing._transport import TransportTests


class ProviderConformance(
    DeliveryTests,
    FanOutTests,
    FailureTests,
    LifecycleTests,
    TransportTests,
    GoneTests,
    OutageTests,
    RestartTests,
    RefusalTests,
    CapabilityTests,
):
    """What every provider does.

    Derive a class ``Test...`` from it, and give it a fixture ``config``, and those of the others that your broker
    allows::

        class TestExample(ProviderConformance):
            capabilities_file = Path(__file__).with_name("capabilities.json")

            @pytest.fixture
            def config(self, broker):
                return {"provider": "example", "example": {"port": broker.port}}

            @pytest.fixture
            def restart_broker(self, broker):
                return broker.restart

    Each test uses names of its own, so that one broker serves all of them. The run ends with a table: of every
    behaviour it says whether it holds, is asserted to be refused where the capability is lacking, is not applicable, or
    could not be tried, for want of a fixture. Such a test is skipped with that reason.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a class that takes tests away: the table would say nothing of them."""
        super().__init_subclass__(**options)
        gone = [name for name in dir(cls) if name.startswith("test_") and not callable(getattr(cls, name))]
        if gone:
            msg = f"{cls.__name__} takes away {', '.join(gone)}: what doesn't hold has to be seen"
            raise TypeError(msg)

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Called by pytest while it collects: have the table printed."""
        if metafunc.cls is not None:
            tell_of(metafunc.cls, metafunc.config)

    @pytest.fixture
    def config(self) -> Mapping[str, Any]:
        """Keyword arguments for `EventManager.from_config`: override it."""
        msg = f"give {type(self).__name__} a fixture 'config': the keyword arguments for EventManager.from_config"
        raise NotImplementedError(msg)

    @pytest.fixture
    def restart_broker(self) -> Callable[[], object] | None:
        """A callable that restarts the broker of ``config``, and returns when it takes connections again."""
        return None

    @pytest.fixture
    def network(self) -> Network | None:
        """The way to the broker of ``config``; mended after the test by whoever makes it."""
        return None

    @pytest.fixture
    def refuse_sends(self) -> Callable[[Destination], AbstractContextManager[object]] | None:
        """A callable that takes a `Destination`, a topic or dead letters, and makes a context manager.

        In it the broker refuses sends to that destination; it gives out what is there as before.
        """
        return None

    @pytest.fixture
    def kit(self, config: Mapping[str, Any]) -> Iterator[Kit]:
        """What the tests are written with."""
        kit = Kit(config)
        yield kit
        kit.close()
