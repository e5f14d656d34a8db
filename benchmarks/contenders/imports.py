"""What an import costs, in a fresh interpreter: the best of several."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.work import options, tell

STATEMENTS = {"eventing": "import eventing_core", "pydantic": "from pydantic import BaseModel, TypeAdapter"}

_PROGRAM = "import time; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"


def main() -> None:
    """Do one measurement; the count is of interpreters."""
    asked = options(__doc__, *STATEMENTS)
    program = _PROGRAM.format(STATEMENTS[asked.what])
    runs = [
        subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
        for _ in range(asked.count)
    ]
    tell({"ms": min(float(run.stdout) for run in runs) * 1000})


if __name__ == "__main__":
    main()
