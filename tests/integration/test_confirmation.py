"""No send returns before the broker's confirmation: a proxy keeps it back, while the broker has the event already."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import pytest

from eventing_core import EventManager, SendEventsError, SendTimeoutError
from eventing_core.provider import Provider
from examples.artemis import Artemis
from tests.support.proxy import Proxy
from tests.support.workers import Numbered, event_named, listener_of

TIMEOUT = 30.0

Send = Callable[..., object]

#: How to send one event and wait for its confirmation.
WAYS: dict[str, Callable[[EventManager, Numbered, float], object]] = {
    "send_event": lambda manager, event, timeout: manager.send_event(event, timeout=timeout),
    "send_events": lambda manager, event, timeout: manager.send_events([event], timeout=timeout),
    "submit_event": lambda manager, event, timeout: manager.submit_event(event, timeout=timeout).result(),
    "send_event_async": lambda manager, event, timeout: asyncio.run(manager.send_event_async(event, timeout=timeout)),
}


@pytest.fixture
def proxy(artemis: Artemis) -> Iterator[Proxy]:
    with Proxy(artemis.port) as proxy:
        yield proxy


@pytest.fixture
def event_type(unique: Callable[[str], str]) -> type[Numbered]:
    return event_named(unique("Confirmed"))


@pytest.fixture
def handled(
    make_manager: Callable[..., EventManager], event_type: type[Numbered], unique: Callable[[str], str]
) -> SimpleQueue[int]:
    """What a listener that is connected to the broker itself gets: the broker has it."""
    handled: SimpleQueue[int] = SimpleQueue()
    make_manager(listener_of(event_type, unique("Listener"), handled.put)).start()
    return handled


@pytest.fixture
def sender(
    make_manager: Callable[..., EventManager],
    make_provider: Callable[..., Provider],
    proxy: Proxy,
    event_type: type[Numbered],
    handled: SimpleQueue[int],
) -> EventManager:
    """Connected through the proxy. It has sent number 0, so that nothing but a send has to be answered."""
    manager = make_manager(provider=make_provider("sender", port=proxy.port))
    manager.send_event(event_type(number=0))
    assert handled.get(timeout=TIMEOUT) == 0
    return manager


@pytest.fixture
def in_background() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor() as pool:
        yield pool.submit


@pytest.mark.parametrize("way", WAYS)
def test_a_send_waits_for_the_confirmation(
    way: str,
    sender: EventManager,
    proxy: Proxy,
    event_type: type[Numbered],
    handled: SimpleQueue[int],
    in_background: Callable[..., Future[Any]],
):
    proxy.hold_confirmations()
    sent = in_background(WAYS[way], sender, event_type(number=1), TIMEOUT)
    proxy.wait_until_held(1)
    assert handled.get(timeout=TIMEOUT) == 1
    with pytest.raises(TimeoutError):
        sent.result(timeout=0.5)
    assert not sent.done()
    assert proxy.release_confirmations() == 1
    sent.result(timeout=TIMEOUT)


@pytest.mark.parametrize("way", WAYS)
def test_without_a_confirmation_a_send_is_in_doubt(
    way: str, sender: EventManager, proxy: Proxy, event_type: type[Numbered], handled: SimpleQueue[int]
):
    proxy.hold_confirmations()
    begun = time.monotonic()
    with pytest.raises((SendTimeoutError, SendEventsError)) as caught:
        WAYS[way](sender, event_type(number=1), 0.5)
    assert 0.5 <= time.monotonic() - begun < 5.0
    error = caught.value
    if isinstance(error, SendEventsError):
        assert error.in_doubt
        ((index, cause),) = error.failures
        assert index == 0
    else:
        cause = error
    assert isinstance(cause, SendTimeoutError)
    assert cause.in_doubt
    assert handled.get(timeout=TIMEOUT) == 1
    # The late answer confirms nothing else.
    proxy.release_confirmations()
    proxy.hold_confirmations()
    with pytest.raises(SendTimeoutError):
        sender.send_event(event_type(number=2), timeout=0.5)
    proxy.release_confirmations()
    sender.send_event(event_type(number=3))
    assert [handled.get(timeout=TIMEOUT) for _ in range(2)] == [2, 3]


def test_send_events_returns_with_the_last_confirmation(
    sender: EventManager,
    proxy: Proxy,
    event_type: type[Numbered],
    handled: SimpleQueue[int],
    in_background: Callable[..., Future[Any]],
):
    sender.send_events(event_type(number=number) for number in range(1, 100))
    proxy.hold_confirmations()
    sent = in_background(sender.send_events, [event_type(number=number) for number in range(100, 200)])
    proxy.wait_until_held(1)
    assert [handled.get(timeout=TIMEOUT) for _ in range(199)] == list(range(1, 200))
    with pytest.raises(TimeoutError):
        sent.result(timeout=0.5)
    proxy.release_confirmations()
    sent.result(timeout=TIMEOUT)


def test_a_send_in_doubt_is_repeated_and_stored_once(
    sender: EventManager,
    proxy: Proxy,
    event_type: type[Numbered],
    handled: SimpleQueue[int],
    in_background: Callable[..., Future[Any]],
):
    proxy.hold_confirmations()
    sent = in_background(sender.send_event, event_type(number=1))
    proxy.wait_until_held(1)
    assert handled.get(timeout=TIMEOUT) == 1
    assert not sent.done()
    proxy.reset()
    proxy.wait_until_accepted(2)
    proxy.release_confirmations()
    sent.result(timeout=TIMEOUT)
    # Nothing came between: the broker knew the repeated one by its id.
    sender.send_event(event_type(number=2))
    assert handled.get(timeout=TIMEOUT) == 2


def test_unanswered_sends_fail_in_time_while_disconnected(
    sender: EventManager, proxy: Proxy, event_type: type[Numbered], handled: SimpleQueue[int]
):
    proxy.refuse()
    with pytest.raises(SendTimeoutError, match="not sent in time") as caught:
        sender.send_event(event_type(number=1), timeout=0.5)
    assert not caught.value.in_doubt
    proxy.accept()
    sender.send_event(event_type(number=2))
    # It was withdrawn, and doesn't come late.
    assert handled.get(timeout=TIMEOUT) == 2
