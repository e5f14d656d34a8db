"""Two brokers on one store, of which the one that serves is killed under load, again and again."""

from __future__ import annotations

import statistics
import time

from examples.artemis import SharedStore
from tests.faults.stage import Stage
from tests.faults.terms import Figures, Terms
from tests.support.waiting import until

TITLE = "The live one of two brokers is killed"

KILLS = 5

#: Between two sends, in seconds: they go on while a broker starts, and the listener keeps up.
PACE = 0.0002

#: Between two changes so many are sent, at the least and at the most.
BETWEEN = (2_000, 12_000)


def run(terms: Terms) -> Figures:
    """Send durable events; at random moments, kill the broker that serves; once the other one does, start it again."""
    kills = terms.count(KILLS, 2)
    # With many listeners each event is that many to handle.
    slower = 1 if terms.listeners == 1 else 5
    store = terms.folder / "store"
    under_way: list[int] = []
    delays: list[float] = []
    with Stage(terms, store=SharedStore(folder=store)) as stage:
        live = stage.broker
        other = stage.make_broker("backup", store=SharedStore(folder=store, backup=True), password=live.password)
        stage.add(other)
        places = {"failover": f'["{other.host}:{other.port}"]'}
        listener = stage.listen(**places)
        sender = stage.send(0, pace=PACE * slower, **places)

        def wait_for(confirmed: int, handled: int) -> None:
            until(
                lambda: len(stage.confirmed) >= confirmed and stage.handled_count() >= handled,
                lambda: (
                    f"{confirmed} confirmed, {handled} handled; {len(stage.confirmed)} and {stage.handled_count()} are;"
                    f" the logs:\n{sender.log}\n{listener.log}"
                ),
                120,
            )

        for _ in range(kills):
            wait_for(len(stage.confirmed) + terms.random.randint(*BETWEEN) // slower, 0)
            under_way.append(stage.kill_broker())
            killed = time.monotonic()
            wait_for(len(stage.confirmed) + 1, stage.handled_count() + 1)
            delays.append(time.monotonic() - killed)
            stage.broker.start(standby=True)
            stage.broker, other = other, stage.broker
        wait_for(len(stage.confirmed) + BETWEEN[0] // slower, 0)
        sender.end()
        other.stop()
        stage.drain()
        assert listener.runs
        figures = stage.account()
        changes = listener.log.count("in place of")
        listener.stop()
    assert figures["sends that failed"] == 0
    assert len(stage.confirmed) == len(stage.submitted)
    assert changes >= kills, figures
    return {
        "kills of the broker that serves": kills,
        "sends under way at each": under_way,
        "from the kill until events flow at the other one, in s: median": round(statistics.median(delays), 2),
        "from the kill until events flow at the other one, in s: longest": round(max(delays), 2),
        **figures,
    }
