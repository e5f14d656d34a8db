"""Fixtures for all tests."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from examples.artemis import Artemis, ArtemisError

# How long an example takes says more of the machine than of the code.
settings.register_profile("eventing", deadline=None)
settings.load_profile("eventing")

_numbers = itertools.count(1)
_run_id = secrets.token_hex(3)
_running: dict[Artemis, bool] = {}


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Makes names that no other test, of this run or another, has on the broker: ``unique("Order")``."""
    suffix = f"{_run_id}-{next(_numbers)}"
    return lambda name: f"{name}-{suffix}"


@pytest.fixture(scope="session")
def artemis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artemis]:
    """One broker for all tests. Nobody stops it, and each test takes names of its own, by `unique`."""
    with ExitStack() as stack:
        yield _start(stack, tmp_path_factory.mktemp("artemis") / "broker")


@pytest.fixture(scope="class")
def class_artemis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artemis]:
    """A broker of the test class's own, which its tests may restart."""
    with ExitStack() as stack:
        yield _start(stack, tmp_path_factory.mktemp("artemis") / "broker")


@pytest.fixture
def make_artemis(tmp_path: Path) -> Iterator[Callable[..., Artemis]]:
    """Starts brokers of the test's own, with the arguments of `Artemis`."""
    with ExitStack() as stack:
        yield lambda **options: _start(stack, tmp_path / f"broker{next(_numbers)}", **options)


@pytest.fixture
def private_artemis(make_artemis: Callable[..., Artemis]) -> Artemis:
    """A broker of the test's own, to stop and to kill."""
    return make_artemis()


def _start(stack: ExitStack, folder: Path, **options: Any) -> Artemis:
    reason = Artemis.unavailable()
    if reason:
        pytest.skip(reason)
    broker = Artemis(folder=folder, short_lived=True, **options)
    _running[broker] = False

    def close() -> None:
        broker.close(keep=_running.pop(broker))

    stack.callback(close)
    try:
        broker.start()
    except ArtemisError:
        _running[broker] = True
        raise
    return broker


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the logs of the brokers that ran while a test failed, and show where they are."""
    report = yield
    if report.failed:
        for broker in _running:
            _running[broker] = True
            report.sections.append(("broker", f"its log: {broker.log}"))
    return report
