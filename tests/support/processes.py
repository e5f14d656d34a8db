"""Worker processes, from the side of the test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from tests.support.bench import Broker
from tests.support.commands import ROOT, module


class Worker:
    """One process of `tests.support.workers`; killed at the end of the block. Not thread-safe."""

    def __init__(
        self,
        broker: Broker,
        server_name: str,
        log: Path,
        /,
        *arguments: str | Path,
        provider: str = "amqp",
        program: str = "tests.support.workers",
        retry: Mapping[str, object] | None = None,
        **table: object,
    ) -> None:
        """Start it, with these settings in the provider's table, and in that of retries."""
        self.name = server_name
        self._log = log
        place = {"host": broker.host, "port": broker.port, "user": broker.user, "password": broker.password}
        # A broker that a test starts again is there within seconds.
        tables = {provider: {**place, "backoff_max": 1, **table}, "retry": retry or {}}
        settings = {"EVENTING_PROVIDER": provider, "EVENTING_SERVER_NAME": server_name}
        for name, values in tables.items():
            settings |= {f"EVENTING_{name}__{key}".upper(): str(value) for key, value in values.items()}
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                [*module(program), *map(str, arguments)],
                cwd=ROOT,
                env={**os.environ, **settings},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._words: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """What it logged, or died of."""
        return self._log.read_text(errors="replace")

    def expect(self, word: str, timeout: float = 60.0) -> None:
        """Wait for the next word that it says.

        Raises:
            AssertionError: it is another one, it ended, or nothing came in ``timeout`` seconds.
        """
        try:
            said = self._words.get(timeout=timeout)
        except Empty:
            said = f"nothing in {timeout:g} s"
        assert said == word, f"{self.name} said {said!r} and not {word!r}; its log:\n{self.log}"

    def tell(self, word: str) -> None:
        """Give it a line of input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def end(self, timeout: float = 60.0) -> None:
        """End its input, and wait for it to end in order: a sender does so when all is confirmed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self.wait(timeout)

    def stop(self, timeout: float = 60.0) -> None:
        """SIGTERM, and wait for it to end in order."""
        self._process.send_signal(signal.SIGTERM)
        self.wait(timeout)

    def wait(self, timeout: float = 60.0) -> None:
        """Wait for it to end in order, by itself."""
        code = self._process.wait(timeout)
        assert code == 0, f"{self.name} ended with {code}; its log:\n{self.log}"

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._words.put(line.strip())
        self._words.put("nothing more: it ended")


class Numbers:
    """A file of numbers that workers append to, read as it grows."""

    def __init__(self, path: Path) -> None:
        """The file may not be there yet."""
        self.path = path
        self._size = self._lines = self._seen = 0

    def __len__(self) -> int:
        """How many there are; only what is new since the last time is read."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self._size)
            new = file.read()
            self._size += len(new)
            self._lines += new.count(b"\n")
        return self._lines

    def more(self) -> list[int]:
        """Those that are new since the last time."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self._seen)
            new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._seen += len(whole)
            return [int(line) for line in whole.splitlines()]
        return []

    def read(self) -> list[int]:
        """All numbers so far, in their order, duplicates and all."""
        return [int(line) for line in self._bytes().splitlines(keepends=True) if line.endswith(b"\n")]

    def _bytes(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""


#: ``start(server_name, *arguments)``
StartWorker = Callable[..., Worker]
