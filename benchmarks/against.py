"""Compares this checkout with another commit: processor time per event of the client, sending and receiving.

``python -m benchmarks.against COMMIT`` runs both by turns on one broker of its own, each measurement in a process of
its own, and prints the medians of both and of the rounds' ratios, with the lowest and the highest ratio. It ends with 1
when a median ratio is above ``--at-most``.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.__main__ import address_of, make_queues, place, run
from benchmarks.cases import Case, Line, Provider, pair
from benchmarks.report import ROOT
from benchmarks.work import PROCESSOR

#: As the runs are called.
THIS, OTHER = "this checkout", "the other commit"

#: Rounds that don't count: the broker's Java gets fast.
_WARM_UP = 3


def main() -> int:
    """Compare, as asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("commit", help="of this repository")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=40_000, help="events of a round, each way")
    parser.add_argument("--over", choices=("amqp", "stomp"), action="append", help="amqp, unless said otherwise")
    parser.add_argument("--shape", choices=("flat", "headers", "unicode", "nested"), default="flat")
    parser.add_argument("--at-most", type=float, default=1.05, help="of a median ratio")
    asked = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory(prefix="against-") as folder:
        unpack(asked.commit, Path(folder))
        print(f"| processor time per event | {THIS}, µs | {asked.commit[:12]}, µs | ratio (lowest-highest) |")
        print("|---|---|---|---|")
        over: list[Provider] = asked.over or ["amqp"]
        for provider in over:
            steps = pair("eventing", asked.count, "--shape", asked.shape)
            lines = (Line("send"), Line("receive", 1))
            case = Case(f"against {asked.shape}", provider, {THIS: steps, OTHER: steps}, lines)
            for what, ours, theirs in compare(case, asked.rounds, Path(folder)):
                ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
                middle = statistics.median(ratios)
                missed = missed or middle > asked.at_most
                print(
                    f"| {provider}, {what} | {statistics.median(ours):.2f} | {statistics.median(theirs):.2f} "
                    f"| {middle:.3f} ({min(ratios):.2f}-{max(ratios):.2f}) |",
                    flush=True,
                )
    return int(missed)


def unpack(commit: str, folder: Path) -> None:
    """The packages as they were at a commit."""
    git = shutil.which("git") or "git"
    done = subprocess.run([git, "archive", commit, "packages"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def compare(case: Case, rounds: int, folder: Path) -> list[tuple[str, list[float], list[float]]]:
    """Of each of the case's lines the figures of both, round by round."""
    figures: dict[str, list[list[float]]] = {name: [[] for _ in case.lines] for name in case.runs}
    paths = {THIS: sources(ROOT), OTHER: sources(folder)}
    for root, path in ((ROOT, paths[THIS]), (folder, paths[OTHER])):
        check_import(root, path)
    with ExitStack() as stack:
        os.environ.update(place(case, stack))
        for name, steps in case.runs.items():
            make_queues(steps, address_of(case, name))
        for at in range(-_WARM_UP, rounds):
            # Who is first in a round finds another broker than who is second.
            for name in [*case.runs] if at % 2 else reversed([*case.runs]):
                os.environ["PYTHONPATH"] = os.pathsep.join(paths[name])
                results = [run(step, address_of(case, name)) for step in case.runs[name]]
                if at >= 0:
                    for found, result in zip(figures[name], results, strict=True):
                        found.append(result[PROCESSOR])
    return [(line.name, figures[THIS][line.step], figures[OTHER][line.step]) for line in case.lines]


def sources(root: Path) -> Sequence[str]:
    """Where the packages of a checkout are imported from."""
    return [str(path) for path in sorted(root.glob("packages/*/src"))]


def check_import(root: Path, path: Sequence[str]) -> None:
    """Make sure that it isn't one and the same code that is measured twice."""
    show = "import eventing_core; print(eventing_core.__file__)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run([sys.executable, "-c", show], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    if not Path(done.stdout.strip()).is_relative_to(root):
        msg = f"eventing_core is imported from {done.stdout.strip()}, and not from {root}"
        raise RuntimeError(msg)


if __name__ == "__main__":
    sys.exit(main())
