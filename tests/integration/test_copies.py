"""An original is accepted only once its copy is in the queue: read back from the broker, for each way to refuse it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from eventing_core import EventListener, EventManager, Retry, SendRejectedError, event, event_listener
from eventing_core.provider import Message
from eventing_core.provider.artemis import _producer
from eventing_core.receive.machine import _failing
from eventing_core.testing import Confirmations
from examples.artemis import Artemis, User
from tests.support.bench import Bench, opened
from tests.support.plain import PlainClient
from tests.support.proxy import Proxy
from tests.support.waiting import until
from tests.support.workers import Numbered, event_named, listener_of

TIMEOUT = 30.0
CORE = "{urn:activemq:core}"

RIGHTS = frozenset(
    {
        *("send", "consume", "browse", "manage", "createAddress", "deleteAddress"),
        *("createDurableQueue", "deleteDurableQueue", "createNonDurableQueue", "deleteNonDurableQueue"),
    }
)

#: Characters of a header with which a durable event just fits into a record of the broker's journal, and its dead
#: letter, which says more, does not: over STOMP each takes two bytes.
BRIM = {"amqp": 501_200, "stomp": 250_300}

pytestmark = pytest.mark.usefixtures("kind")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artemis]:
    """The user ``reader`` may not send to queues whose names begin by ``Closed.``; ``unmanaged`` may not manage."""
    reason = Artemis.unavailable()
    if reason:
        pytest.skip(reason)

    def close(core: Any) -> None:
        settings = core.find(f"{CORE}security-settings")
        everyone = settings.find(f"{CORE}security-setting[@match='#']/{CORE}permission").get("roles")
        setting = core.makeelement(f"{CORE}security-setting", {"match": "Closed.#"})
        for right in sorted(RIGHTS):
            roles = everyone.replace("reader", "") if right == "send" else everyone
            setting.append(core.makeelement(f"{CORE}permission", {"type": right, "roles": roles}))
        settings.append(setting)

    users = [
        User(name="reader", password="secret", permissions=RIGHTS),
        User(name="unmanaged", password="secret", permissions=RIGHTS - {"manage"}),
    ]
    folder: Path = tmp_path_factory.mktemp("copies") / "broker"
    with Artemis(folder=folder, users=users, edit=close, short_lived=True) as broker:
        yield broker


@pytest.fixture
def plain(broker: Artemis) -> Iterator[PlainClient]:
    with PlainClient(broker) as client:
        yield client


class Case:
    """One event and one listener, whose ``on`` always raises until it is repaired."""

    def __init__(self, broker: Artemis, kind: str, unique: Callable[[str], str], prefix: str = "") -> None:
        self.broker, self.kind = broker, kind
        self.event, self.queue = unique("Event"), unique(f"{prefix}Listener")
        self.dead = f"{self.queue}.dead"
        self.type = event_named(self.event)
        self.seen: list[int] = []
        self.handled: set[int] = set()
        self.repaired = False

    def on(self, number: int) -> None:
        self.seen.append(number)
        if not self.repaired:
            raise ValueError(number)
        self.handled.add(number)

    @contextmanager
    def manager(
        self, *, retry: Retry | None = None, user: str = "", listener: Any = None, **settings: Any
    ) -> Iterator[EventManager]:
        broker = self.broker
        place = {"host": broker.host, "port": broker.port, "user": user or broker.user}
        place["password"] = "secret" if user else broker.password
        table = {**place, "backoff_initial": 0.05, "backoff_max": 0.3}
        listener = listener or listener_of(
            self.type, self.queue, self.on, retry=retry or Retry(max_attempts=2, initial=0.01, pause_after=0)
        )
        options: dict[str, Any] = {"provider": self.kind, self.kind: table, "send_timeout": 5, **settings}
        with EventManager.from_config(listeners=[listener], pipelines=[], **options) as manager:
            yield manager

    def make(self, number: int = 1) -> Numbered:
        return self.type(number=number)


@pytest.fixture
def case(broker: Artemis, kind: str, unique: Callable[[str], str]) -> Case:
    return Case(broker, kind, unique)


def take(plain: PlainClient, case: Case) -> bytes:
    """The body of the next dead letter; of a message that is gone, its memory is gone, too."""
    letter = plain.take_dead(case.queue)
    return bytes(letter.body)


def limit(plain: PlainClient, address: str, policy: str, size: int = 20_000) -> None:
    """What the broker does where an address is full."""
    settings = {"maxSizeBytes": size, "addressFullMessagePolicy": policy, "pageSizeBytes": size // 4}
    plain.manage("broker", "addAddressSettings", address, json.dumps(settings))


def fill(case: Case, kind: str) -> int:
    """Fill the queue of the dead letters; how many are there."""
    with opened(case.broker, case.queue) as bench:
        dead = bench.dead.__class__(case.event, case.queue, kind="dead", durable=True)
        bench.listen_active(dead)
        for number in range(40):
            [(_, error)] = bench.send(f"{number}" + "x" * 2_000, to=dead, seconds=3).wait(1)
            if error:
                return number
    assert kind == "amqp" or number == 39
    return 40


# -- headers that the broker can't store ------------------------------------------------------------------------------


def test_a_dead_letter_too_large_for_the_journal_goes_without_its_largest_header(
    case: Case, plain: PlainClient, kind: str, caplog: pytest.LogCaptureFixture
):
    with case.manager() as manager:
        manager.send_event(case.make(), headers={"large": "y" * BRIM[kind], "small": "z"})
        until(lambda: plain.count(case.dead) == 1, "the dead letter is there", TIMEOUT)
        until(lambda: plain.count(case.queue) == 0, "the event is gone", TIMEOUT)
        assert not manager.health().listeners[0].error
    letter = plain.take_dead(case.queue)
    assert bytes(letter.body) == b'{"number":1}'
    assert letter.properties["small"] == "z"
    assert letter.properties["eventing_truncated"] == "large"
    assert letter.properties["eventing-reason"] == "failed"
    assert letter.properties["eventing-attempts"] == "2"
    assert "large" not in letter.properties
    until(lambda: caplog.text.count("without these headers: large") == 1, "it is logged", TIMEOUT)


def test_without_the_right_to_manage_it_is_the_same(case: Case, plain: PlainClient, kind: str):
    # Over STOMP nobody tells how large a record is then: each refusal costs the connection.
    with case.manager(user="unmanaged") as manager:
        manager.send_event(case.make(), headers={"large": "y" * BRIM[kind], "small": "z"})
        # Twice where the connection broke in between: over STOMP, a retry copy has no id to know a duplicate by.
        until(lambda: plain.count(case.dead) >= 1, "the dead letter is there", TIMEOUT)
        until(lambda: plain.count(case.queue) == 0, "the event is gone", TIMEOUT)
    letter = plain.take_dead(case.queue)
    assert letter.properties["small"] == "z"
    assert letter.properties["eventing_truncated"] == "large"


def test_of_many_headers_the_largest_go_in_few_tries(case: Case, plain: PlainClient, kind: str):
    # Together with the small ones, all of them just fit.
    count = 100
    headers = {f"key{number:03}": "y" * ((BRIM[kind] - 3_000) // count) for number in range(count)}
    with case.manager() as manager:
        manager.send_event(case.make(), headers={**headers, "filling": "z" * fill_up(kind, count)})
        until(lambda: plain.count(case.dead) == 1, "the dead letter is there", TIMEOUT)
        until(lambda: plain.count(case.queue) == 0, "the event is gone", TIMEOUT)
    letter = plain.take_dead(case.queue)
    names = letter.properties["eventing_truncated"].split(", ")
    assert 1 <= len(names) <= 3
    assert len(letter.properties.keys() & headers.keys()) == count - len(names)


def fill_up(kind: str, count: int) -> int:
    """Characters that together with so many headers reach the brim."""
    # What one header of 6 characters takes beside its value: in AMQP lengths, over STOMP lengths and two bytes each.
    beside = count * (8 + 5) if kind == "amqp" else count * (2 * 6 + 9) // 2
    return 3_000 - beside


def test_an_event_that_only_durable_queues_refuse_is_dead_lettered_as_well(
    broker: Artemis, kind: str, unique: Callable[[str], str], plain: PlainClient
):
    # Over STOMP, Artemis ends the connection of whoever receives longer headers.
    size = {"amqp": 600_000, "stomp": 255_000}[kind]

    @event(unique("Fleeting"))
    @dataclass
    class Fleeting:
        number: int

    name = unique("Listener")

    @event_listener(Fleeting, name=name, retry=Retry(max_attempts=2, initial=0.01, pause_after=0))
    class Failing(EventListener[Fleeting]):
        def on(self, event: Fleeting) -> None:
            raise ValueError(event.number)

    table = {"host": broker.host, "port": broker.port, "user": broker.user, "password": broker.password}
    options: dict[str, Any] = {"provider": kind, kind: table}
    with EventManager.from_config(listeners=[Failing], pipelines=[], **options) as manager:
        manager.send_event(Fleeting(7), headers={"x": "y" * size})
        until(lambda: plain.count(f"{name}.dead") == 1, "the dead letter is there", TIMEOUT)
    letter = plain.take_dead(name)
    assert (bytes(letter.body), letter.properties["eventing_truncated"]) == (b'{"number":7}', "x")


def test_a_retry_that_the_broker_can_not_store_is_held_and_loses_nothing(
    case: Case, plain: PlainClient, kind: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_failing, "HOLD_LIMIT", 0.0)
    with case.manager(retry=Retry(max_attempts=3, initial=0.2, jitter=0, pause_after=0)) as manager:
        manager.send_event(case.make(), headers={"large": "y" * (BRIM[kind] + 150), "small": "z"})
        until(lambda: case.seen == [1, 1], "the second attempt", TIMEOUT)
        case.repaired = True
        until(lambda: case.seen == [1, 1, 1], "the third attempt", TIMEOUT)
        until(lambda: plain.count(case.queue) == 0, "it is done", TIMEOUT)
        assert plain.count(case.dead) == 0


def test_a_retry_that_the_broker_can_not_store_goes_back_at_a_stop(
    case: Case, plain: PlainClient, kind: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_failing, "HOLD_LIMIT", 0.0)
    with case.manager(retry=Retry(max_attempts=3, initial=60, jitter=0, pause_after=0)) as manager:
        manager.send_event(case.make(), headers={"large": "y" * (BRIM[kind] + 150)})
        until(lambda: manager.health().listeners[0].held == 1, "it is held", TIMEOUT)
    assert plain.count(case.queue) == 1
    case.repaired = True
    with case.manager():
        until(lambda: plain.count(case.queue) == 0, "it is handled", TIMEOUT)
    assert case.seen == [1, 1]


# -- a rejected send, and its id --------------------------------------------------------------------------------------


def oversized(number: int = 1) -> Message:
    name = f"oversized{number}"
    return Message(b"x", {"large": "y" * 600_000}, name, name, durable=True)


def outcome(bench: Bench, message: Message, to: Any) -> Exception | None:
    done = Confirmations()
    bench.provider.producer(to).send([message], done, deadline=time.monotonic() + TIMEOUT)
    return done.wait(1)[0][1]


def test_what_was_rejected_is_rejected_again_and_not_taken_for_a_duplicate(
    broker: Artemis, plain: PlainClient, unique: Callable[[str], str]
):
    with opened(broker, unique("again")) as bench:
        bench.listen_active()
        queues = {
            bench.topic: bench.queue.group,
            bench.queue: bench.queue.group,
            bench.dead: f"{bench.queue.group}.dead",
        }
        for to, name in queues.items():
            for _ in range(2):
                error = outcome(bench, oversized(), to)
                assert isinstance(error, SendRejectedError), to
                assert error.permanent
                assert not error.in_doubt
                assert plain.count(name) == 0
        # Nobody else suffers.
        bench.put("good")
        assert plain.count(bench.queue.group) == 1
        assert len(bench.connected.items()) == 1


def test_what_is_sent_again_after_its_rejection_was_lost_is_not_confirmed(
    broker: Artemis, plain: PlainClient, unique: Callable[[str], str], kind: str
):
    with Proxy(broker.port) as proxy, opened(broker, unique("lost"), port=proxy.port) as bench:
        bench.listen_active()
        bench.put("before")
        proxy.hold_confirmations()
        done = Confirmations()
        bench.provider.producer(bench.topic).send([oversized()], done, deadline=time.monotonic() + TIMEOUT)
        if kind == "amqp":  # over STOMP it is refused before it is written
            proxy.wait_until_held(1)
            proxy.reset()
            proxy.wait_until_accepted(2)
        proxy.release_confirmations()
        ((_, error),) = done.wait(1)
        assert isinstance(error, SendRejectedError)
        assert plain.count(bench.queue.group) == 1


def test_several_rejected_at_once_leave_nothing_confirmed_that_is_not_there(
    broker: Artemis, plain: PlainClient, unique: Callable[[str], str]
):
    with opened(broker, unique("many")) as bench:
        bench.listen_active()
        limit(plain, bench.topic.topic, "FAIL")
        bodies = [f"{number}" + "x" * 2_000 for number in range(60)]
        results = bench.send(*bodies).wait(60)
        confirmed = [index for index, error in results if error is None]
        assert 0 < len(confirmed) < 60
        assert plain.count(bench.queue.group) >= len(confirmed)
        limit(plain, bench.topic.topic, "FAIL", 10_000_000)
        # After the refusals, under the same connection or the next one: none is taken for a duplicate.
        until(lambda: bench.send("late").wait(1)[0][1] is None, "there is room again", TIMEOUT)
        again = bench.send(*bodies).wait(60)
        assert [error for _, error in again if error] == []


# -- other refusals: the copy arrives once the reason is gone ---------------------------------------------------------


def stays_until(case: Case, plain: PlainClient, manager: EventManager, repair: Callable[[], object]) -> None:
    """The event stays while its dead letter is refused, and leaves only when that is in its queue."""
    until(lambda: "can't be stored" in manager.health().listeners[0].error, "health tells of it", TIMEOUT)
    assert plain.count(case.queue) == 1
    repair()
    until(lambda: plain.queue(case.dead) is not None and plain.count(case.dead) >= 1, "the dead letter", TIMEOUT)
    until(lambda: plain.count(case.queue) == 0, "the event is gone", TIMEOUT)
    until(lambda: not manager.health().listeners[0].error, "health tells of nothing", TIMEOUT)


def test_without_the_right_to_its_queue_a_dead_letter_waits(
    broker: Artemis, kind: str, unique: Callable[[str], str], plain: PlainClient
):
    case = Case(broker, kind, unique, "Closed.")
    everyone = "reader,all"
    with case.manager(user="reader") as manager:
        manager.send_event(case.make())
        stays_until(
            case,
            plain,
            manager,
            lambda: plain.manage("broker", "addSecuritySettings", case.dead, *[everyone] * 8),
        )
    assert take(plain, case) == b'{"number":1}'


def test_a_dead_letter_whose_queue_another_address_has_waits(case: Case, plain: PlainClient):
    with case.manager() as manager:
        plain.manage("broker", "destroyQueue", case.dead, True, False)
        queue = {"name": case.dead, "address": f"Other{case.dead}", "routing-type": "MULTICAST"}
        plain.manage("broker", "createQueue", json.dumps({**queue, "auto-create-address": True}), True)
        manager.send_event(case.make())
        # Over STOMP the refusal ends the connection, and the next one can't be prepared.
        until(lambda: bool(manager.health().listeners[0].error), "health tells of it", TIMEOUT)
        assert plain.count(case.queue) == 1
        assert plain.count(case.dead) == 0
        plain.manage("broker", "destroyQueue", case.dead, True, True)
        until(lambda: plain.queue(case.dead) is not None and plain.count(case.dead) == 1, "the dead letter", TIMEOUT)
        until(lambda: plain.count(case.queue) == 0, "the event is gone", TIMEOUT)
    assert take(plain, case) == b'{"number":1}'


@pytest.mark.parametrize("automatic", [True, False])
def test_a_dead_letter_whose_queue_is_gone_has_it_made_again(case: Case, plain: PlainClient, automatic: bool):
    settings = {"autoCreateQueues": automatic, "autoCreateAddresses": automatic}
    plain.manage("broker", "addAddressSettings", case.dead, json.dumps(settings))
    with case.manager(retry=Retry(max_attempts=1, pause_after=0)) as manager:
        # The first one makes a link, over AMQP.
        manager.send_event(case.make(1))
        until(lambda: plain.count(case.dead) == 1, "the dead letter is there", TIMEOUT)
        plain.manage("broker", "destroyQueue", case.dead, True, True)
        manager.send_event(case.make(2))
        until(lambda: plain.queue(case.dead) is not None and plain.count(case.dead) == 1, "the dead letter", TIMEOUT)
        until(lambda: plain.count(case.queue) == 0, "the event is gone", TIMEOUT)
    assert take(plain, case) == b'{"number":2}'


@pytest.mark.parametrize("policy", ["BLOCK", "FAIL", "PAGE", "DROP"])
def test_an_event_leaves_only_when_its_dead_letter_is_in_a_full_queue(
    case: Case, plain: PlainClient, kind: str, policy: str
):
    limit(plain, case.dead, policy)
    fill(case, kind)
    before = plain.count(case.dead)
    with case.manager(retry=Retry(max_attempts=1, pause_after=0), send_timeout=2) as manager:
        manager.send_event(case.make())
        # Over STOMP, Artemis takes what comes to an address with BLOCK; over AMQP, what it has given credit for.
        if policy in {"FAIL", "DROP"} or (policy, kind) == ("BLOCK", "amqp"):
            until(lambda: "can't be stored" in manager.health().listeners[0].error, "health tells", TIMEOUT)
            assert (plain.count(case.queue), plain.count(case.dead)) == (1, before)
            plain.manage(f"queue.{case.dead}", "removeMessages", "")
        until(lambda: plain.count(case.queue) == 0, "the event is gone", 60)
    left = [take(plain, case) for _ in range(plain.count(case.dead))]
    assert left.count(b'{"number":1}') == 1


def test_an_event_leaves_only_when_its_dead_letter_is_in_a_queue_whose_pages_are_full(case: Case, plain: PlainClient):
    settings = {"maxSizeBytes": 1_000, "pageSizeBytes": 500, "addressFullMessagePolicy": "PAGE"}
    full = {"pageLimitMessages": 1, "pageFullMessagePolicy": "DROP"}
    plain.manage("broker", "addAddressSettings", case.dead, json.dumps({**settings, **full}))
    with case.manager(retry=Retry(max_attempts=1, pause_after=0), send_timeout=2) as manager:
        for number in range(6):
            manager.send_event(case.make(number))
        until(lambda: "can't be stored" in manager.health().listeners[0].error, "health tells of it", TIMEOUT)
        limit(plain, case.dead, "PAGE", 10_000_000)
        until(lambda: plain.count(case.queue) == 0, "all are gone", 60)
    assert {json.loads(take(plain, case))["number"] for _ in range(plain.count(case.dead))} == set(range(6))


def drop(plain: PlainClient, case: Case) -> Callable[[], object]:
    limit(plain, case.dead, "DROP", 100)
    return lambda: limit(plain, case.dead, "PAGE", 10_000_000)


def disable(plain: PlainClient, case: Case) -> Callable[[], object]:
    plain.manage(f"queue.{case.dead}", "disable")
    return lambda: None


def let_nothing_in(plain: PlainClient, case: Case) -> Callable[[], object]:
    def change(condition: str) -> None:
        plain.manage("broker", "updateQueue", json.dumps({"name": case.dead, "filter-string": condition}))

    change("x = 'y'")
    return lambda: change("")


@pytest.mark.parametrize("change", [drop, disable, let_nothing_in])
def test_what_becomes_of_the_dead_letters_queue_is_noticed_while_it_is_used(
    case: Case,
    plain: PlainClient,
    change: Callable[[PlainClient, Case], Callable[[], object]],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(_producer, "_HOLDS", 0.5)
    with case.manager(retry=Retry(max_attempts=1, pause_after=0), send_timeout=2) as manager:
        manager.send_event(case.make(0))
        until(lambda: plain.count(case.dead) == 1, "the first dead letter", TIMEOUT)
        repair = change(plain, case)
        outdated = time.monotonic() + 0.6
        until(lambda: time.monotonic() > outdated, "what was seen holds no longer", TIMEOUT)
        for number in range(1, 4):
            manager.send_event(case.make(number))
        until(
            lambda: "can't be" in manager.health().listeners[0].error or plain.count(case.queue) == 0,
            "it is noticed",
            TIMEOUT,
        )
        repair()
        until(lambda: plain.count(case.queue) == 0, "all are gone", 60)
        until(lambda: not manager.health().listeners[0].error, "health tells of nothing", TIMEOUT)
    assert {json.loads(take(plain, case))["number"] for _ in range(plain.count(case.dead))} == set(range(4))


@pytest.mark.parametrize("policy", ["FAIL", "PAGE", "DROP"])
def test_no_delayed_copy_is_lost_where_the_events_address_is_full(
    case: Case, plain: PlainClient, policy: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_failing, "HOLD_LIMIT", 0.0)
    # The policy is looked at once for each connection.
    limit(plain, case.event, policy, 10_000_000)
    with case.manager(retry=Retry(max_attempts=9, initial=0.5, factor=1, jitter=0, pause_after=0)) as manager:
        for number in range(5):
            manager.send_event(case.make(number))
        until(lambda: {*case.seen} == set(range(5)), "all were tried", TIMEOUT)
        # Full by what is there already.
        limit(plain, case.event, policy, 100)
        until(lambda: all(case.seen.count(number) >= 2 for number in range(5)) or policy == "FAIL", "retries", TIMEOUT)
        case.repaired = True
        limit(plain, case.event, policy, 10_000_000)
        until(lambda: plain.count(case.queue) == 0, lambda: f"all are done: {case.seen}", 60)
    # Over STOMP, what is held keeps others waiting: some may have had their last attempt before the repair.
    dead = {json.loads(take(plain, case))["number"] for _ in range(plain.count(case.dead))}
    assert case.handled | dead == set(range(5))


# -- others go on -----------------------------------------------------------------------------------------------------

#: How the dead letters of a listener are refused, each over both transports; some refusals end a STOMP connection.
REFUSALS = ["right", "FAIL", "DROP"]


@pytest.mark.parametrize("prefetch", [1, 500])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_events_whose_dead_letters_are_refused_hold_up_no_others(
    broker: Artemis, kind: str, plain: PlainClient, unique: Callable[[str], str], refusal: str, prefetch: int
):
    case = Case(broker, kind, unique, "Closed." if refusal == "right" else "")
    bad, good = 12, 50
    raised: list[int] = []

    def on(number: int) -> None:
        if number < bad:
            raised.append(number)
            raise ValueError(number)
        case.handled.add(number)

    if refusal != "right":
        limit(plain, case.dead, refusal)
        fill(case, kind)
    before = plain.count(case.dead) if refusal != "right" else 0
    listener = listener_of(
        case.type, case.queue, on, prefetch=prefetch, retry=Retry(fatal=(ValueError,)), concurrency=1
    )
    with case.manager(listener=listener, user="reader" if refusal == "right" else "", send_timeout=3) as manager:
        for number in range(bad + good):
            manager.send_event(case.make(number))
        begun = time.monotonic()
        until(lambda: len(case.handled) == good, lambda: f"good ones: {len(case.handled)}, {manager.health()}", 60)
        seconds = time.monotonic() - begun
        row = manager.health().listeners[0]
        assert "can't be stored" in row.error
        assert row.consuming
        assert manager.health().degraded
        assert seconds < 30
        if refusal != "right":
            assert plain.count(case.dead) == before
            limit(plain, case.dead, refusal, 10_000_000)
            plain.manage(f"queue.{case.dead}", "removeMessages", "")
            until(lambda: plain.count(case.queue) == 0, lambda: f"{manager.health()}", 100)
            # A copy whose refusal and the change of the limit cross each other may be there twice.
            assert plain.count(case.dead) >= bad
    # One whose copy is not stored doesn't run again meanwhile, but for a connection that was lost before it had failed.
    assert set(raised) == set(range(bad))
