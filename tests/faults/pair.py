"""Two brokers on one store, of which the live one is killed under load, again and again."""

from __future__ import annotations

import statistics
import time

from examples.artemis import Artemis, SharedStore
from tests.faults.stage import Stage
from tests.faults.terms import Figures, Terms
from tests.support.waiting import until

TITLE = "The live one of two brokers is killed"

EVENTS, KILLS = 60_000, 3

#: Fewer are sent before the broker can be killed.
LEAST = 8_000


def run(terms: Terms) -> Figures:
    """Send durable events; at random moments, kill the live broker; once its backup serves, have it take over again."""
    count, kills = terms.count(EVENTS, LEAST), terms.count(KILLS)
    store = terms.folder / "store"
    under_way: list[int] = []
    delays: list[float] = []
    with Stage(terms, store=SharedStore(folder=store)) as stage:
        live = stage.broker
        backup = Artemis(
            folder=terms.folder / "backup", store=SharedStore(folder=store, backup=True), password=live.password
        )
        stage.add(backup)
        # The workers' first place is the live one.
        places = {"failover": f'["{backup.host}:{backup.port}"]'}
        listener = stage.listen(**places)
        sender = stage.send(count, **places)

        def wait_for(confirmed: int, handled: int) -> None:
            until(
                lambda: len(stage.confirmed) >= confirmed and stage.handled_count() >= handled,
                lambda: (
                    f"{confirmed} confirmed, {handled} handled; {len(stage.confirmed)} and {stage.handled_count()} are;"
                    f" the logs:\n{sender.log}\n{listener.log}"
                ),
                120,
            )

        for moment in terms.moments(kills, count):
            wait_for(moment, 0)
            live.kill()
            killed = time.monotonic()
            under_way.append(len(stage.submitted) - len(stage.confirmed) - len(stage.failed))
            assert under_way[-1] > 0, "the broker was killed while nothing was being sent"
            wait_for(len(stage.confirmed) + 1, stage.handled_count() + 1)
            delays.append(time.monotonic() - killed)
            # It asks for its store, and the backup hands it over: another change under load.
            live.start()
        sender.expect("sent", 300)
        sender.end()
        held = stage.drain()
        assert listener.runs
        figures = stage.account()
        changes = listener.log.count("in place of")
        listener.stop()
    assert figures["sends that failed"] == 0
    assert figures["events confirmed"] == count
    assert changes >= kills, figures
    return {
        "kills of the live broker": kills,
        "sends under way at each": under_way,
        "from the kill until events flow at the backup, in s: median": round(statistics.median(delays), 2),
        "from the kill until events flow at the backup, in s: longest": round(max(delays), 2),
        "changes of the listener's broker": changes,
        **figures,
        **({"held back by the broker until its restart": held} if terms.over == "stomp" else {}),
    }
