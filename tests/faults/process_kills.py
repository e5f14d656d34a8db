"""Processes that listen are killed in the middle of their work."""

from __future__ import annotations

import itertools

from tests.faults.stage import Stage
from tests.faults.terms import Figures, Terms
from tests.support.processes import Worker
from tests.support.waiting import until

TITLE = "Listening processes are killed"

EVENTS, KILLS = 40_000, 20

#: Fewer are handled before processes can be killed, and started again: while one starts, which takes a second or two,
#: the other one handles a thousand.
LEAST, LEAST_OF_MANY = 10_000, 1_500

#: Of computing per event, at least: some 1.5 ms, so that most of a process's time is in `on`.
ROUNDS = 20_000

#: Up to so many listeners compute that much each; more of them share what these would.
FULLY = 20

#: Seconds between two sends: that the events of many listeners aren't all done with while a process starts.
PACE_OF_MANY = 0.04

#: Two share the work, so that what one leaves is the other's as well.
NAMES = ("first", "second")


def run(terms: Terms) -> Figures:
    """Send events; at random moments, kill one of two listening processes, and start another one.

    Only a kill that cuts a run of ``on`` short counts.
    """
    terms = terms.but(rounds=max(terms.rounds, ROUNDS * FULLY // max(terms.listeners, FULLY)))
    least = max(LEAST // terms.listeners, LEAST_OF_MANY)
    count, kills = terms.count(EVENTS // terms.listeners, least), terms.count(KILLS, 3)

    lives = itertools.count(1)

    def start(name: str) -> tuple[Worker, str]:
        life = f"{name}-{next(lives)}"
        return stage.listen(name, "--life", life), life

    with Stage(terms) as stage:
        workers = {name: start(name) for name in NAMES}
        sender = stage.send(count, pace=0.0 if terms.listeners == 1 else PACE_OF_MANY)
        tries = counted = cut_short = 0
        while counted < kills:
            # A new process takes a while to start: the other one goes on meanwhile.
            done = stage.handled_count()
            moment = done + round(terms.random.random() * (count * 0.9 - done) / (kills - counted))
            until(
                lambda moment=moment: stage.handled_count() >= moment,  # type: ignore[misc]
                lambda: f"{stage.handled_count()} handled",
                120,
            )
            name = terms.random.choice(NAMES)
            worker, life = workers[name]
            worker.kill()
            tries += 1
            assert stage.handled_count() < count, "a process was killed when all was done"
            cut = len(stage.numbers(f"begun-{life}")) - len(stage.numbers(f"ended-{life}"))
            cut_short += cut
            counted += cut > 0
            assert tries <= 10 * kills, "no kill falls into a run of `on`"
            workers[name] = start(name)
        sender.expect("sent", 120)
        sender.end()
        stage.drain()
        figures = stage.account()
        for worker, _ in workers.values():
            worker.stop()
    assert figures["sends that failed"] == 0
    assert figures["events confirmed"] == count
    return {
        "kills of a listening process": tries,
        "kills in the middle of a run of `on`": counted,
        "runs of `on` that they cut short": cut_short,
        **figures,
    }
