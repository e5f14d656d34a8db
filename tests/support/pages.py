"""Files that a page of the documentation shows."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.commands import ROOT

#: A Python block whose first line says which file it is.
_FILE = re.compile(r"^```python\n# ([\w/.]+\.py)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page below ``docs``, in that language."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def write_files(page: str, folder: Path) -> list[str]:
    """Write the files that a page shows into the folder; their names."""
    found = _FILE.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    for name, text in found:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [name for name, _ in found]
