"""Address settings of the broker that would supply attributes to our queues, or break a promise all the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from proton import Message as ProtonMessage

from eventing_core import EventManager, Retry
from eventing_core.errors import SubscriptionError
from eventing_core.provider import Destination, SubscriptionState
from eventing_core.provider.artemis._attributes import ATTRIBUTES, configuration, differences, of_row
from examples.artemis import Artemis, User
from tests.support.bench import Bench, accepting, failure_of, opened
from tests.support.plain import PlainClient
from tests.support.proxy import Proxy
from tests.support.waiting import until
from tests.support.workers import event_named, listener_of

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("kind")]

CORE = "{urn:activemq:core}"

#: Every setting by which an address supplies an attribute to its queues, with a value that we must not get.
SUPPLIED: dict[str, Any] = {
    "defaultPurgeOnNoConsumers": True,
    "defaultRingSize": 2,
    "defaultLastValueQueue": True,
    "defaultLastValueKey": "k",
    "defaultNonDestructive": True,
    "defaultMaxConsumers": 3,
    "defaultExclusiveQueue": True,
    "defaultGroupRebalance": True,
    "defaultGroupRebalancePauseDispatch": True,
    "defaultGroupBuckets": 4,
    "defaultGroupFirstKey": "first",
    "defaultConsumersBeforeDispatch": 2,
    "defaultDelayBeforeDispatch": 600_000,
    "defaultQueueRoutingType": "ANYCAST",
    "autoDeleteCreatedQueues": True,
    "autoDeleteQueuesDelay": 1,
    "autoDeleteQueuesMessageCount": -1,
    "autoCreateQueues": False,
    "autoCreateAddresses": False,
}
#: At creation they can be named; afterwards they can't be changed.
UNCHANGEABLE = {"defaultLastValueQueue", "defaultLastValueKey"}

ONE_BY_ONE = {key: {key: value} for key, value in SUPPLIED.items()}
ALL = {**ONE_BY_ONE, "all": SUPPLIED}


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artemis]:
    """A broker to whose address settings tests add, each for names of its own."""
    reason = Artemis.unavailable()
    if reason:
        pytest.skip(reason)
    rights = {"send", "consume", "createAddress", "createDurableQueue", "createNonDurableQueue"}
    users = [User(name="plain", password="secret", permissions=frozenset(rights))]

    def scan_often(core: Any) -> None:
        element = core.makeelement(f"{CORE}message-expiry-scan-period", {})
        element.text = "200"
        core.insert(0, element)

    folder = tmp_path_factory.mktemp("strange") / "broker"
    with Artemis(folder=folder, users=users, short_lived=True, edit=scan_often) as broker:
        yield broker


@contextmanager
def on(broker: Artemis, name: str, settings: Mapping[str, Any], **options: Any) -> Iterator[tuple[Bench, PlainClient]]:
    """A bench whose addresses have these settings, that of its dead letters too."""
    with PlainClient(broker) as plain:
        set_for(plain, name, settings)
        with opened(broker, name, **options) as bench:
            yield bench, plain


def set_for(plain: PlainClient, name: str, settings: Mapping[str, Any]) -> None:
    for address in (f"Event-{name}", f"Listener-{name}.dead", f"Listener-{name}-server.dead"):
        plain.manage("broker", "addAddressSettings", address, json.dumps(settings))


def configuration_of(plain: PlainClient, name: str) -> dict[str, Any]:
    """All that a queue is: an update of nothing tells it."""
    [answer] = json.loads(plain.manage("broker", "updateQueue", json.dumps({"name": name})))
    found: dict[str, Any] = json.loads(answer)
    return found


def check(bench: Bench, plain: PlainClient, destination: Destination, **given: Any) -> None:
    """The queue has each attribute as it has to be, by both of the broker's accounts."""
    session: Any = bench.provider._connection.session  # type: ignore[attr-defined]
    queue = session.node(destination).queue
    row = plain.queue(queue.name)
    assert row is not None
    assert differences(queue, of_row(row)) == []
    wanted = json.loads(configuration(queue)) | given
    found = configuration_of(plain, queue.name)
    assert {key: found.get(key, "") for key in wanted} == wanted


@pytest.mark.parametrize("settings", ALL.values(), ids=ALL)
def test_queues_are_made_as_they_have_to_be(
    strange: Artemis, unique: Callable[[str], str], settings: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    with on(strange, unique("made"), settings) as (bench, plain):
        bench.listen_active()
        own = Destination(bench.queue.topic, bench.queue.group, "server", "queue", durable=True)
        bench.listen_active(own)
        check(bench, plain, bench.queue)
        check(bench, plain, bench.dead)
        check(bench, plain, own)
        check(bench, plain, Destination(own.topic, own.group, own.member, "dead", durable=True))
        assert "was changed" not in caplog.text
        assert "can't be" not in caplog.text


def test_queues_that_a_producer_makes(strange: Artemis, unique: Callable[[str], str]):
    with on(strange, unique("copied"), SUPPLIED) as (bench, plain):
        bench.put("retry", to=bench.queue)
        bench.put("letter", to=bench.dead)
        check(bench, plain, bench.queue)
        check(bench, plain, bench.dead)
        assert [plain.count(bench.queue.group), plain.count(f"{bench.queue.group}.dead")] == [1, 1]


CHANGEABLE = [
    key for key in SUPPLIED if key.startswith("default") and key not in UNCHANGEABLE | {"defaultQueueRoutingType"}
]


@pytest.mark.parametrize("setting", CHANGEABLE)
def test_existing_queues_are_changed_to_what_they_have_to_be(
    strange: Artemis, unique: Callable[[str], str], setting: str, caplog: pytest.LogCaptureFixture
):
    """Made by an older version, say, which left to the broker what it didn't name."""
    with on(strange, unique("changed"), ONE_BY_ONE[setting]) as (bench, plain):
        make(plain, bench.queue)
        make(plain, bench.dead)
        bench.listen_active()
        for destination in (bench.queue, bench.dead):
            about = f"the queue {name_of(destination)!r} of"
            if setting == "defaultExclusiveQueue":
                # Another process may have the listener as an ordered one.
                assert "exclusive true instead of false" in caplog.text
                continue
            check(bench, plain, destination)
            # The broker doesn't tell that a queue is non-destructive before it is changed.
            assert (about in caplog.text) is ("was changed" in caplog.text) is (setting != "defaultNonDestructive")


def name_of(destination: Destination) -> str:
    return destination.group + (".dead" if destination.kind == "dead" else "")


def make(plain: PlainClient, destination: Destination, **given: Any) -> None:
    """Make a queue, and name no more than that it is not removed."""
    anycast = destination.kind == "dead"
    name = name_of(destination)
    what = {
        "name": name,
        "address": name if anycast else destination.topic,
        "routing-type": "ANYCAST" if anycast else "MULTICAST",
        "durable": True,
        "auto-create-address": True,
        "auto-delete": False,
    }
    plain.manage("broker", "createQueue", json.dumps({**what, **given}), True)


@pytest.mark.parametrize("setting", sorted(UNCHANGEABLE))
@pytest.mark.parametrize("dead", [False, True], ids=["queue", "dead"])
def test_existing_queues_that_can_not_be_changed_are_refused(
    strange: Artemis, unique: Callable[[str], str], setting: str, dead: bool
):
    with on(strange, unique("refused"), ONE_BY_ONE[setting]) as (bench, plain):
        make(plain, bench.dead if dead else bench.queue)
        error = failure_of(bench.listen())
        assert isinstance(error, SubscriptionError)
        for part in (name_of(bench.dead if dead else bench.queue), "keeps only the last message", "default-last-value"):
            assert part in str(error)
        if dead:
            ((_, refused),) = bench.send("a", to=bench.dead).wait(1)
            assert "keeps only the last message" in str(refused)


def test_a_disabled_queue_is_enabled(strange: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture):
    with on(strange, unique("disabled"), {}) as (bench, plain):
        make(plain, bench.queue, enabled=False)
        recorder = bench.listen_active(window=10)
        bench.put("a")
        recorder.wait(1)
        assert "enabled false instead of true" in caplog.text


def test_a_paused_queue_is_warned_of(strange: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture):
    with on(strange, unique("paused"), {}) as (bench, plain):
        make(plain, bench.queue)
        plain.manage(f"queue.{bench.queue.group}", "pause")
        bench.listen_active()
        assert "it is paused" in caplog.text
        assert bench.queue.group in caplog.text


# -- what becomes of events ------------------------------------------------------------------------------------------

LOSING = {key: ONE_BY_ONE[key] for key in ("defaultPurgeOnNoConsumers", "defaultRingSize", "defaultNonDestructive")}


@pytest.mark.parametrize("settings", [*LOSING.values(), SUPPLIED], ids=[*LOSING, "all"])
def test_nothing_is_lost_while_nobody_consumes(
    strange: Artemis, unique: Callable[[str], str], settings: dict[str, Any]
):
    bodies = [str(number) for number in range(300)]
    name = unique("nobody")
    with on(strange, name, settings) as (bench, plain):
        recorder = bench.listen_active()
        recorder.handle.close().result(10)
        bench.put(*bodies)
        bench.put(*bodies, to=bench.dead)
        assert [plain.count(bench.queue.group), plain.count(f"{bench.queue.group}.dead")] == [300, 300]
        again = accepting(bench.listen_active(window=100))
        again.wait(300)
        assert sorted(again.bodies()) == sorted(bodies)
        until(lambda: plain.count(bench.queue.group) == 0, "what was acknowledged is gone")


@pytest.mark.parametrize("settings", [*LOSING.values(), SUPPLIED], ids=[*LOSING, "all"])
def test_nothing_is_lost_when_connections_break(
    strange: Artemis, unique: Callable[[str], str], settings: dict[str, Any]
):
    """As an application has it, with the default settings."""
    name = unique("broken")
    event_type = event_named(f"Event-{name}")
    handled: set[int] = set()
    failing = 7

    def take(number: int) -> None:
        if number == failing:
            raise ValueError(number)
        handled.add(number)

    listener = listener_of(event_type, f"Listener-{name}", take, retry=Retry(max_attempts=1))
    with ExitStack() as stack:
        plain = stack.enter_context(PlainClient(strange))
        set_for(plain, name, settings)
        proxy = stack.enter_context(Proxy(strange.port))
        place: dict[str, Any] = {"host": proxy.host, "user": strange.user, "password": strange.password}
        cut: dict[str, Any] = {Bench.kind: {**place, "port": proxy.port}}
        direct: dict[str, Any] = {Bench.kind: {**place, "port": strange.port}}
        manager = stack.enter_context(
            EventManager.from_config(provider=Bench.kind, listeners=[listener], pipelines=[], **cut)
        )
        sender = stack.enter_context(
            EventManager.from_config(provider=Bench.kind, listeners=[], pipelines=[], **direct)
        )
        for begin in range(0, 600, 200):
            sender.send_events([event_type(number=number) for number in range(begin, begin + 200)])
            proxy.reset()
        wanted = {*range(600)} - {failing}
        until(lambda: handled >= wanted, lambda: f"{len(handled)} of {len(wanted)} are handled")
        assert handled == wanted
        until(lambda: plain.count(f"Listener-{name}.dead") == 1, "the dead letter is kept")
        proxy.refuse()
        manager.stop()
        assert plain.count(f"Listener-{name}.dead") == 1


@pytest.mark.parametrize("setting", sorted(UNCHANGEABLE))
def test_events_of_one_key_are_all_there(strange: Artemis, unique: Callable[[str], str], setting: str):
    with on(strange, unique("keyed"), ONE_BY_ONE[setting]) as (bench, plain):
        recorder = bench.listen_active()
        for number in range(5):
            message = ProtonMessage(
                body=str(number).encode(), durable=True, properties={"k": "same", "_AMQ_LVQ_NAME": "same"}
            )
            plain.send(bench.topic.topic, message)
        assert plain.count(bench.queue.group) == 5
        recorder.handle.window(10)
        recorder.wait(5)


def test_the_first_listener_gets_events_at_once(strange: Artemis, unique: Callable[[str], str]):
    for setting in ("defaultConsumersBeforeDispatch", "defaultDelayBeforeDispatch"):
        settings = {"defaultDelayBeforeDispatch": 600_000, **ONE_BY_ONE[setting]}
        with on(strange, unique(setting), settings) as (bench, _):
            recorder = bench.listen_active(window=10)
            bench.put("a")
            recorder.wait(1)


def test_a_fourth_process_consumes_too(strange: Artemis, unique: Callable[[str], str]):
    with on(strange, unique("fourth"), ONE_BY_ONE["defaultMaxConsumers"]) as (bench, _), ExitStack() as stack:
        for number in range(4):
            other = stack.enter_context(opened(strange, unique(f"other{number}")))
            other.listen_active(bench.queue, window=1)


# -- a reconnect ------------------------------------------------------------------------------------------------------


def test_a_reconnect_finds_the_queue_as_the_start_left_it(strange: Artemis, unique: Callable[[str], str]):
    with Proxy(strange.port) as proxy, on(strange, unique("again"), SUPPLIED, port=proxy.port) as (bench, _):
        recorder = accepting(bench.listen_active(window=10))
        for number in range(1, 4):
            proxy.reset()
            bench.put(str(number))
            recorder.wait(number)
        states = [state for state, _, _ in recorder.states.items()]
        assert SubscriptionState.FAILED not in states


@pytest.mark.parametrize("kind", ["amqp"], indirect=True)
def test_a_reconnect_is_not_refused_for_what_the_start_could_not_see(
    make_artemis: Callable[..., Artemis], caplog: pytest.LogCaptureFixture
):
    """The user gets the right to manage in between; without it, the queue was accepted as it is.

    Over AMQP alone: a STOMP provider that was refused the right doesn't ask again.
    """
    rights = frozenset({"send", "consume", "createAddress", "createDurableQueue", "createNonDurableQueue"})
    broker = make_artemis(users=[User(name="plain", password="secret", permissions=rights)])
    with Proxy(broker.port) as proxy, PlainClient(broker) as plain:
        set_for(plain, "later", {"defaultLastValueQueue": True, "defaultRingSize": 5000})
        with opened(broker, "later", port=proxy.port, user="plain", password="secret") as bench:
            recorder = accepting(bench.listen_active(window=10))
            assert caplog.text.count("management is closed") == 1
            plain.manage("broker", "addSecuritySettings", "activemq.management", *["all,plain"] * 10)
            proxy.reset()
            until(lambda: "last-value true instead of false" in caplog.text, "it is warned of")
            recorder.states.until(lambda states: states[-1][0] is SubscriptionState.ACTIVE, "it consumes")
            bench.put("a")
            recorder.wait(1)
            row = plain.queue(bench.queue.group)
            assert row is not None
            # What can be changed was.
            assert (row["ringSize"], row["lastValue"]) == ("-1", "true")


# -- without the right to manage -------------------------------------------------------------------------------------


def test_without_management_one_warning_names_the_queues_and_what_is_unchecked(
    strange: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
):
    name = unique("unmanaged")
    events = [event_named(f"Event{number}-{name}") for number in range(3)]
    handled: list[int] = []
    listeners = [listener_of(each, f"L{number}-{name}", handled.append) for number, each in enumerate(events)]
    place = {"host": strange.host, "port": strange.port, "user": "plain", "password": "secret"}
    settings: dict[str, Any] = {Bench.kind: place}
    with EventManager.from_config(provider=Bench.kind, listeners=listeners, pipelines=[], **settings) as manager:
        for number, each in enumerate(events):
            manager.send_event(each(number=number))
        until(lambda: sorted(handled) == [0, 1, 2], "all are handled")
    [warning] = [each.getMessage() for each in caplog.records if "management is closed" in each.getMessage()]
    for part in (f"L0-{name}", "ring-size", "purge-on-no-consumers", "manage", "send"):
        assert part in warning


# -- what no queue can override --------------------------------------------------------------------------------------

BREAKING: dict[str, tuple[dict[str, Any], str, str]] = {
    "DROP": ({"addressFullMessagePolicy": "DROP"}, "address-full-policy = DROP", "drops them"),
    "page DROP": (
        {"addressFullMessagePolicy": "PAGE", "pageLimitMessages": 10, "pageFullMessagePolicy": "DROP"},
        "page-full-policy = DROP",
        "drops them",
    ),
    "expiry": ({"expiryDelay": 600_000}, "expiry-delay = 600000", "within 600000 ms is moved to 'ExpiryQueue'"),
    "max expiry": ({"maxExpiryDelay": 600_000}, "max-expiry-delay = 600000", "is moved to 'ExpiryQueue'"),
    "min expiry": ({"minExpiryDelay": 600_000}, "min-expiry-delay = 600000", "expire after 600000 ms"),
    "no expiry": ({"noExpiry": True}, "no-expiry = true", "expired messages are handled"),
    "attempts": ({"maxDeliveryAttempts": 3}, "max-delivery-attempts = 3", "is moved to 'DLQ'"),
}


@pytest.mark.parametrize(("settings", "named", "effect"), BREAKING.values(), ids=BREAKING)
def test_what_no_queue_can_override_is_warned_of_at_start(
    strange: Artemis,
    unique: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    named: str,
    effect: str,
):
    with on(strange, unique("warned"), settings) as (bench, _):
        bench.listen_active()
        element = named.partition(" ")[0]
        for address in (bench.topic.topic, f"{bench.queue.group}.dead"):
            until(lambda address=address: f"{named} of {address!r}" in caplog.text, "a warning")  # type: ignore[misc]
            [warning] = [each.getMessage() for each in caplog.records if f"{named} of {address!r}" in each.getMessage()]
            assert effect in warning
            assert f"<{element}>" in warning


def test_what_slow_listeners_lose_is_warned_of_for_their_address(
    strange: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
):
    settings = {"slowConsumerPolicy": "KILL", "slowConsumerThreshold": 10}
    with on(strange, unique("slow"), settings) as (bench, _):
        bench.listen_active()
        until(lambda: f"slow-consumer-policy = KILL of {bench.topic.topic!r}" in caplog.text, "a warning")
        assert caplog.text.count("slow-consumer-policy = KILL") == 1


def test_who_only_sends_is_warned_too(strange: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture):
    settings = {"addressFullMessagePolicy": "DROP", "maxDeliveryAttempts": 3}
    with on(strange, unique("sends"), settings) as (bench, plain):
        make(plain, bench.queue)
        for _ in range(3):
            bench.put("a")
        until(lambda: "address-full-policy = DROP" in caplog.text, "a warning")
        assert caplog.text.count("address-full-policy") == 3  # in one warning: named, and twice in the line to change
        assert "max-delivery-attempts" not in caplog.text


def test_an_address_that_the_broker_may_delete_is_warned_of(
    strange: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
):
    with on(strange, unique("deleted"), {"configDeleteAddresses": "FORCE"}) as (bench, plain):
        plain.manage("broker", "createAddress", bench.topic.topic, "MULTICAST")
        bench.listen_active()
        until(lambda: f"config-delete-addresses = FORCE of {bench.topic.topic!r}" in caplog.text, "a warning")
        # The dead letters' address is made by us, and so stays.
        bench.put("x")
        assert f"{bench.queue.group}.dead" not in caplog.text


HARMLESS = {
    "addressFullMessagePolicy": "FAIL",
    "maxSizeMessages": 100_000,
    "pageLimitMessages": 100_000,
    "pageFullMessagePolicy": "FAIL",
    "slowConsumerPolicy": "NOTIFY",
    "slowConsumerThreshold": 10,
    "redeliveryDelay": 5000,
    "maxDeliveryAttempts": 10,
    "expiryDelay": -1,
    "retroactiveMessageCount": 0,
    "configDeleteQueues": "FORCE",
    "configDeleteAddresses": "FORCE",
}


@pytest.mark.parametrize("settings", [{}, HARMLESS], ids=["usual", "harmless"])
def test_what_breaks_nothing_is_not_warned_of(
    strange: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture, settings: dict[str, Any]
):
    with on(strange, unique("fine"), settings) as (bench, _):
        bench.listen_active()
        # Answers come in order: those about the settings have come before.
        bench.put("x")
        bench.put("y", to=bench.dead)
        assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_every_attribute_that_a_setting_supplies_is_tried_here():
    settings = {each.setting for each in ATTRIBUTES if each.setting}
    tried = {camel(setting) for setting in settings}
    assert tried <= SUPPLIED.keys()


def camel(setting: str) -> str:
    first, *rest = setting.split("-")
    return first + "".join(part.capitalize() for part in rest)


def test_two_threads_of_starts_make_one_queue(strange: Artemis, unique: Callable[[str], str]):
    """Several processes that start at once find each other's queues in the making."""
    with on(strange, unique("race"), SUPPLIED) as (bench, plain), ExitStack() as stack:
        others = [stack.enter_context(opened(strange, unique(f"racer{number}"))) for number in range(4)]
        barrier = threading.Barrier(len(others))
        failures: list[BaseException] = []

        def start(other: Bench) -> None:
            try:
                barrier.wait(30)
                other.listen_active(bench.queue, window=1)
            except BaseException as error:  # noqa: BLE001 (told by the test)
                failures.append(error)

        threads = [threading.Thread(target=start, args=(other,)) for other in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failures
        session: Any = others[0].provider._connection.session  # type: ignore[attr-defined]
        row = plain.queue(bench.queue.group)
        assert row is not None
        assert differences(session.node(bench.queue).queue, of_row(row)) == []


# -- the warnings are true --------------------------------------------------------------------------------------------


def test_with_a_redelivery_delay_later_events_overtake_over_stomp_alone(
    strange: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture, kind: str
):
    events = [f"{number}{'x' * 3000}" for number in range(30)]
    name = unique("late")
    over_stomp = kind == "stomp"
    options = {"prefetch_bytes": 4096} if over_stomp else {}
    with (
        Proxy(strange.port) as proxy,
        on(strange, name, {"redeliveryDelay": 1000}, port=proxy.port, **options) as on_it,
    ):
        bench, _ = on_it
        recorder = bench.listen_active(window=1, exclusive=True)
        bench.put(*events)
        recorder.wait(1)
        recorder.size = 100
        recorder.react = lambda batch: recorder.settle([*batch])
        proxy.reset()
        recorder.wait(1 + len(events))
        assert (recorder.bodies()[1:] != events) is over_stomp
        assert sorted(recorder.bodies()[1:]) == sorted(events)
        warning = f"redelivery-delay = 1000 of {bench.topic.topic!r}"
        assert (warning in caplog.text) is over_stomp


def test_a_full_address_that_drops_confirms(strange: Artemis, unique: Callable[[str], str]):
    settings = {"addressFullMessagePolicy": "DROP", "maxSizeMessages": 10}
    with on(strange, unique("full"), settings) as (bench, plain):
        bench.listen_active()
        bench.put(*map(str, range(100)))
        assert plain.count(bench.queue.group) < 100


@pytest.mark.parametrize("setting", ["expiryDelay", "maxExpiryDelay", "minExpiryDelay"])
def test_dead_letters_expire(strange: Artemis, unique: Callable[[str], str], setting: str):
    with on(strange, unique("expires"), {setting: 1}) as (bench, plain):
        bench.put("a", to=bench.dead)
        name = f"{bench.queue.group}.dead"
        until(lambda: int((plain.queue(name) or {})["messagesExpired"]) == 1, "it expires")
