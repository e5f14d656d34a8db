"""Whether consumers over STOMP take many more, where the broker and the window allow it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from eventing_core.provider import Destination, Subscription
from eventing_stomp._consumer import StompConsumer
from eventing_stomp._frame_consumer import FrameConsumer
from eventing_stomp._frames import Incoming
from eventing_stomp._rabbitmq._consumer import RabbitConsumer

SUBSCRIPTION = Subscription(destination=Destination("Order", "Mail", kind="queue"))


class Connection:
    def __init__(self) -> None:
        self.dirty: set[object] = set()


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


def test_on_artemis_nothing_more_comes_where_all_bytes_are_out() -> None:
    consumer = made(StompConsumer, 500, 4)
    consumer._bytes = 100
    assert consumer.hand_over_arrived() is False
    assert consumer._draining
    assert consumer.hand_over_arrived() is False


@pytest.mark.parametrize("changes", [{"_lacks": True}, {"_closing": object()}], ids=["lacks", "closing"])
def test_on_rabbitmq_nothing_more_comes_before_it_has_subscribed_for_it(changes: dict[str, object]) -> None:
    consumer = made(RabbitConsumer, 500, 4)
    vars(consumer).update(changes)
    assert consumer.hand_over_arrived() is False
