"""Runs tests of `mutated` in forks of a process that has imported everything: started anew, each would take longer.

Reads lines of JSON, ``{"mutant": name, "nodes": [...], "folder": path}``, and answers each with the exit status when
the run, whose output is in ``folder/log``, has ended.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest


def run(task: dict[str, Any]) -> int:
    """Run tests, in a fork."""
    folder = Path(task["folder"])
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with (folder / "log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ["MUTANT"] = task["mutant"]
    status = pytest.main(["-o", f"cache_dir={folder}", f"--basetemp={folder / 'run'}", *task["nodes"]])
    sys.stdout.flush()
    os._exit(int(status))


if __name__ == "__main__":
    for module in ("eventing_core.testing._conformance", "tests.kit.mutants", "tests.conformance.test_memory"):
        importlib.import_module(module)
    for line in sys.stdin:
        sys.stdout.write(f"{run(json.loads(line))}\n")
        sys.stdout.flush()
