"""Many events, and memory, threads and descriptors that stay as they are."""

from __future__ import annotations

from tests.faults.stage import Stage, resources
from tests.faults.terms import Figures, Terms
from tests.support.processes import Worker
from tests.support.waiting import until

TITLE = "Soak"

EVENTS = 1_000_000

#: Fewer tell nothing of memory: it is looked at when all windows have grown. Of many listeners each handles all events.
LEAST, LEAST_OF_MANY = 50_000, 3_000

#: The share of the events after which memory is looked at, and so many at the least; of many listeners' windows some
#: take longer to grow.
FIRST, FIRST_EVENTS, FIRST_OF_MANY = 0.1, 20_000, 0.4

#: Resident memory may grow by that share after that; what a few thousand events show of it is less sure.
GROWTH, GROWTH_OF_MANY = 0.05, 0.2

#: Seconds between two sends, for each of many listeners: each send is a delivery to all.
PACE_OF_EACH = 0.00012

#: Looks at the processes, after the first.
_LOOKS = 18


def run(terms: Terms) -> Figures:
    """Send and handle, and look at both processes from time to time."""
    count = terms.count(EVENTS // min(terms.listeners, 20), LEAST if terms.listeners == 1 else LEAST_OF_MANY)
    first = max(FIRST, FIRST_EVENTS / count) if terms.listeners == 1 else FIRST_OF_MANY
    with Stage(terms) as stage:
        # Of many listeners the windows are to grow, and not to fill by and by with a backlog.
        pace = 0.0 if terms.listeners == 1 else PACE_OF_EACH * terms.listeners
        workers = {"listening": stage.listen(), "sending": stage.send(count, pace=pace)}
        seen: dict[str, list[tuple[int, int, int]]] = {name: [] for name in workers}

        def look_at_both() -> None:
            for name, worker in workers.items():
                seen[name].append(resources(worker))

        for look in range(_LOOKS + 1):
            share = first + (1 - first) * look / _LOOKS
            _wait_for(stage, workers, round(count * share))
            look_at_both()
        workers["sending"].expect("sent", 600)
        stage.drain()
        look_at_both()
        figures = stage.account()
        workers["sending"].end()
        workers["listening"].stop()
    for name, looks in seen.items():
        threads, descriptors, memory = zip(*looks, strict=True)
        growth = max(memory) / memory[0] - 1
        figures |= {
            f"{name} process: memory after {first:.0%} of the events, in MiB": round(memory[0] / 1024, 1),
            f"{name} process: growth since then, in %": round(100 * growth, 1),
            f"{name} process: threads": sorted(set(threads)),
            f"{name} process: descriptors": sorted(set(descriptors)),
        }
        assert growth < (GROWTH if terms.listeners == 1 else GROWTH_OF_MANY), figures
        assert len(set(threads)) == len(set(descriptors)) == 1, figures
    assert figures["events confirmed"] == count, figures
    return figures


def _wait_for(stage: Stage, workers: dict[str, Worker], number: int) -> None:
    until(
        lambda: stage.handled_count() >= number and len(stage.confirmed) >= number,
        lambda: f"{number} handled; {stage.handled_count()} are; {[worker.log[-2000:] for worker in workers.values()]}",
        1800,
    )
