"""Writes what the suite found into the documentation."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from examples._artemis_home import VERSION
from tests.faults.parts import PARTS
from tests.faults.terms import Figures
from tests.support.commands import ROOT

PATH = ROOT / "docs" / "explanation" / "reliability.md"

_HEAD = Path(__file__).with_name("reliability.md")


def load(path: Path, conditions: Sequence[str]) -> dict[tuple[str, str], Figures]:
    """The figures of earlier runs under the same conditions; none where there is no such file.

    Raises:
        ValueError: they are of other conditions, and can't be in one report.
    """
    if not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    if kept["conditions"] != [*conditions]:
        msg = (
            f"{path} holds figures of other conditions: {kept['conditions']} and not {[*conditions]}; take another file"
        )
        raise ValueError(msg)
    return {(name, over): figures for name, over, figures in kept["figures"]}


def save(path: Path, conditions: Sequence[str], results: Mapping[tuple[str, str], Figures]) -> None:
    """Keep figures for a later run."""
    rows = [(*key, figures) for key, figures in results.items()]
    path.write_text(json.dumps({"conditions": [*conditions], "figures": rows}, indent=1), encoding="utf-8")


def text(conditions: Sequence[str], results: Mapping[tuple[str, str], Figures]) -> str:
    """The page."""
    parts = [
        _HEAD.read_text(encoding="utf-8").rstrip(),
        "",
        "## Figures",
        "",
        f"Of {datetime.now(UTC):%Y-%m-%d}.",
        *conditions,
    ]
    for name, part in PARTS.items():
        columns = {over: results[name, over] for over in part.over if (name, over) in results}
        if columns:
            parts += ["", f"### {part.title}", "", *_table(columns)]
    return "\n".join(parts) + "\n"


def conditions_of(seed: int, scale: float) -> list[str]:
    """What the figures of one report have in common, in lines."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(
        f"{name} {version(name)}"
        for name in ("eventing-core", "eventing-amqp", "eventing-stomp", "python-qpid-proton", "stomp.py", "pydantic")
    )
    share = "in full" if scale == 1 else f"with {scale:g} of the full counts"
    return [
        f"Run {share}, with seed {seed}: {os.cpu_count()} processors of",
        f"{platform.machine()}, {memory:.0f} GiB of memory, {platform.system()}; the broker on the same machine.",
        f"Python {platform.python_version()}, Artemis {VERSION}, {versions}; code {_code()}.",
    ]


def _code() -> str:
    """A digest of all code that is under test: uncommitted changes count as well."""
    files = sorted((ROOT / "packages").rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


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
