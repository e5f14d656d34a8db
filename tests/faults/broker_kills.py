"""The broker is killed under load, again and again."""

from __future__ import annotations

from tests.faults.stage import Stage
from tests.faults.terms import Figures, Terms
from tests.support.waiting import until

TITLE = "The broker is killed"

EVENTS, KILLS = 100_000, 5

#: Fewer are sent before the broker can be killed.
LEAST, LEAST_OF_MANY = 5_000, 1_500


def run(terms: Terms) -> Figures:
    """Send durable events; at random moments, kill the broker while sends are under way, and start it again."""
    count, kills = (
        terms.count(EVENTS // terms.listeners, max(LEAST // terms.listeners, LEAST_OF_MANY)),
        terms.count(KILLS, 2),
    )
    under_way: list[int] = []
    unhandled: list[int] = []
    with Stage(terms) as stage:
        listener = stage.listen()
        sender = stage.send(count)
        for moment in terms.moments(kills, count):
            until(
                lambda moment=moment: len(stage.confirmed) >= moment,  # type: ignore[misc]
                lambda: f"{len(stage.confirmed)} confirmed; the sender's log:\n{sender.log}",
                120,
            )
            under_way.append(stage.kill_broker())
            confirmed = {*stage.confirmed.read()}
            unhandled.append(max(len(confirmed - {*each.read()}) for each in stage.handled))
            stage.broker.start()
        sender.expect("sent", 300)
        sender.end()
        stage.drain()
        assert listener.runs
        figures = stage.account()
        listener.stop()
    assert figures["sends that failed"] == 0
    assert figures["events confirmed"] == count
    return {
        "kills of the broker": kills,
        "sends under way at each": under_way,
        "confirmed and not yet handled at each": unhandled,
        **figures,
    }
