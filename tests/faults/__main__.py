"""Runs the fault suite, each part over AMQP and STOMP, and prints its figures.

``python -m tests.faults`` takes an hour or two, and writes ``docs/explanation/reliability.md`` when all has passed.
Parts may run apart: each run with ``--figures`` adds to that file, and the last one writes the report, with all.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from examples.artemis import Artemis
from tests.faults import report
from tests.faults.parts import PARTS
from tests.faults.terms import Figures, Terms


def main() -> int:
    """Run what was asked for; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="one alone; may be repeated")
    parser.add_argument("--over", choices=("amqp", "stomp"), help="one protocol alone")
    parser.add_argument("--scale", type=float, default=1.0, help="of all counts")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of everything random")
    parser.add_argument("--report", type=Path, help=f"where to write the report; {report.PATH} after all parts")
    parser.add_argument(
        *("--figures", "--more-figures"),
        type=Path,
        action="append",
        help="of runs under the same conditions; those of this one are added to the first",
    )
    options = parser.parse_args()
    reason = Artemis.unavailable()
    if reason:
        print(reason, file=sys.stderr)
        return 1
    print(f"seed {options.seed}, scale {options.scale:g}", flush=True)
    conditions = report.conditions_of(options.seed, options.scale)
    results: dict[tuple[str, str], Figures] = {}
    for path in options.figures or ():
        results |= report.load(path, conditions)
    broken = 0
    for name in options.part or PARTS:
        for over in PARTS[name].over:
            if options.over not in {None, over} and over != "both":
                continue
            try:
                results[name, over] = run(name, over, options.scale, options.seed)
                if options.figures:
                    report.save(options.figures[0], conditions, results)
            except Exception:  # noqa: BLE001 (the other parts run all the same)
                traceback.print_exc()
                print(f"{name} over {over}: BROKEN", flush=True)
                broken += 1
    whole = all((name, over) in results for name, part in PARTS.items() for over in part.over)
    path = options.report or (report.PATH if whole else None)
    if path and not broken:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.text(conditions, results), encoding="utf-8")
    return 1 if broken else 0


def run(name: str, over: str, scale: float, seed: int) -> Figures:
    """Run a part, and print its figures. Its files stay when it fails."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    print(f"\n{PARTS[name].title}, over {over}; files in {folder}", flush=True)
    began = time.monotonic()
    figures = PARTS[name].run(Terms(over=over, folder=folder, seed=seed, scale=scale))
    figures["seconds"] = round(time.monotonic() - began)
    for what, figure in figures.items():
        print(f"  {what}: {figure}")
    sys.stdout.flush()
    shutil.rmtree(folder, ignore_errors=True)
    return figures


if __name__ == "__main__":
    sys.exit(main())
