"""How long a listener's shell takes to decide: without a broker, without decoding, without the listener's own work.

usage: deciding.py [COMMIT]

Batches of deliveries come, each is run by a function that does nothing, and settled. With a commit, its code is
measured in the same process, by turns, and the ratio is printed: above 1, the present code is slower.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORE = "packages/eventing-core/src"
ROUNDS, EVENTS = 15, 12_800


class Inline:
    """Workers and a timer that do at once, or never, what they are given."""

    def __init__(self) -> None:
        self._tasks: list[Callable[[], None]] = []

    def submit(self, task: Callable[[], None]) -> None:
        """Take a task."""
        self._tasks.append(task)

    def waiting(self) -> int:
        """Nobody waits."""
        return 0

    def call_later(self, delay: float, task: Callable[[], None]) -> None:
        """Nothing is left to do later, as everything returns at once."""

    def run(self) -> None:
        """Do what there is."""
        while self._tasks:
            self._tasks.pop()()


class Handle:
    """Counts what is settled."""

    def __init__(self) -> None:
        self.settled = 0

    def settle(self, batch: Sequence[object], _: object) -> None:
        """Count it."""
        self.settled += len(batch)

    def window(self, size: int) -> None:
        """Take it."""


def without(*names: str) -> None:
    """Forget imports."""
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]


def import_first(*names: str) -> Any:
    """The first of these modules that there is: a commit that is measured may have other rooms."""
    for name in names[:-1]:
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(name)
    return importlib.import_module(names[-1])


def load(source: Path) -> Callable[[int], float]:
    """A measurement of the code in a folder: seconds for each delivery, in batches of a size."""
    without("eventing_core")
    sys.path.insert(0, str(source))
    try:
        import eventing_core as core  # noqa: PLC0415

        incoming, shell = _shell_of(core)
        memory = __import__("eventing_core.memory._queue", fromlist=["MemoryDelivery"])
        provider = __import__("eventing_core.provider", fromlist=["Message", "SubscriptionState"])
        listener = _listener_of(core)
        declared = import_first("eventing_core.declare._listener", "eventing_core._listener")
        descriptor = declared.describe_listener(listener)
        capabilities = __import__("eventing_core.memory", fromlist=["MemoryProvider"]).MemoryProvider.capabilities
    finally:
        sys.path.remove(str(source))

    class Empty:
        def __bool__(self) -> bool:
            return False

    def measure(size: int) -> float:
        inline, handle = Inline(), Handle()
        made = incoming(
            descriptor=descriptor, listener=listener(), codec=Nothing(), chain=Empty(), retry=core.Retry(),
            copies=Nothing(), capabilities=capabilities, timer=inline,
        )  # fmt: skip
        it = shell(made, inline)
        it.attach(handle)
        it.state(provider.SubscriptionState.ACTIVE, 1, None)
        it.begin()
        message = provider.Message(body=b"{}")
        batches = [[memory.MemoryDelivery(message, 1, 0) for _ in range(size)] for _ in range(EVENTS // size)]
        for batch in batches:
            for each in batch:
                each.generation = 1
        begun = time.perf_counter()
        for batch in batches:
            it.deliver(batch)
            inline.run()
        taken = time.perf_counter() - begun
        if handle.settled < EVENTS - size:
            raise RuntimeError(handle.settled)
        return taken / EVENTS

    return measure


class Nothing:
    """Stands for what is not called."""

    def decode(self, body: bytes) -> bytes:
        """Leave it as it is."""
        return body


def _shell_of(core: ModuleType) -> tuple[Any, Any]:
    del core
    try:
        module = __import__("eventing_core.receive._threads", fromlist=["ThreadShell"])
    except ImportError:
        module = __import__("eventing_core._dispatch_kinds", fromlist=["ThreadDispatcher"])
        return module.Incoming, module.ThreadDispatcher
    return module.Incoming, module.ThreadShell


def _listener_of(core: Any) -> Any:
    @core.event("deciding")
    @dataclass
    class Event:
        """Nothing."""

    @core.event_listener(Event)
    class Listener(core.EventListener):  # type: ignore[misc]
        def on(self, event: object) -> None:
            """Do nothing."""

    return Listener


def main() -> None:
    """Print it."""
    present = load(ROOT / CORE)
    measured = {"present": present}
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            archive = subprocess.run(
                ["git", "archive", sys.argv[1], CORE],  # noqa: S607 (the user's own)
                cwd=ROOT,
                check=True,
                capture_output=True,
            ).stdout
            with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                files.extractall(folder, filter="data")
            measured[sys.argv[1]] = load(Path(folder) / CORE)
        for size in (1, 128):
            taken: dict[str, list[float]] = {name: [] for name in measured}
            for _ in range(ROUNDS):
                for name, measure in measured.items():
                    taken[name].append(measure(size))
            best = {name: min(each) for name, each in taken.items()}
            for name, each in taken.items():
                figures = f"best {best[name] * 1e6:6.2f} us, median {statistics.median(each) * 1e6:6.2f} us"
                print(f"batches of {size:3}: {name:12} {figures}")
            if len(best) > 1:
                print(f"batches of {size:3}: ratio {best['present'] / best[sys.argv[1]]:.2f}")


if __name__ == "__main__":
    main()
