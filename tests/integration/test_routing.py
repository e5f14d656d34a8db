"""Whether an event has queues stays true on a connection that lasts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from proton import Message

from eventing_core import EventManager
from eventing_core.errors import UnroutedError
from eventing_core.provider import Destination
from eventing_core.provider.artemis._routes import Routes
from examples.artemis import Artemis, User
from tests.support.bench import Bench, accepting, opened
from tests.support.plain import PlainClient
from tests.support.waiting import until
from tests.support.workers import event_named

CORE = "{urn:activemq:core}"

#: Who may follow the broker's notifications, and who may not.
USERS = ("follows", "asks")
RIGHTS = frozenset(
    {
        *("send", "consume", "browse", "manage", "createAddress", "deleteAddress"),
        *("createDurableQueue", "deleteDurableQueue", "createNonDurableQueue", "deleteNonDurableQueue"),
    }
)

#: What is promised, in seconds.
NOTICED = 5.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artemis]:
    reason = Artemis.unavailable()
    if reason:
        pytest.skip(reason)

    def close(core: Any) -> None:
        settings = core.find(f"{CORE}security-settings")
        everyone = settings.find(f"{CORE}security-setting[@match='#']/{CORE}permission").get("roles").split(",")
        setting = core.makeelement(f"{CORE}security-setting", {"match": "activemq.notifications"})
        for right in sorted(RIGHTS):
            roles = ",".join(role for role in everyone if (role, right) != ("asks", "consume"))
            setting.append(core.makeelement(f"{CORE}permission", {"type": right, "roles": roles}))
        settings.append(setting)
        # How often it looks for queues to remove, in milliseconds.
        period = core.makeelement(f"{CORE}address-queue-scan-period", {})
        period.text = "500"
        core.append(period)

    users = [User(name=name, password="secret", permissions=RIGHTS) for name in USERS]
    with Artemis(folder=tmp_path_factory.mktemp("routing") / "broker", users=users, edit=close) as broker:
        yield broker


@pytest.fixture(params=USERS)
def sender(request: pytest.FixtureRequest, broker: Artemis, unique: Callable[[str], str], kind: str) -> Iterator[Bench]:
    """A connection that sends, of a user who may follow notifications, or of one who may not."""
    assert kind
    with opened(broker, unique("s"), user=request.param, password="secret") as bench:
        yield bench


@pytest.fixture
def plain(broker: Artemis) -> Iterator[PlainClient]:
    with PlainClient(broker) as client:
        yield client


def make_queue(plain: PlainClient, bench: Bench, name: str, **settings: Any) -> str:
    """A queue on the event that the bench sends."""
    queue = {"name": f"{bench.topic.topic}.{name}", "address": bench.topic.topic, "routing-type": "MULTICAST"}
    plain.manage("broker", "createQueue", json.dumps({**queue, "auto-create-address": True, **settings}), True)
    return queue["name"]


def has_queues(plain: PlainClient, bench: Bench) -> bool:
    try:
        return bool(plain.queues("address", "EQUALS", bench.topic.topic))
    except AssertionError:
        # Artemis 2.44 fails where a queue goes while it lists them.
        return True


def result_of(bench: Bench) -> Exception | None:
    ((_, error),) = bench.send("x").wait(1)
    return error


def wait_unrouted(bench: Bench) -> None:
    """Send again and again: within the promised time a send fails, and from then on each does."""
    began = time.monotonic()
    while (error := result_of(bench)) is None:
        assert time.monotonic() - began < NOTICED, "sends that reach nobody return"
    assert isinstance(error, UnroutedError)
    assert [type(result_of(bench)) for _ in range(20)] == [UnroutedError] * 20


def assert_routed(bench: Bench) -> None:
    assert [result_of(bench) for _ in range(20)] == [None] * 20


def test_the_last_queue_that_goes_is_noticed_and_one_that_comes_back_too(sender: Bench, plain: PlainClient):
    for _ in range(2):
        queue = make_queue(plain, sender, "Listener")
        assert_routed(sender)
        plain.manage("broker", "destroyQueue", queue)
        wait_unrouted(sender)
    assert sum(connected for connected, _ in sender.connected.items()) <= 2


def test_a_send_after_the_promised_time_is_told_without_another_one_before(sender: Bench, plain: PlainClient):
    queue = make_queue(plain, sender, "Listener")
    assert_routed(sender)
    plain.manage("broker", "destroyQueue", queue)
    gone = time.monotonic()
    until(lambda: time.monotonic() - gone > NOTICED, "the promised time is over")
    assert isinstance(result_of(sender), UnroutedError)


def test_while_another_listener_has_a_queue_no_send_fails(sender: Bench, plain: PlainClient):
    queues = [make_queue(plain, sender, name) for name in ("One", "Other")]
    assert_routed(sender)
    plain.manage("broker", "destroyQueue", queues[0])
    gone = time.monotonic()
    while time.monotonic() - gone < NOTICED:
        assert result_of(sender) is None
    plain.manage("broker", "destroyQueue", queues[1])
    wait_unrouted(sender)


def test_an_address_that_is_deleted_as_a_whole_and_made_again(sender: Bench, plain: PlainClient):
    make_queue(plain, sender, "Listener")
    assert_routed(sender)
    plain.manage("broker", "deleteAddress", sender.topic.topic, True)
    wait_unrouted(sender)
    make_queue(plain, sender, "Listener")
    assert_routed(sender)


def test_a_queue_that_expires_is_noticed(sender: Bench, broker: Artemis, plain: PlainClient):
    # With its process, whose own queue it is.
    queue = Destination(sender.topic.topic, sender.queue.group, "server", "queue", durable=True)
    with opened(broker, "member", member_expiry=0.2) as member:
        recorder = accepting(member.listen_active(queue, window=10, dead_letter=None))
        assert_routed(sender)
        recorder.wait(20)
    until(lambda: not has_queues(plain, sender), "the broker removes it")
    wait_unrouted(sender)


def test_an_anycast_queue_takes_nothing_of_an_event(sender: Bench, plain: PlainClient):
    queue = make_queue(plain, sender, "Listener")
    make_queue(plain, sender, "Foreign", **{"routing-type": "ANYCAST"})
    assert_routed(sender)
    plain.manage("broker", "destroyQueue", queue)
    wait_unrouted(sender)


def test_a_subscription_to_notifications_that_is_lost_is_made_up_for(sender: Bench, plain: PlainClient):
    queue = make_queue(plain, sender, "Listener")
    assert_routed(sender)
    for row in plain.queues("address", "EQUALS", "activemq.notifications"):
        plain.manage("broker", "destroyQueue", row["name"], True)
    plain.manage("broker", "destroyQueue", queue)
    wait_unrouted(sender)


@pytest.mark.usefixtures("kind")
def test_connections_that_come_and_go_wake_nobody(
    broker: Artemis, plain: PlainClient, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
):
    told: list[tuple[Routes, Mapping[str, Any]]] = []
    inherited = Routes.notified

    def notified(self: Routes, properties: Mapping[str, Any]) -> None:
        told.append((self, properties))
        inherited(self, properties)

    monkeypatch.setattr(Routes, "notified", notified)
    with opened(broker, unique("quiet")) as bench:
        queue = make_queue(plain, bench, "Listener")
        bench.put("a")
        until(lambda: len(told) == 1, "its own subscription is told of")
        routes = told[0][0]
        for _ in range(5):
            # Of ours, which ask and follow, and of another client, whose answers come to an address of its own.
            with opened(broker, unique("other")) as other, PlainClient(broker) as client:
                other.put("a", to=bench.topic)
                client.queue(queue)
        plain.manage("broker", "destroyQueue", queue)
        until(lambda: len([one for one, _ in told if one is routes]) > 1, "the queue's end is told of")
        mine = [properties["_AMQ_Address"] for one, properties in told if one is routes]
        assert mine[1:] == [bench.topic.topic]


@pytest.mark.usefixtures("kind")
def test_a_broker_that_notifies_elsewhere(make_artemis: Callable[..., Artemis]):
    def elsewhere(core: Any) -> None:
        address = core.makeelement(f"{CORE}management-notification-address", {})
        address.text = "elsewhere"
        core.append(address)

    broker = make_artemis(edit=elsewhere)
    with opened(broker, "elsewhere") as bench, PlainClient(broker) as plain:
        queue = make_queue(plain, bench, "Listener")
        assert_routed(bench)
        plain.manage("broker", "destroyQueue", queue)
        wait_unrouted(bench)


@pytest.mark.usefixtures("kind")
def test_a_queue_that_is_not_durable_is_missed_after_a_restart(private_artemis: Artemis):
    with opened(private_artemis, "restart") as bench:
        with PlainClient(private_artemis) as plain:
            make_queue(plain, bench, "Listener", durable=False)
            assert_routed(bench)
        private_artemis.restart()
        bench.connected.until(lambda seen: len(seen) >= 3 and seen[-1][0], "it is connected again")
        wait_unrouted(bench)


# -- senders that name anycast ----------------------------------------------------------------------------------------


def send_anycast(plain: PlainClient, address: str) -> None:
    plain.send(address, Message(body="{}"), capability="queue")


@pytest.mark.usefixtures("kind")
def test_an_anycast_queue_that_nobody_reads_is_warned_of_at_the_start(
    broker: Artemis, plain: PlainClient, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
):
    with opened(broker, unique("any")) as bench:
        send_anycast(plain, bench.topic.topic)
        assert plain.count(bench.topic.topic) == 1
        bench.listen_active()
        until(lambda: "anycast queue" in caplog.text, "it is warned of")
        assert f"listeners of '{bench.topic.topic}' don't get" in caplog.text
        for part in ("'queue'", "'topic'", "destination-type:MULTICAST", "JMS"):
            assert part in caplog.text


@pytest.mark.usefixtures("kind")
def test_an_anycast_queue_that_comes_later_is_warned_of(
    broker: Artemis, plain: PlainClient, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
):
    with opened(broker, unique("late")) as bench:
        bench.listen_active()
        bench.put("a")
        assert "anycast" not in caplog.text
        queue = {"name": bench.topic.topic, "address": bench.topic.topic, "routing-type": "ANYCAST"}
        plain.manage("broker", "createQueue", json.dumps(queue), True)
        until(lambda: "anycast queue" in caplog.text, "it is warned of")


@pytest.mark.usefixtures("kind")
def test_what_is_sent_as_anycast_and_dropped_is_warned_of(
    broker: Artemis, plain: PlainClient, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
):
    with opened(broker, unique("drop")) as bench:
        bench.listen_active().handle.close().result(20)
        # The address is there: Artemis makes no queue for it.
        send_anycast(plain, bench.topic.topic)
        assert [row["routingType"] for row in plain.queues("address", "EQUALS", bench.topic.topic)] == ["MULTICAST"]
        assert "anycast" not in caplog.text
        bench.listen_active()
        until(lambda: "the broker drops" in caplog.text, "it is warned of")


@pytest.mark.usefixtures("kind")
def test_an_anycast_queue_that_somebody_reads_is_not_complained_of(
    broker: Artemis, plain: PlainClient, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
):
    with opened(broker, unique("read")) as bench, plain.reading(bench.topic.topic, capability="queue"):
        bench.listen_active()
        # Answers come in order: that about the queues has come before this one's.
        bench.put("a")
        assert "anycast" not in caplog.text


# -- the manager's warning --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("kind")
def test_a_manager_warns_each_time_that_an_event_loses_its_last_queue(
    broker: Artemis, plain: PlainClient, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
):
    bench = Bench(broker, unique("m"))
    event_type = event_named(bench.topic.topic)
    with EventManager(bench.provider, listeners=[], pipelines=[]) as manager:
        for times in (1, 2):
            queue = make_queue(plain, bench, "Listener")
            manager.send_event(event_type(number=1))
            plain.manage("broker", "destroyQueue", queue)
            began = time.monotonic()
            while caplog.text.count(f"the event {bench.topic.topic} has no queue") < times:
                manager.send_event(event_type(number=2))
                assert time.monotonic() - began < NOTICED
            manager.send_event(event_type(number=3))
    assert caplog.text.count(f"the event {bench.topic.topic} has no queue") == 2
