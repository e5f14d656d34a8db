"""What unit tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.dispatching import Bench, benches


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    with benches() as make:
        yield make
