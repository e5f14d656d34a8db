"""Holds the shape: how Eventing compares with a handler on raw Proton, or on raw stomp.py, on an Artemis of its own.

Runs both by turns, several times, prints the medians, of the ratios as well, and ends with 1 when a line is missed.
Other work on the machine takes part in the result: where the broker is what waits for a processor, both sides are
as fast as the broker.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks.work import rounds_in
from examples.artemis import Artemis

ROOT = Path(__file__).parents[1]

#: Rounds that aren't counted: the broker's Java gets faster for a while.
WARM_UP = 2


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        name: what is measured.
        what: ``send`` or ``receive``, and options.
        count: events per measurement, of ours and of the baseline.
        at_least: wanted, as multiple of the baseline; None: see ``rate``.
        rate: wanted, in events per second.
    """

    name: str
    what: tuple[str, ...]
    count: tuple[int, int]
    at_least: float | None = None
    rate: float | None = None


#: What each provider is compared with.
BASELINES = {"amqp": "raw_proton", "stomp": "raw_stomp"}


def lines(provider: str, rounds: int) -> list[Line]:
    """The table, in the order of measuring: what is sent is received in the same round, and the queues stay short."""
    if provider == "stomp":
        return [
            Line("STOMP: send_events", ("send",), (20_000, 10_000), at_least=1.0),
            Line("STOMP: typed listener", ("receive",), (19_000, 9_500), at_least=1.0),
        ]
    return [
        Line("send_events", ("send",), (40_000, 40_000), at_least=2.0),
        # The baseline crawls there: it is shown, and nothing is asked of it.
        Line("send_events beside a thread that computes", ("send", "--beside"), (20_000, 60), rate=5_000),
        Line("listener that computes 1 ms", ("receive", "--rounds", str(rounds)), (3_000, 3_000), at_least=0.9),
        # Not quite all: a receiver that stops may have handled some more than it counts.
        Line("typed listener", ("receive",), (56_000, 36_500), at_least=2.0),
    ]


def measure(module: str, count: int, what: tuple[str, ...]) -> float:
    """One measurement, in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{module}", what[0], str(count), *what[1:]]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    return float(done.stdout)


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shape", description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="measurements of each")
    parser.add_argument("--prefetch", type=int, default=10, help="of the raw receiver; 10 is Proton's default")
    parser.add_argument("--over", choices=BASELINES, help="one protocol alone")
    options = parser.parse_args()
    return max(compare(provider, options) for provider in BASELINES if options.over in {None, provider})


def compare(provider: str, options: argparse.Namespace) -> int:
    """Measure over one protocol, and print its table; 1 when a line is missed."""
    table = lines(provider, rounds_in(0.001))
    ours: dict[str, list[float]] = defaultdict(list)
    raw: dict[str, list[float]] = defaultdict(list)
    with Artemis(java_memory="1G") as broker:
        place = {"host": broker.host, "port": str(broker.port), "user": broker.user, "password": broker.password}
        variables = {f"EVENTING_{provider.upper()}__{key.upper()}": value for key, value in place.items()}
        os.environ |= {"EVENTING_PROVIDER": provider, **variables}
        command = [sys.executable, "-c", "from benchmarks import eventing; eventing.make_queues()"]
        subprocess.run(command, cwd=ROOT, check=True)
        for time in range(1 - WARM_UP, options.times + 1):
            for line in table:
                rate = measure("eventing", line.count[0], line.what)
                base = measure(BASELINES[provider], line.count[1], (*line.what, "--prefetch", str(options.prefetch)))
                print(f"{time if time > 0 else 'warm-up'}: {line.name}: {rate:,.0f}/s, raw {base:,.0f}/s", flush=True)
                if time > 0:
                    ours[line.name].append(rate)
                    raw[line.name].append(base)
    return report(table, ours, raw)


def report(table: list[Line], ours: dict[str, list[float]], raw: dict[str, list[float]]) -> int:
    """Print the medians; 1 when a line is missed."""
    missed = False
    print(f"\n{'events/s, medians':<44}{'Eventing':>10}{'raw client':>12}{'ratio':>8}  wanted")
    for line in table:
        rate, base = statistics.median(ours[line.name]), statistics.median(raw[line.name])
        # Of each round's own: what else the machine does then slows both.
        ratio = statistics.median(a / b for a, b in zip(ours[line.name], raw[line.name], strict=True))
        held = ratio >= line.at_least if line.at_least else rate >= (line.rate or 0.0)
        wanted = f"{line.at_least:g} times" if line.at_least else f"{line.rate:,.0f}/s"
        verdict = "" if held else "  MISSED"
        print(f"{line.name:<44}{rate:>10,.0f}{base:>12,.0f}{ratio:>8.2f}  {wanted}{verdict}")
        missed = missed or not held
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
