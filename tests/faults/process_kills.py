"""Processes that listen are killed in the middle of their work."""

from __future__ import annotations

from tests.faults.stage import Stage
from tests.faults.terms import Figures, Terms
from tests.support.processes import Worker
from tests.support.waiting import until

TITLE = "Listening processes are killed"

EVENTS, KILLS = 40_000, 20

#: Fewer are handled before processes can be killed.
LEAST = 4_000

#: Of computing per event, at least: some 1.5 ms, so that most of a process's time is in `on`.
ROUNDS = 20_000

#: Two share the work, so that what one leaves is the other's as well.
NAMES = ("first", "second")


def run(terms: Terms) -> Figures:
    """Send events; at random moments, kill one of two listening processes, and start another one."""
    terms = terms.but(rounds=max(terms.rounds, ROUNDS // min(terms.listeners, 5)))
    count, kills = terms.count(EVENTS // terms.listeners, max(LEAST // terms.listeners, 500)), terms.count(KILLS, 3)

    def start(name: str) -> Worker:
        return stage.listen(name, "--begun")

    with Stage(terms) as stage:
        workers = {name: start(name) for name in NAMES}
        sender = stage.send(count)
        for left in range(kills, 0, -1):
            # A new process takes a while to start: the other one goes on meanwhile.
            done = stage.handled_count()
            moment = done + round(terms.random.random() * (count * 0.9 - done) / left)
            until(
                lambda moment=moment: stage.handled_count() >= moment,  # type: ignore[misc]
                lambda: f"{stage.handled_count()} handled",
                120,
            )
            name = terms.random.choice(NAMES)
            workers[name].kill()
            assert stage.handled_count() < count, "a process was killed when all was done"
            workers[name] = start(name)
        sender.expect("sent", 120)
        sender.end()
        stage.drain()
        figures = stage.account()
        begun, ended = len(stage.begun), sum(len(each) for each in stage.handled)
        for worker in workers.values():
            worker.stop()
    assert figures["sends that failed"] == 0
    assert figures["events confirmed"] == count
    assert begun > ended, "no kill fell into a run of `on`"
    return {
        "kills of a listening process": kills,
        "runs of `on` that a kill cut short": begun - ended,
        **figures,
    }
