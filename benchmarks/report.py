"""Tells what was measured: as a table, as JSON, and as a plot."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.cases import Case, Line
from examples._artemis_home import VERSION

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "explanation"

_HEAD = Path(__file__).with_name("performance.md")

#: All figures of the last full run.
FIGURES = FOLDER / "performance.json"

#: A ratio that is less than so much of the last full run's has fallen.
_LEAST = 2 / 3

#: Below, decimals count.
_FEW = 100

#: Figures of one step, by their names.
Figures = Mapping[str, float]


@dataclass
class Results:
    """Of one case: by run, for each round the figures of its steps."""

    case: Case
    rounds: dict[str, list[list[Figures]]] = field(default_factory=dict)

    def values(self, run: str, line: Line) -> list[float]:
        """One figure, round by round."""
        return [steps[line.step][line.figure] for steps in self.rounds[run]]

    def flaw(self, run: str) -> str:
        """What a run has lost, or got twice; empty for nothing."""
        steps = [figures for steps in self.rounds[run] for figures in steps]
        found = {what: round(sum(figures.get(what, 0) for figures in steps)) for what in ("lost", "twice")}
        return ", ".join(f"{count} {what}" for what, count in found.items() if count)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        ratios: of each round.
        holds: whether the goal is reached; None without one.
    """

    case: str
    provider: str
    name: str
    ours: float
    against: str
    theirs: float
    ratios: Sequence[float]
    goal: str
    holds: bool | None
    flaw: str

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)


def rows_of(results: Results) -> list[Row]:
    """A row for each line and each run that ours is compared with; the goal is of one of them."""
    case = results.case
    ours, baseline, *others = [run for run in case.runs if run not in {line.against for line in case.lines}]
    rows: list[Row] = []
    for line in case.lines:
        against = line.against or baseline
        for run in [against, *(others if not line.against else ())]:
            mine, theirs = results.values(ours, line), results.values(run, line)
            ratios = [a / b if b else 0.0 for a, b in zip(mine, theirs, strict=True)]
            goal, holds = "", None
            if run == against and line.goal is not None:
                # A ratio as it is shown: where both wait for the broker's disk, one is a thousandth behind.
                reached = statistics.median(mine) if line.absolute else round(statistics.median(ratios), 2)
                holds = reached <= line.goal if line.at_most else reached >= line.goal
                goal = f"{'≤' if line.at_most else '≥'} {line.goal:g}{'' if line.absolute else ' times'}"
            flaw = "; ".join(f"{name}: {text}" for name in (ours, run) if (text := results.flaw(name)))
            holds = False if holds is not None and results.flaw(ours) else holds
            middle = statistics.median(mine), statistics.median(theirs)
            rows.append(Row(case.name, case.provider, line.name, middle[0], run, middle[1], ratios, goal, holds, flaw))
    return rows


def rows_of_all(results: Sequence[Results]) -> list[Row]:
    """Of all cases."""
    return [row for each in results for row in rows_of(each)]


def table(rows: Sequence[Row]) -> list[str]:
    """In Markdown."""
    lines = [
        "| over | case | | ours | against | theirs | ratio | from, to | wanted | |",
        "|---|---|---|--:|---|--:|--:|---|---|---|",
    ]
    for row in rows:
        verdict = "" if row.holds is None else "holds" if row.holds else "**missed**"
        # Who loses events isn't ranked.
        ranked = not row.flaw
        ratio = f"{row.ratio:.2f}" if ranked else ""
        spread = f"{min(row.ratios):.2f}, {max(row.ratios):.2f}" if ranked else ""
        cells = (
            *(row.provider.upper() if row.provider != "memory" else "memory", row.case, row.name, _number(row.ours)),
            *(row.against, _number(row.theirs), ratio, spread, row.goal),
            " ".join(filter(None, (verdict, row.flaw))),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _number(value: float) -> str:
    return f"{value:.3g}" if value < _FEW else f"{value:,.0f}"


def conditions() -> list[str]:
    """Where and with what it was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = (
        *("eventing-core", "eventing-amqp", "eventing-stomp", "python-qpid-proton", "stomp.py", "pydantic"),
        *("faststream-stomp", "repid", "bubus"),
    )
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} processors of {platform.machine()},",
        f"{memory:.0f} GiB of memory, {platform.system()}; the broker on the same machine.",
        f"Python {platform.python_version()}, Artemis {VERSION}, {versions}.",
    ]


def fallen(results: Sequence[Results]) -> list[str]:
    """What is wrong with a short run, beside the one of the last full run; empty for nothing.

    The best round counts: something else may have disturbed the others.
    """
    if not FIGURES.exists():
        return [f"{FIGURES.name} is missing: a full run has to come first, to compare with"]
    known = json.loads(FIGURES.read_text(encoding="utf-8"))["quick"]
    found: list[str] = []
    for row in rows_of_all(results):
        before, best = known[name_of(row)], max(row.ratios)
        if best < before * _LEAST:
            found.append(f"{name_of(row)}: {best:.2f} times {row.against} at best, and it was {before:.2f}")
    return found + flaws(results)


def flaws(results: Sequence[Results]) -> list[str]:
    """What ours has lost, or got twice."""
    found = [(each.case, each.flaw(next(iter(each.case.runs)))) for each in results]
    return [f"{case_of(case)}: {flaw}" for case, flaw in found if flaw]


def case_of(case: Case) -> str:
    """A case, for people."""
    return f"{case.provider}, {case.name}"


def name_of(row: Row) -> str:
    """A row, for people, and in the JSON."""
    return f"{row.provider}, {row.case}: {row.name}"


def write(results: Sequence[Results], short: Sequence[Results], failed: Sequence[Case]) -> None:
    """The page, the plot, and all figures."""
    rows = rows_of_all(results)
    page = [_HEAD.read_text(encoding="utf-8").rstrip(), "", "## Figures", "", *conditions(), "", *table(rows)]
    if failed:
        page += ["", f"Not measured, since they failed: {'; '.join(map(case_of, failed))}."]
    (FOLDER / "performance.md").write_text("\n".join(page) + "\n", encoding="utf-8")
    everything = {
        "quick": {name_of(row): round(row.ratio, 3) for row in rows_of_all(short)},
        "full": [{"case": each.case.name, "over": each.case.provider, "rounds": each.rounds} for each in results],
    }
    FIGURES.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    plot(rows, FOLDER / "performance.svg")


def plot(rows: Sequence[Row], path: Path) -> None:
    """The ratios that something is wanted of, beside what is wanted."""
    import matplotlib as mpl  # noqa: PLC0415 (a second, that only this needs)

    mpl.use("svg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 (see above)

    shown = [row for row in reversed(rows) if row.goal.endswith("times")]
    figure, axes = plt.subplots(figsize=(9, 0.32 * len(shown) + 1))
    wanted = [float(row.goal.split()[1]) for row in shown]
    axes.barh(range(len(shown)), [row.ratio for row in shown], color=["C0" if row.holds else "C3" for row in shown])
    axes.scatter(wanted, range(len(shown)), color="black", marker="|", s=120, label="wanted")
    axes.set_yticks(range(len(shown)), [f"{name_of(row)} {row.goal[0]}" for row in shown])
    axes.set_xlabel("ratio to the baseline in the same run")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
