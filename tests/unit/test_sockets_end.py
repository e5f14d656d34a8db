"""The end of a connection: who is told of it is called under no lock, and may call again."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from eventing_amqp import AMQProvider
from eventing_core.errors import BrokerConnectionError, ConnectionLostError
from eventing_core.provider import Destination, Message, Subscription, SubscriptionState
from eventing_core.provider.sockets._states import ConnectionState
from eventing_stomp import StompProvider
from tests.support.locks import watched_locks
from tests.support.waiting import until

QUEUE = Subscription(destination=Destination("event", "group", kind="queue"))


@pytest.mark.parametrize("provider", [AMQProvider, StompProvider])
def test_who_is_told_of_the_end_is_called_under_no_lock(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched_locks(monkeypatch) as finds, socket.create_server(("127.0.0.1", 0)) as listening:  # says nothing
        opened = provider("server", "127.0.0.1", listening.getsockname()[1], connect_timeout=60.0)
        told: list[str] = []

        class Subscriber:
            def deliver(self, batch: object) -> None:
                raise AssertionError

            def state(self, state: SubscriptionState, generation: int, error: Exception | None) -> None:
                finds.foreign("state")
                told.append(state.value)
                with pytest.raises(ConnectionLostError):  # it may call again
                    opened.subscribe(QUEUE, self)
                opened.close(0.0)

        def done(_: int, error: Exception | None) -> None:
            finds.foreign("done")
            told.append(type(error).__name__)
            opened.health()

        errors: list[Exception] = []

        def open_it() -> None:
            try:
                opened.open(lambda *_: None)
            except BrokerConnectionError as error:
                errors.append(error)

        opening = threading.Thread(target=open_it)
        opening.start()
        connection, _ = listening.accept()
        until(lambda: opened._connection is not None, "it has begun", 5)
        opened.subscribe(QUEUE, Subscriber())
        producer = opened.producer(Destination("event"))
        producer.send((Message(b""),), done, deadline=time.monotonic() + 60)
        opened.close(0.0)
        opening.join(10)
        connection.close()
        assert sorted(told) == ["ConnectionLostError", "failed"]
        assert errors
        assert not finds.flaws, finds.flaws[0]
        assert finds.looks == 2


@pytest.mark.parametrize("provider", [AMQProvider, StompProvider])
def test_a_connection_that_was_never_opened_ends_once(provider: Any) -> None:
    """However many threads close it."""
    for _ in range(20):
        connection = provider("server", "127.0.0.1", 1).make_connection()
        closers = [threading.Thread(target=connection.close, args=(1.0,)) for _ in range(4)]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join(5)
            assert not closer.is_alive()
        assert connection.state is ConnectionState.CLOSED
