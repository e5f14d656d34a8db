"""Two brokers on one store: when the live one dies under load, clients go on with the other by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from examples.artemis import Artemis, SharedStore
from tests.support.bench import Bench, accepting, opened
from tests.support.streams import Stream
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("kind")]


@pytest.fixture
def pair(make_artemis: Callable[..., Artemis], tmp_path: Path) -> tuple[Artemis, Artemis]:
    """The live one and its backup, with the same users."""
    store = tmp_path / "store"
    live = make_artemis(store=SharedStore(folder=store))
    return live, make_artemis(store=SharedStore(folder=store, backup=True), password=live.password)


def wait_at(bench: Bench, broker: Artemis) -> None:
    until(lambda: bench.provider.health().place == f"{broker.host}:{broker.port}", "it is connected there")


def test_nothing_is_lost_when_the_live_broker_is_killed(
    pair: tuple[Artemis, Artemis], caplog: pytest.LogCaptureFixture
):
    live, backup = pair
    # The backup is named first: while it waits it refuses connections.
    places = {"port": backup.port, "failover": (f"{live.host}:{live.port}",)}
    with opened(live, "s", **places) as sender, opened(live, "s", **places) as receiver:
        for bench in (sender, receiver):
            wait_at(bench, live)
        recorder = accepting(receiver.listen_active(window=100))
        stream = Stream(sender, batch=200)
        recorder.wait(1000)
        assert len(stream.confirmed) < stream.handed_over, "sends are on their way"
        live.kill()
        for bench in (sender, receiver):
            wait_at(bench, backup)
        at = len(stream.confirmed)
        until(lambda: len(stream.confirmed) > at + 1000, "sending goes on")
        stream.stop()
        assert not stream.failed
        recorder.deliveries.until(lambda _: set(recorder.bodies()) >= set(stream.confirmed), "nothing is lost")
        for bench in (sender, receiver):
            assert [connected for connected, _ in bench.connected.items()] == [True, False, True]
        assert f"{backup.host}:{backup.port}: connected, in place of {live.host}:{live.port}" in caplog.text
