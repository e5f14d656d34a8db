"""Mutated messages on a live queue: each is handled or dead-lettered, and the process lives."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from tests.faults.mutants import amqp, stomp
from tests.faults.stage import EVENT, Stage
from tests.faults.terms import Figures, Terms
from tests.support.plain import PlainClient
from tests.support.raw import RawAmqp, RawStomp
from tests.support.waiting import until

TITLE = "Mutated messages"

MESSAGES = 50_000

#: Sent at a time; where the broker ends a connection over one of them, those behind it are not sent at all.
_BATCH = 10


def run(terms: Terms) -> Figures:
    """Send mutated messages by a raw client, until so many are in the queue; and compare all counts."""
    messages = terms.count(MESSAGES // terms.listeners, 100)
    random = terms.random
    tried = 0
    with Stage(terms) as stage:
        queues = stage.queues
        dead_letters = [f"{queue}.dead" for queue in queues]

        def tell(names: Sequence[str], *keys: str) -> list[int]:
            """The sums over some queues."""
            # A connection for each time: between two of them the broker would end it, as nobody reads what it sends.
            with PlainClient(stage.broker) as plain:
                told = [plain.queue(name) or {} for name in names]
            return [sum(int(each.get(key, 0)) for each in told) for key in keys]

        listener = stage.listen()
        with closing(RawAmqp(stage.broker, EVENT)) as over_amqp, closing(RawStomp(stage.broker)) as over_stomp:
            while tried < messages * 3:
                if (
                    tried >= messages
                    and tried % (_BATCH * 10) == 0
                    and tell(queues[:1], "messagesAdded")[0] >= messages
                ):
                    break
                # What it can't turn into a frame takes Artemis 2.44 to end a STOMP listener's connection, again and
                # again, until it gives up on the message: there the messages come over STOMP alone.
                if terms.over == "amqp" and random.random() < 0.5:
                    batch = [amqp(random) for _ in range(_BATCH)]
                    over_amqp.put(batch)
                else:
                    batch = [stomp(random, EVENT, at) for at in range(_BATCH)]
                    over_stomp.put(batch)
                tried += len(batch)
                assert listener.runs, listener.log[-5000:]

        def counts() -> tuple[int, ...]:
            ours = tell(queues, "messagesAdded", "messagesExpired", "messagesKilled")
            handled = sum(len(each) for each in stage.handled)
            return (*ours, *tell(dead_letters, "messagesAdded"), handled)

        def add_up() -> bool:
            added, *others = counts()
            return added == sum(others) and tell(queues, "messageCount") == [0]

        until(add_up, lambda: f"counts add up: {counts()}; the log:\n{listener.log[-5000:]}", 120)
        assert listener.runs
        added, expired, killed, dead, handled = counts()
        listener.stop()
        losses = listener.log.count("connection lost")
    figures: Figures = {
        "messages tried": tried,
        "messages in the queues": added,
        "handled": handled,
        "dead-lettered": dead,
        "expired, by their own headers": expired,
        "taken away by the broker": killed,
        "connections of raw clients that the broker ended": over_amqp.connections + over_stomp.connections - 2,
        "connections of the listener that were lost": losses,
    }
    assert added >= messages * terms.listeners, figures
    assert not killed, figures
    return figures
