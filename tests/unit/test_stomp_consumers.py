"""Whether consumers over STOMP take many more, where the broker and the window allow it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from eventing_core.provider import Destination, Outcome, Subscription
from eventing_stomp._consumer import StompConsumer
from eventing_stomp._frame_consumer import FrameConsumer
from eventing_stomp._frames import Incoming
from eventing_stomp._rabbitmq._consumer import RabbitConsumer

SUBSCRIPTION = Subscription(destination=Destination("Order", "Mail", kind="queue"))


class Connection:
    def __init__(self) -> None:
        self.dirty: set[object] = set()
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.loop = SimpleNamespace(call_in=lambda delay, call: self.later.append((delay, call)))


def made(kind: type[FrameConsumer[Any]], size: int, arrived: int) -> Any:
    """An active consumer with such a window, to which so many messages have come."""
    further: dict[str, Any] = {"limit": 1 << 23, "rights": None} if kind is StompConsumer else {"queue": None}
    connection, subscriber = Connection(), SimpleNamespace(deliver=lambda _: None)
    consumer: Any = kind(connection, SUBSCRIPTION, subscriber, **further)  # type: ignore[arg-type]
    consumer._active = True
    consumer._size = size
    consumer._bytes = 1 << 20
    incoming = Incoming(b"MESSAGE", b"MESSAGE\nsubscription:1\nack:1\n", b"x")
    consumer._arrived.extend(("1", incoming) for _ in range(arrived))
    return consumer


KINDS = pytest.mark.parametrize("kind", [StompConsumer, RabbitConsumer])


@KINDS
@pytest.mark.parametrize(
    ("size", "arrived", "more"), [(500, 4, True), (36, 4, True), (35, 4, False), (10, 4, False), (500, 600, False)]
)
def test_it_takes_many_more_while_much_of_its_window_is_free(
    kind: type[FrameConsumer[Any]], size: int, arrived: int, more: bool
) -> None:
    assert made(kind, size, arrived).hand_over_arrived() is more


@KINDS
def test_who_isnt_attached_takes_nothing(kind: type[FrameConsumer[Any]]) -> None:
    consumer = made(kind, 500, 4)
    consumer._active = False
    assert consumer.hand_over_arrived() is False
    assert len(consumer._arrived) == 4


class Generation:
    """Notes what is subscribed, by its id, with how many bytes."""

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}
        self.acknowledged = b""
        self.ids = iter(range(2, 10))

    def subscribe(self, _: object, headers: dict[str, str]) -> str:
        one = str(next(self.ids))
        self.bytes[one] = int(headers["consumer-window-size"])
        return one

    def unsubscribe(self, subscription: str) -> None:
        self.bytes.pop(subscription, None)

    def put(self, data: bytes) -> None:
        self.acknowledged += data


def starving(window: int, size: int) -> tuple[Any, Generation, list[Any]]:
    """A consumer that has a window, all of whose STOMP subscription's bytes are out; and what is delivered to it."""
    delivered: list[Any] = []
    consumer = made(StompConsumer, window, 0)
    consumer._subscriber.deliver = delivered.extend
    consumer._generation = generation = Generation()
    generation.bytes["1"] = consumer._bytes = size
    consumer._live, consumer._node = "1", SimpleNamespace(address="Order", anycast=False)
    return consumer, generation, delivered


def come(consumer: Any, subscription: str, count: int = 1) -> None:
    incoming = Incoming(b"MESSAGE", b"MESSAGE\nsubscription:1\nack:1\n", b"x" * 60)
    consumer._arrived.extend((subscription, incoming) for _ in range(count))
    consumer.hand_over_arrived()


def test_on_artemis_nothing_more_comes_where_all_bytes_are_out() -> None:
    consumer, _, delivered = starving(500, 100)
    come(consumer, "1", 4)
    assert len(delivered) == 4
    assert consumer._draining
    assert consumer.hand_over_arrived() is False


@pytest.mark.parametrize(("window", "size", "count"), [(2, 0, 1), (500, 100, 2)])
def test_on_artemis_a_second_subscription_is_made_where_something_stays_out(window: int, size: int, count: int) -> None:
    consumer, generation, delivered = starving(window, size)
    come(consumer, "1", count)
    ((delay, call),) = consumer._connection.later
    assert delay == 0.5
    call()
    assert set(generation.bytes) == {"1", "2"}
    assert generation.bytes["2"] >= 8192
    assert consumer.live == ("2", "1")
    come(consumer, "2")
    consumer.settle_now(delivered[-1:], Outcome.ACCEPT)
    consumer.flush()
    assert set(generation.bytes) == {"1", "2"}  # something of the first one is still out
    consumer.settle_now(delivered, Outcome.ACCEPT)
    consumer.flush()
    assert set(generation.bytes) == {"2"}
    assert not consumer._earlier


def test_on_artemis_no_second_subscription_is_made_where_all_is_settled_soon() -> None:
    consumer, generation, delivered = starving(2, 0)
    come(consumer, "1")
    ((_, call),) = consumer._connection.later
    consumer.settle_now(delivered, Outcome.ACCEPT)
    consumer._draining = False
    call()
    assert set(generation.bytes) == {"1"}


@pytest.mark.parametrize("changes", [{"_lacks": True}, {"_closing": object()}], ids=["lacks", "closing"])
def test_on_rabbitmq_nothing_more_comes_before_it_has_subscribed_for_it(changes: dict[str, object]) -> None:
    consumer = made(RabbitConsumer, 500, 4)
    vars(consumer).update(changes)
    assert consumer.hand_over_arrived() is False
