"""Names, lives and forks of in-memory brokers and providers."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Iterator
from contextlib import suppress

import pytest

from eventing_core.errors import (
    BrokerConnectionError,
    ConnectionLostError,
    ServerNameInUseError,
)
from eventing_core.memory import MemoryBroker, MemoryConfig, MemoryProvider
from eventing_core.memory._plugin import eventing_provider
from eventing_core.provider import Destination, SubscriptionState
from eventing_core.testing import Recorder
from tests.support.memory_bench import TOPIC, Bench, open_bench

ACTIVE, INACTIVE, FAILED = SubscriptionState.ACTIVE, SubscriptionState.INACTIVE, SubscriptionState.FAILED


def states(recorder: Recorder) -> list[tuple[SubscriptionState, int]]:
    return [(state, generation) for state, generation, _ in recorder.states.items()]


@pytest.fixture
def bench() -> Iterator[Bench]:
    with open_bench(1000) as bench:
        yield bench


def make(server_name: str, config: MemoryConfig) -> MemoryProvider:
    spec = eventing_provider()
    assert spec is not None
    provider = spec.factory(server_name, config)
    assert isinstance(provider, MemoryProvider)
    return provider


# Names


def test_a_second_process_of_one_server_name_is_refused(bench: Bench) -> None:
    own = Destination("Event", "Listener", "server", "queue")
    first, second = bench.listen(bench.provider(), own), bench.listen(bench.provider(), own)
    assert states(first) == [(ACTIVE, 1)]
    [(state, _, error)] = second.states.items()
    assert state is FAILED
    assert isinstance(error, ServerNameInUseError)
    assert "'server'" in str(error)
    assert second.handle.close().done()
    first.handle.close()
    assert states(bench.listen(bench.provider(), own)) == [(ACTIVE, 1)]


def test_shared_brokers_are_one_by_name_and_live_as_long_as_somebody_holds_them() -> None:
    one = make("a", MemoryConfig(broker="cluster", max_messages=7))
    two = make("b", MemoryConfig(broker="cluster"))
    assert one.broker is two.broker is MemoryBroker.shared("cluster")
    assert two.broker.max_messages == 7
    gone = weakref.ref(one.broker)
    del one, two
    gc.collect()
    assert gone() is None


def test_brokers_without_a_name_are_private() -> None:
    assert make("a", MemoryConfig()).broker is not make("a", MemoryConfig()).broker


def test_a_provider_is_opened_once_and_before_anything_else() -> None:
    provider = MemoryProvider("server")
    assert not provider.health().connected
    with pytest.raises(ConnectionLostError, match="not open"):
        provider.producer(TOPIC)
    provider.close(0)
    provider.open(lambda *_: None)
    with pytest.raises(BrokerConnectionError, match="opened before"):
        provider.open(lambda *_: None)
    provider.close(0)


def test_a_bound_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_messages"):
        MemoryBroker(max_messages=0)


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_begins_empty_and_leaves_the_parent_alone(bench: Bench) -> None:
    provider, other = bench.provider(), bench.provider()
    recorder = bench.listen(provider, window=1)
    bench.send(provider, *"ab")
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            provider.abandon()
            other.abandon()
            provider.open(lambda *_: None)
            bench.listen(provider)
            bench.send(provider, "c")
            code = 0 if bench.stored() == ["c"] and not other.health().connected else 2
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert bench.stored() == ["a", "b"]
    recorder.settle(recorder.wait(1))
    assert recorder.bodies() == ["a", "b"]
