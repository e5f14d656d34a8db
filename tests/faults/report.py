"""Writes what the suite found into the documentation."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from examples._artemis_home import VERSION
from tests.faults.parts import PARTS
from tests.faults.terms import Figures
from tests.support.commands import ROOT

PATH = ROOT / "docs" / "explanation" / "reliability.md"

_HEAD = Path(__file__).with_name("reliability.md")


def load(path: Path) -> dict[tuple[str, str], Figures]:
    """The figures of earlier runs; none where there is no such file."""
    if not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {(name, over): figures for name, over, figures in rows}


def save(path: Path, results: Mapping[tuple[str, str], Figures]) -> None:
    """Keep figures for a later run."""
    rows = [(*key, figures) for key, figures in results.items()]
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def text(results: Mapping[tuple[str, str], Figures], seed: int, scale: float) -> str:
    """The page."""
    parts = [_HEAD.read_text(encoding="utf-8").rstrip(), "", "## Figures", "", *_conditions(seed, scale)]
    for name, part in PARTS.items():
        columns = {over: results[name, over] for over in part.over if (name, over) in results}
        if columns:
            parts += ["", f"### {part.title}", "", *_table(columns)]
    return "\n".join(parts) + "\n"


def _conditions(seed: int, scale: float) -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(
        f"{name} {version(name)}"
        for name in ("eventing-core", "eventing-amqp", "eventing-stomp", "python-qpid-proton", "stomp.py", "pydantic")
    )
    share = "in full" if scale == 1 else f"with {scale:g} of the full counts"
    return [
        f"Run on {datetime.now(UTC):%Y-%m-%d}, {share}, with seed {seed}: {os.cpu_count()} processors of",
        f"{platform.machine()}, {memory:.0f} GiB of memory, {platform.system()}; the broker on the same machine.",
        f"Python {platform.python_version()}, Artemis {VERSION}, {versions}.",
    ]


def _table(columns: Mapping[str, Figures]) -> list[str]:
    rows = list(dict.fromkeys(what for figures in columns.values() for what in figures))
    names = [over.upper() if over != "both" else over for over in columns]
    return [
        f"| | {' | '.join(names)} |",
        "|---|" + "---|" * len(names),
        *(f"| {what} | {' | '.join(_cell(figures.get(what, '')) for figures in columns.values())} |" for what in rows),
    ]


def _cell(figure: object) -> str:
    if isinstance(figure, list):
        return ", ".join(map(_cell, figure))
    return f"{figure:,}" if isinstance(figure, int) else str(figure)
