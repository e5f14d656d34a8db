"""Measures everything by turns, several times, and prints each figure as a ratio to its baseline in the same run.

``python -m benchmarks`` takes half an hour or so on an idle machine, and writes ``docs/explanation/performance.md``,
with a plot and all figures as JSON. It ends with 1 when a goal is missed, or an event of ours is lost. The quick form
takes two minutes, and ends with 1 when a ratio has fallen by a third since the full one, or an event of ours is lost.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from benchmarks import report
from benchmarks.cases import Case, Step, cases
from benchmarks.report import ROOT, Figures, Results
from benchmarks.work import rounds_in
from examples.artemis import Artemis

#: Of a step in the quick form, the share of its events.
QUICK = 0.25


@dataclass(frozen=True)
class Pace:
    """How often all is done.

    Attributes:
        times: rounds of each case that count.
        warm_up: rounds of each case that don't, before those.
        first: rounds of the first case on a broker, before that, whose Java gets faster for minutes.
    """

    times: int
    warm_up: int
    first: int


FULL, SHORT = Pace(5, 1, 20), Pace(3, 0, 2)


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--times", type=int, default=0, help=f"rounds of each case; {FULL.times}, or {SHORT.times} in short"
    )
    parser.add_argument("--over", choices=("amqp", "stomp", "memory"), help="one provider alone")
    parser.add_argument("--case", action="append", help="a part of the name of one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a few cases, with fewer events")
    options = parser.parse_args()
    chosen = [
        case
        for case in cases(rounds_in(0.001))
        if options.over in {None, case.provider}
        and (not options.case or any(part in case.name for part in options.case))
    ]
    short = [shortened(case) for case in chosen if case.quick]
    pace = SHORT if options.quick else FULL
    pace = replace(pace, times=options.times or pace.times)
    wanted = short if options.quick else chosen
    results = measure_all(wanted, pace)
    failed = missing(wanted, results)
    if options.quick:
        wrong = report.fallen(results)
    else:
        wrong = [f"{report.name_of(row)}: missed" for row in report.rows_of_all(results) if row.holds is False]
        wrong += report.flaws(results)
        if not (options.case or options.over):
            shorter = measure_all(short, SHORT)
            report.write(results, shorter, failed)
            failed += missing(short, shorter)
    print("\n".join([*wrong, *(f"{report.case_of(case)}: failed" for case in failed)]))
    return int(bool(wrong or failed))


def measure_all(chosen: Sequence[Case], pace: Pace) -> list[Results]:
    """Case by case, on one broker for each provider. One that fails is told, and missing in the results."""
    results: list[Results] = []
    provider = ""
    with ExitStack() as stack:
        for case in chosen:
            begins = case.provider != provider
            if begins:
                stack.close()  # the broker before has work left, long after its last event
                provider = case.provider
                os.environ.update(place(case, stack))
            try:
                if begins and provider != "memory":
                    print("the broker gets warm", flush=True)
                    measure(case, Pace(pace.first, 0, 0))
                results.append(measure(case, replace(pace, times=min(pace.times, case.rounds))))
            except subprocess.SubprocessError as error:
                print(f"{report.case_of(case)}: failed: {error}", flush=True)
            else:
                print("\n".join(report.table(report.rows_of(results[-1]))), flush=True)
    print("\n".join(["", *report.table(report.rows_of_all(results))]), flush=True)
    return results


def missing(wanted: Sequence[Case], results: Sequence[Results]) -> list[Case]:
    """Those that failed."""
    measured = [each.case for each in results]
    return [case for case in wanted if case not in measured]


def shortened(case: Case) -> Case:
    """With fewer events, and only what a goal is of."""
    lines = tuple(line for line in case.lines if line.goal is not None and not line.against)
    runs = {
        name: tuple(replace(step, count=max(60, round(step.count * QUICK))) for step in steps)
        for name, steps in [*case.runs.items()][:2]
    }
    return replace(case, runs=runs, lines=lines)


def place(case: Case, stack: ExitStack) -> dict[str, str]:
    """Where contenders find the broker of a provider; one of its own."""
    settings: dict[str, str] = {"EVENTING_PROVIDER": case.provider}
    if case.provider == "memory":
        return settings
    # All at once, and most of it for what lives short: else Java's garbage collector is at work in some of the rounds.
    broker = stack.enter_context(Artemis(java_memory="4G", java_options="-Xms4G -Xmn2500M"))
    values = {"host": broker.host, "port": str(broker.port), "user": broker.user, "password": broker.password}
    return settings | {f"EVENTING_{case.provider.upper()}__{key.upper()}": value for key, value in values.items()}


def measure(case: Case, pace: Pace) -> Results:
    """All runs, by turns."""
    results = Results(case, {name: [] for name in case.runs})
    addresses = {name: address_of(case, name) for name in case.runs}
    if case.provider != "memory":
        for name, steps in case.runs.items():
            make_queues(steps, addresses[name])
    for time in range(1 - (pace.warm_up if pace.times > 1 else 0), pace.times + 1):
        for name, steps in case.runs.items():
            figures = [run(step, addresses[name]) for step in steps]
            told = "; ".join(f"{step.what} {shown(each)}" for step, each in zip(steps, figures, strict=True))
            print(f"{time if time > 0 else 'warm-up'}: {case.provider}, {case.name}: {name}: {told}", flush=True)
            if time > 0:
                results.rounds[name].append(figures)
    return results


def address_of(case: Case, run: str) -> str:
    """Each run of each case has its own."""
    return re.sub(r"\W+", "-", f"{case.provider} {case.name} {run}")


def make_queues(steps: Sequence[Step], address: str) -> None:
    """Before anything is sent. Those who don't make queues find them."""
    words = list(steps[-1].words)
    kept = [word for word in words if word == "--loose"]
    if "--listeners" in words:
        at = words.index("--listeners")
        kept += words[at : at + 2]
    run(Step("eventing", "make", 1, tuple(kept)), address)


def run(step: Step, address: str) -> Figures:
    """One measurement, in a process of its own."""
    command = [
        *(sys.executable, "-m", f"benchmarks.contenders.{step.contender}", step.what, address, str(step.count)),
        *step.words,
    ]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def shown(figures: Figures) -> str:
    """In one line."""
    return ", ".join(f"{name} {value:,.4g}" if name != "rate" else f"{value:,.0f}/s" for name, value in figures.items())


if __name__ == "__main__":
    sys.exit(main())
