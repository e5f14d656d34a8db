"""The broker is killed, and stopped in order, and started again, under load: everything goes on by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.artemis import Artemis
from tests.support.plain import PlainClient
from tests.support.processes import Numbers, Worker
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(240)

#: Of computing per event, so that the listener is slower than the sender: some 0.25 ms.
ROUNDS = "4000"


class Load:
    """A process that sends as fast as it can, and one that listens."""

    def __init__(self, sender: Worker, listener: Worker, folder: Path, queue: str) -> None:
        self.sender = sender
        self.listener = listener
        self.queue = queue
        self.submitted, self.confirmed, self.failed, self.handled = (
            Numbers(folder / name) for name in ("submitted", "confirmed", "failed", queue)
        )

    def wait_for_progress(self, count: int) -> None:
        """Wait until so many more events were confirmed and handled, and a tenth of that still waits on the broker."""
        confirmed, handled = len(self.confirmed) + count, len(self.handled) + count
        until(
            lambda: (
                len(self.confirmed) >= max(confirmed, len(self.handled) + count // 10) and len(self.handled) >= handled
            ),
            lambda: (
                f"{len(self.confirmed)} confirmed, {len(self.failed)} failed, {len(self.handled)} handled;\n"
                f"the sender's log:\n{self.sender.log}\nthe listener's log:\n{self.listener.log}"
            ),
        )


@pytest.fixture
def load(
    private_artemis: Artemis, start_worker: Callable[..., Worker], tmp_path: Path, unique: Callable[[str], str]
) -> Load:
    event, queue = unique("Loaded"), unique("Listener")
    listener = start_worker(private_artemis, "listener", "listen", event, tmp_path, queue, "--rounds", ROUNDS)
    listener.expect("ready")
    sender = start_worker(private_artemis, "sender", "send", event, tmp_path)
    sender.expect("ready")
    return Load(sender, listener, tmp_path, queue)


def test_nothing_confirmed_is_lost(private_artemis: Artemis, load: Load):
    load.wait_for_progress(500)
    under_way = []
    for end in (private_artemis.kill, private_artemis.stop):
        end()
        # Under load, on the sending side as well.
        under_way.append(len(load.submitted) - len(load.confirmed))
        assert under_way[-1] > 0
        private_artemis.start()
        load.wait_for_progress(500)
    assert load.sender.runs
    assert load.listener.runs
    load.sender.end()
    with PlainClient(private_artemis) as plain:
        until(lambda: plain.count(load.queue) == 0, lambda: f"{plain.count(load.queue)} left")
    load.listener.stop()

    assert load.failed.read() == []
    confirmed_numbers, times = load.confirmed.read(), Counter(load.handled.read())
    assert sorted(confirmed_numbers) == list(range(len(load.submitted)))
    missing = set(confirmed_numbers) - set(times)
    assert not missing
    print(  # noqa: T201 (figures to look at)
        f"{len(confirmed_numbers)} confirmed; under way when killed {under_way[0]}, when stopped {under_way[1]}; "
        f"handled twice: {sum(calls > 1 for calls in times.values())}"
    )
