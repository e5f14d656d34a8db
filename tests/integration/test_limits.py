"""Messages that are too large to be received."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from examples.artemis import Artemis
from tests.support.bench import accepting, opened
from tests.support.plain import PlainClient
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("kind")

MIB = 1 << 20


def test_a_message_beyond_the_limit_ends_the_connection_and_stays(artemis: Artemis, unique: Callable[[str], str]):
    name, large = unique("large"), "x" * (2 * MIB)
    # It doesn't come back at once: the broker counts.
    with opened(artemis, name, max_message_bytes=MIB, backoff_initial=20, backoff_max=20) as bench:
        bench.listen_active(window=10)
        bench.put("small")
        bench.send(large)
        [_, (connected, error)] = bench.connected.until(lambda seen: len(seen) > 1, "the connection is ended")
        assert not connected
        assert f"received a message with more than {MIB} bytes (max_message_bytes)" in str(error)
    with opened(artemis, name) as bench:
        recorder = bench.listen_active(window=10)
        recorder.deliveries.until(lambda _: large in recorder.bodies(), "it is still there, and whole")


def is_given_up(broker: Artemis, seconds: float) -> bool:
    """Whether the broker has put one message, at last, among its own dead letters."""
    with PlainClient(broker) as plain:
        try:
            until(lambda: plain.count("DLQ") == 1, "the broker has given it up", seconds)
        except AssertionError:
            return False
        return True


def test_what_stays_too_large_is_given_up_or_set_aside_and_others_come(make_artemis: Callable[..., Artemis], kind: str):
    broker = make_artemis(address_settings={"max-delivery-attempts": "3"})
    with opened(broker, "limit", max_message_bytes=MIB) as bench:
        recorder = accepting(bench.listen_active())
        bench.put("before")
        large = bench.send("x" * (2 * MIB)).wait(1)
        bench.put("after")
        # One at a time, as a listener begins: what is out beside it is counted as well.
        recorder.size = 1
        recorder.handle.window(1)
        recorder.deliveries.until(lambda _: {"before", "after"} <= {*recorder.bodies()}, "the others come", 120)
        assert large == [(0, None)]
        if kind == "stomp":
            # Set aside by Eventing, before the broker gives it up.
            with PlainClient(broker) as plain:
                name = f"{bench.queue.group}.undeliverable"
                until(lambda: (plain.queue(name) or {}).get("messageCount") == "1", "it is set aside", 60)
        else:
            assert is_given_up(broker, 60)
        until(lambda: bench.provider.health().connected, "there is a connection")
