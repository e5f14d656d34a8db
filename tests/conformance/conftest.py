"""No provider calls into other code under one of its locks, whatever the conformance kit does with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventing_amqp import AMQProvider
from eventing_core.memory import MemoryProvider
from eventing_stomp import StompProvider
from tests.support.locks import watch_provider, watched_locks


@pytest.fixture(autouse=True)
def _no_lock_is_held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with watched_locks(monkeypatch) as finds:
        for kind in (MemoryProvider, AMQProvider, StompProvider):
            watch_provider(monkeypatch, kind, finds)
        yield
    assert not finds.flaws, "\n\n".join(finds.flaws[:3])
