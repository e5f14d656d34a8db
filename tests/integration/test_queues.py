"""What is made on the broker, and what it refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventing_core.errors import (
    QueueNameConflictError,
    SendRejectedError,
    ServerNameInUseError,
    SubscriptionError,
    UnroutedError,
)
from eventing_core.provider import Destination, SubscriptionState
from examples.artemis import Artemis, User
from tests.support.bench import Bench, accepting, failure_of, opened
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("kind")]

ACTIVE, INACTIVE = SubscriptionState.ACTIVE, SubscriptionState.INACTIVE


@pytest.fixture
def bench(artemis: Artemis, unique: Callable[[str], str]) -> Iterator[Bench]:
    with opened(artemis, unique("q"), server_name_timeout=2) as bench:
        yield bench


def queues(broker: Artemis) -> dict[str, dict[str, Any]]:
    """All that the broker tells of its queues."""
    text = broker.cli("queue", "stat", "--json", "--silent", "--maxRows", "100000")
    return {row["name"]: row for row in json.loads(text[text.index("{") : text.rindex("}") + 1])["data"]}


def member(bench: Bench, server: str) -> Destination:
    return Destination(bench.queue.topic, bench.queue.group, server, "queue", durable=True)


def test_a_queue_name_of_another_event(bench: Bench, artemis: Artemis):
    bench.listen_active()
    other = Destination("Other" + bench.queue.topic, bench.queue.group, kind="queue", durable=True)
    error = failure_of(bench.listen(other))
    assert isinstance(error, QueueNameConflictError)
    for part in (bench.queue.group, bench.queue.topic, 'queue_name = "{event}.{listener}"'):
        assert part in str(error)
    # The setting that the error names mends it.
    with opened(artemis, "mended", queue_name="{event}.{listener}") as mended:
        mended.listen_active(other)


def test_a_copy_for_a_queue_of_another_event_is_refused(bench: Bench):
    bench.listen_active()
    other = Destination("Other" + bench.queue.topic, bench.queue.group, kind="queue", durable=True)
    [(_, error)] = bench.send("a", to=other).wait(1)
    assert isinstance(error, SendRejectedError)
    assert bench.queue.topic in str(error)


def test_a_copy_goes_to_a_queue_that_is_made_for_it(bench: Bench):
    bench.put("a", to=bench.queue)
    bench.put("b", to=bench.dead)
    assert [recorder_body(bench, source) for source in (bench.queue, bench.dead)] == ["a", "b"]


def recorder_body(bench: Bench, source: Destination) -> str:
    recorder = bench.listen_active(source, window=10)
    recorder.wait(1)
    return recorder.bodies()[0]


def test_a_server_name_in_use(bench: Bench, artemis: Artemis, unique: Callable[[str], str]):
    queue = member(bench, "server")
    first = bench.listen_active(queue, window=10)
    with opened(artemis, unique("second"), server_name_timeout=1.5) as second:
        began = time.monotonic()
        error = failure_of(second.listen(queue))
        assert isinstance(error, ServerNameInUseError)
        assert 1.5 <= time.monotonic() - began < 10
        assert "'server'" in str(error)
        bench.put("a")
        assert first.wait(1)
        # A predecessor that goes in time is waited for.
        waiting = second.listen(queue, window=10)
        first.handle.close().result(10)
        waiting.states.until(lambda states: bool(states) and states[-1][0] is ACTIVE, "the queue is free")
        waiting.wait(1)


def test_queues_survive_as_they_are_declared(private_artemis: Artemis):
    with opened(private_artemis, "d") as bench:
        fleeting = Destination("Fleeting", "FleetingListener", kind="queue")
        bench.listen_active()
        bench.listen_active(fleeting)
        bench.listen_active(member(bench, "server"))
        bench.put("a")
        before = queues(private_artemis)
        names = {bench.queue.group, f"{bench.queue.group}.dead", "FleetingListener", "FleetingListener.dead"}
        assert names <= set(before)
    private_artemis.kill()
    private_artemis.start()
    after = queues(private_artemis)
    assert names - set(after) == {"FleetingListener"}
    assert int(after[bench.queue.group]["messageCount"]) == 1
    assert before[bench.queue.group]["routingType"] == "MULTICAST"
    assert before[f"{bench.queue.group}.dead"]["routingType"] == "ANYCAST"


def test_the_queue_of_a_server_that_stays_away_is_removed(make_artemis: Callable[..., Artemis]):
    def scan_often(core: Any) -> None:
        element = core.makeelement("{urn:activemq:core}address-queue-scan-period", {})
        element.text = "200"
        core.insert(0, element)

    broker = make_artemis(edit=scan_often)
    with opened(broker, "away", member_expiry=0.5) as bench:
        bench.listen_active()
        bench.listen_active(member(bench, "server"))
        bench.put("a")
    name = f"{bench.queue.group}-server"
    end = time.monotonic() + 60
    while name in (left := queues(broker)):
        assert time.monotonic() < end, left
    # Dead letters and competing listeners' queues stay, with their messages.
    assert {bench.queue.group, f"{bench.queue.group}.dead", f"{name}.dead"} <= set(left)
    assert int(left[bench.queue.group]["messageCount"]) == 1


def test_a_queue_of_a_server_lives_with_it(artemis: Artemis, unique: Callable[[str], str]):
    name = unique("lives")
    with opened(artemis, name) as bench:
        bench.listen_active(member(bench, "server")).handle.close().result(10)
        bench.put("a")
    with opened(artemis, name) as bench:
        recorder = bench.listen_active(member(bench, "server"), window=1)
        recorder.wait(1)


def test_an_existing_queue_becomes_exclusive(bench: Bench, artemis: Artemis, unique: Callable[[str], str]):
    bench.listen_active().handle.close().result(10)
    with opened(artemis, unique("second")) as second:
        first = accepting(bench.listen_active(window=100, exclusive=True))
        other = accepting(second.listen_active(bench.queue, window=100, exclusive=True))
        bench.put(*"abcdefgh")
        until(lambda: len(first.bodies()) + len(other.bodies()) >= 8, "all of them are delivered")
        assert sorted(map(len, (first.bodies(), other.bodies()))) == [0, 8]


def test_an_existing_queue_of_other_durability_is_warned_of(bench: Bench, caplog: pytest.LogCaptureFixture):
    bench.listen_active().handle.close().result(10)
    assert "can't be changed" not in caplog.text
    fleeting = Destination(bench.queue.topic, bench.queue.group, kind="queue", durable=False)
    for _ in range(2):
        bench.listen_active(fleeting).handle.close().result(10)
    assert caplog.text.count("This can't be changed") == 1
    assert "durable true instead of false" in caplog.text


def test_an_event_without_queues_is_told_and_then_not(bench: Bench):
    for _ in range(2):
        [(_, error)] = bench.send("a").wait(1)
        assert isinstance(error, UnroutedError)
    bench.listen_active()
    # Asked again before each batch.
    end = time.monotonic() + 10
    while [error for _, error in bench.send("b").wait(1)] != [None]:
        assert time.monotonic() < end


def test_a_queue_deleted_under_its_listener_is_made_again(bench: Bench, artemis: Artemis, kind: str):
    recorder = accepting(bench.listen_active(window=10))
    neighbour = accepting(
        bench.listen_active(
            Destination(bench.queue.topic, bench.queue.group + "2", kind="queue", durable=True), window=10
        )
    )
    bench.put("a")
    recorder.wait(1)
    artemis.cli("queue", "delete", "--name", bench.queue.group, "--removeConsumers")
    recorder.states.until(lambda states: len(states) >= 3 and states[-1][0] is ACTIVE, "it is made again")
    assert [state for state, _, _ in recorder.states.items()] == [ACTIVE, INACTIVE, ACTIVE]
    assert [generation for _, generation, _ in recorder.states.items()] == [1, 1, 2]
    bench.put("b")
    recorder.wait(2)
    neighbour.wait(2)
    # Over STOMP the broker ends the connection for it, and the neighbour is back with the next one.
    assert [state for state, _, _ in neighbour.states.items()][1:] == ([] if kind == "amqp" else [INACTIVE, ACTIVE])


RIGHTS = {
    "consumer": frozenset({"consume", "createAddress", "createDurableQueue", "createNonDurableQueue"}),
    "plain": frozenset({"send", "consume", "createAddress", "createDurableQueue", "createNonDurableQueue"}),
}


@pytest.fixture(scope="module")
def strict_artemis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artemis]:
    reason = Artemis.unavailable()
    if reason:
        pytest.skip(reason)
    users = [User(name=name, password="secret", permissions=rights) for name, rights in RIGHTS.items()]
    users.append(User(name="nobody", password="secret", permissions=frozenset({"send"})))
    with Artemis(folder=tmp_path_factory.mktemp("strict") / "broker", users=users) as broker:
        yield broker


def test_without_the_right_to_manage_attaching_makes_the_queues(
    strict_artemis: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
):
    with opened(strict_artemis, unique("plain"), user="plain", password="secret") as bench:
        recorder = accepting(bench.listen_active(window=10))
        bench.put("a")
        recorder.wait(1)
        bench.put("b", to=bench.queue)
        recorder.wait(2)
        bench.put("c", to=bench.dead)
        dead = bench.listen_active(bench.dead, window=10)
        dead.wait(1)
        assert dead.bodies() == ["c"]
        assert caplog.text.count("management is closed") == 1


def test_without_the_right_to_send(strict_artemis: Artemis, unique: Callable[[str], str], kind: str):
    with opened(strict_artemis, unique("consumer"), user="consumer", password="secret") as bench:
        accepting(bench.listen_active(window=10))
        [(_, error)] = bench.send("a").wait(1)
        assert isinstance(error, SendRejectedError)
        assert "lacks the permission 'send'" in str(error)
        assert not error.in_doubt
        # Over STOMP the broker ends the connection for it.
        until(lambda: bench.provider.health().connected, "it is connected")


def test_without_the_right_to_consume(
    strict_artemis: Artemis, unique: Callable[[str], str], kind: str, caplog: pytest.LogCaptureFixture
):
    with opened(strict_artemis, unique("nobody"), user="nobody", password="secret") as bench:
        error = failure_of(bench.listen())
        assert type(error) is SubscriptionError
        assert "permission" in str(error)
    assert caplog.text.count("may not have temporary queues") == (1 if kind == "stomp" else 0)


def test_a_queue_with_a_filter_is_refused(bench: Bench, artemis: Artemis):
    name = bench.queue.group
    artemis.cli(
        *("queue", "create", "--name", name, "--address", bench.topic.topic, "--multicast", "--durable"),
        *("--auto-create-address", "--preserve-on-no-consumers", "--filter", "x='1'"),
    )
    error = failure_of(bench.listen())
    assert isinstance(error, SubscriptionError)
    for part in (name, "x='1'", "lost", "delete"):
        assert part in str(error)


def test_a_queue_of_the_other_routing_type_is_refused(bench: Bench, artemis: Artemis):
    name = bench.queue.group
    artemis.cli(
        *("queue", "create", "--name", name, "--address", bench.topic.topic, "--anycast", "--durable"),
        *("--auto-create-address", "--preserve-on-no-consumers"),
    )
    assert "ANYCAST" in str(failure_of(bench.listen()))


def test_a_queue_that_is_emptied_without_consumers_is_mended(bench: Bench, artemis: Artemis):
    name = bench.queue.group
    artemis.cli(
        *("queue", "create", "--name", name, "--address", bench.topic.topic, "--multicast", "--durable"),
        *("--auto-create-address", "--purge-on-no-consumers"),
    )
    bench.listen_active().handle.close().result(10)
    bench.put("a")
    again = bench.listen_active(window=1)
    again.wait(1)
    assert again.bodies() == ["a"]


def test_a_shared_queue_is_not_that_of_a_process(bench: Bench):
    own = member(bench, "server")
    bench.listen_active(own)
    shared = Destination(own.topic, f"{own.group}-server", kind="queue", durable=True)
    error = failure_of(bench.listen(shared))
    assert isinstance(error, QueueNameConflictError)
    assert "per-process" in str(error)


def test_a_send_right_after_the_first_listener_is_not_unrouted(bench: Bench):
    [(_, error)] = bench.send("nobody").wait(1)
    assert isinstance(error, UnroutedError)
    recorder = bench.listen_active(window=10)
    [(_, error)] = bench.send("somebody").wait(1)
    assert error is None
    recorder.wait(1)


def test_a_broker_that_takes_events_away_too_early_is_told_of(
    make_artemis: Callable[..., Artemis], caplog: pytest.LogCaptureFixture
):
    broker = make_artemis(address_settings={"max-delivery-attempts": "5"})
    with opened(broker, "early") as bench:
        bench.listen_active()
        until(lambda: "max-delivery-attempts = 5 of 'Event-early'" in caplog.text, "a warning")


def test_a_broker_with_its_usual_settings_is_not_complained_of(bench: Bench, caplog: pytest.LogCaptureFixture):
    bench.listen_active()
    # Answers come in order: that about the settings has come before this one.
    bench.put("x")
    assert "max-delivery-attempts" not in caplog.text
