"""Programs that serve, from the side of the test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.waiting import until

_UVICORN = re.compile(r"Uvicorn running on (http://\S+)")


class Service:
    """A program in a process group of its own; killed at the end of the block. Not thread-safe."""

    def __init__(self, *command: str | Path, cwd: Path, env: Mapping[str, str]) -> None:
        """Start it; both its streams go into one file, which `output` reads."""
        self._log = cwd / f"{'-'.join(Path(word).name for word in map(str, command[1:4]))}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it has printed and logged so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def url(self) -> str:
        """Where uvicorn serves it; waits for that."""
        self.wait_for(_UVICORN)
        found = _UVICORN.search(self.output)
        assert found is not None
        return found[1]

    def wait_for(self, pattern: str | re.Pattern[str], count: int = 1) -> None:
        """Wait until its output has matches of the pattern.

        Raises:
            AssertionError: it ended before, or took too long.
        """

        def is_there() -> bool:
            ended = self._process.poll() is not None
            there = len(re.findall(pattern, self.output)) >= count
            assert there or not ended, f"it ended with {self._process.returncode}:\n{self.output}"
            return there

        until(is_there, lambda: f"{pattern!r} in its output:\n{self.output}")

    def stop(self) -> None:
        """SIGTERM to the program alone, and wait for it to end in order."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        assert code in {0, -signal.SIGTERM}, f"it ended with {code}:\n{self.output}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
