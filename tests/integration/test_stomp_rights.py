"""Artemis over STOMP ends the connection for each refusal: it fails what it is about, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from eventing_core import EventManager, errors
from eventing_core.provider import Destination, SubscriptionState
from eventing_core.provider.sockets import _consumer
from eventing_core.testing import Recorder
from eventing_stomp import StompProvider
from eventing_stomp._rights import Rights
from eventing_stomp._session import StompSession
from examples.artemis import Artemis, User
from tests.support.bench import Bench, accepting, failure_of, opened
from tests.support.waiting import until
from tests.support.workers import event_named, listener_of

TIMEOUT = 30.0
CORE = "{urn:activemq:core}"

#: What is refused is refused within this time, in seconds: nobody waits for a deadline.
SOON = 10.0

RIGHTS = frozenset(
    {
        *("send", "consume", "browse", "manage", "createAddress", "deleteAddress"),
        *("createDurableQueue", "deleteDurableQueue", "createNonDurableQueue", "deleteNonDurableQueue"),
    }
)

MANAGEMENT = "activemq.management"

#: Users, by the one right that each lacks, and where.
LACKS = {
    "reader": ("send", "Closed.#"),
    "writer": ("consume", "Closed.#"),
    "unmanaged": ("manage", "activemq.management"),
    "unnotified": ("consume", "activemq.notifications"),
    "no-reply-address": ("createAddress", "activemq.management.#"),
    "no-reply-queue": ("createNonDurableQueue", "activemq.management.#"),
    "no-replies": ("consume", "activemq.management.#"),
    "unanswered": ("send", "activemq.management.#"),
}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artemis]:
    reason = Artemis.unavailable()
    if reason:
        pytest.skip(reason)

    def close(core: Any) -> None:
        settings = core.find(f"{CORE}security-settings")
        everyone = settings.find(f"{CORE}security-setting[@match='#']/{CORE}permission").get("roles").split(",")
        for match in {where for _, where in LACKS.values()}:
            setting = core.makeelement(f"{CORE}security-setting", {"match": match})
            for right in sorted(RIGHTS):
                roles = ",".join(role for role in everyone if LACKS.get(role) != (right, match))
                setting.append(core.makeelement(f"{CORE}permission", {"type": right, "roles": roles}))
            settings.append(setting)

    users = [User(name=name, password="secret", permissions=RIGHTS) for name in LACKS]
    users.append(User(name="poor", password="secret", permissions=frozenset({"send"})))
    with Artemis(folder=tmp_path_factory.mktemp("narrow") / "broker", users=users, edit=close) as broker:
        yield broker


@pytest.fixture(autouse=True)
def stomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "kind", "stomp")


def queue_of(event: str, server: str = "") -> Destination:
    return Destination(event, f"Listener-{event}", server, "queue", durable=True)


def topic_of(event: str) -> Destination:
    return Destination(event, durable=True)


def connections(bench: Bench) -> int:
    return sum(connected for connected, _ in bench.connected.items())


def test_sends_without_the_right_to_it_fail_alone(narrow: Artemis, unique: Callable[[str], str]):
    closed, other = unique("Closed.Event"), unique("Open.Event")
    with opened(narrow, "admin") as admin, opened(narrow, "reader", user="reader", password="secret") as bench:
        consuming = accepting(bench.listen_active(queue_of(closed), window=10))
        neighbour = accepting(bench.listen_active(queue_of(other), window=10))
        began = time.monotonic()
        refused = bench.send("a", to=topic_of(closed))
        confirmed = bench.send(*"abc", to=topic_of(other))
        copy = bench.send("a", to=queue_of(closed))
        for done in (refused, copy):
            ((_, error),) = done.wait(1)
            assert isinstance(error, errors.SendRejectedError)
            assert closed in str(error)
        assert [error for _, error in confirmed.wait(3)] == [None] * 3
        assert time.monotonic() - began < SOON
        neighbour.wait(3)
        # From the address to which it may not send it consumes.
        admin.put("b", to=topic_of(closed))
        consuming.wait(1)
        assert consuming.bodies() == ["b"]
        assert connections(bench) <= 3


def test_many_sends_without_the_right_to_it_end_soon_and_others_go_on(narrow: Artemis, unique: Callable[[str], str]):
    closed, other = unique("Closed.Event"), unique("Open.Event")
    with opened(narrow, "admin") as admin, opened(narrow, "reader", user="reader", password="secret") as bench:
        admin.listen_active(queue_of(closed))
        neighbour = accepting(bench.listen_active(queue_of(other), window=10))
        for _ in range(3):
            began = time.monotonic()
            refused = bench.send(*map(str, range(2_000)), to=topic_of(closed))
            confirmed = bench.send("a", to=topic_of(other))
            assert all(isinstance(error, errors.SendRejectedError) for _, error in refused.wait(2_000))
            assert confirmed.wait(1)[0][1] is None
            assert time.monotonic() - began < SOON
        neighbour.wait(3)
        # One connection for each of two refusals, of each round.
        assert connections(bench) <= 1 + 3 * 2


def test_a_listener_without_the_right_to_it_fails_alone(narrow: Artemis, unique: Callable[[str], str]):
    closed, first, second = unique("Closed.Event"), unique("Open.Event"), unique("Other.Event")
    with opened(narrow, "writer", user="writer", password="secret") as bench:
        before = accepting(bench.listen_active(queue_of(first), window=10))
        began = time.monotonic()
        refused = bench.listen(queue_of(closed))
        after = bench.listen(queue_of(second), window=10)
        error = failure_of(refused)
        assert time.monotonic() - began < SOON
        assert type(error) is errors.SubscriptionError
        for part in (closed, queue_of(closed).group, "permission"):
            assert part in str(error)
        after.wait_active()
        # Who sends the same event goes on, too.
        with opened(narrow, "admin") as admin:
            consuming = accepting(admin.listen_active(queue_of(closed), window=10))
            for event in (closed, first, second):
                bench.put("a", to=topic_of(event))
            consuming.wait(1)
        before.wait(1)
        accepting(after).wait(1)
        assert f"lacks the permission 'consume' on '{closed}'" in str(error)
        # It was refused once, and is not tried again.
        assert connections(bench) <= 2
        assert len(refused.states.items()) == 1


@pytest.mark.parametrize(
    "user", [user for user, (_, where) in LACKS.items() if where.startswith("activemq.management")]
)
def test_without_a_right_that_management_needs_all_works_without_it(
    narrow: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture, user: str
):
    event = unique("Open.Event")
    with opened(narrow, user, user=user, password="secret") as bench:
        recorder = accepting(bench.listen_active(queue_of(event), window=10))
        bench.put("a", to=topic_of(event))
        recorder.wait(1)
        # Artemis seldom says what is missing: it is tried a few times.
        assert connections(bench) <= 4
        assert caplog.text.count("management is closed") == 1
        assert caplog.text.count("may not have temporary queues") == (1 if user.startswith("no-") else 0)


def test_without_notifications_all_works_after_one_more_connection(
    narrow: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
):
    event = unique("Open.Event")
    with opened(narrow, "unnotified", user="unnotified", password="secret") as bench:
        recorder = accepting(bench.listen_active(queue_of(event), window=10))
        for number in range(3):
            bench.put("a", to=topic_of(event))
            recorder.wait(number + 1)
        assert connections(bench) == 2
        assert caplog.text.count("may not consume its notifications") == 1
        assert "management is closed" not in caplog.text
        narrow.restart()
        bench.connected.until(lambda seen: len(seen) >= 5 and seen[-1][0], "it is connected again")
        bench.put("a", to=topic_of(event))
        # It is not tried again.
        assert connections(bench) == 3


def test_the_right_to_send_that_is_missing_is_named_and_asked_for(
    narrow: Artemis, unique: Callable[[str], str], caplog: pytest.LogCaptureFixture
):
    closed = unique("Closed.Event")
    with opened(narrow, "admin") as admin, opened(narrow, "reader", user="reader", password="secret") as bench:
        admin.listen_active(queue_of(closed))
        ((_, guess),) = bench.send("a", to=topic_of(closed)).wait(1)
        assert f"probably the user 'reader' lacks the permission 'send' on '{closed}'" in str(guess)
        fact = f"the user 'reader' lacks the permission 'send' on '{closed}': grant it to one of the user's roles"
        until(lambda: fact in caplog.text, "management has told it", SOON)
        ((_, known),) = bench.send("a", to=topic_of(closed)).wait(1)
        assert fact in str(known)
        assert "probably" not in str(known)


def test_of_a_right_that_is_there_the_reason_is_another(narrow: Artemis, unique: Callable[[str], str]):
    rights = Rights("writer")
    with opened(narrow, "writer", user="writer", password="secret") as bench:
        connection: Any = bench.provider._connection  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        assert "probably" in rights.why("send", unique("Closed.Event"), "AMQ339011 Error sending message")
        connection.loop.post(lambda _: rights.ask(connection.session.management), None)
        has = "although the user has the permission send: see the broker's log"
        until(lambda: has in rights.why("send", unique("Closed.Event"), "AMQ339011"), "management has told it", SOON)


@pytest.mark.parametrize("kind", ["amqp", "stomp"])
def test_rights_that_the_broker_names(
    narrow: Artemis, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, kind: str
):
    monkeypatch.setattr(Bench, "kind", kind)
    event = unique("Unheard.Event")
    with opened(narrow, "poor", user="poor", password="secret") as bench:
        ((_, error),) = bench.send("a", to=topic_of(event)).wait(1)
        assert f"the user 'poor' lacks the permission 'createAddress' on '{event}': grant it to" in str(error)
        queue = queue_of(event)
        error = failure_of(bench.listen(queue))
        assert f"lacks the permission 'createAddress' on '{queue.group}.dead': grant it to one of the" in str(error)
    if kind == "amqp":
        with opened(narrow, "reader", user="reader", password="secret") as bench:
            closed = unique("Closed.Event")
            ((_, error),) = bench.send("a", to=topic_of(closed)).wait(1)
            assert f"the user 'reader' lacks the permission 'send' on '{closed}': grant it to" in str(error)
        with opened(narrow, "writer", user="writer", password="secret") as bench:
            error = failure_of(bench.listen(queue_of(closed)))
            assert f"the user 'writer' lacks the permission 'consume' on '{closed}'" in str(error)


def manager_of(broker: Artemis, user: str, *listeners: Any) -> EventManager:
    provider = StompProvider("server", broker.host, broker.port, user, "secret", backoff_initial=0.05, backoff_max=0.3)
    return EventManager(provider, listeners=listeners, pipelines=[])


def test_a_manager_that_may_consume_and_not_send(narrow: Artemis, unique: Callable[[str], str]):
    closed, other = event_named(unique("Closed.Event")), event_named(unique("Open.Event"))
    handled: dict[str, list[int]] = {"closed": [], "other": []}
    manager = manager_of(
        narrow,
        "reader",
        listener_of(closed, unique("Closed"), handled["closed"].append),
        listener_of(other, unique("Open"), handled["other"].append),
    )
    with manager:
        for number in range(3):
            with pytest.raises(errors.SendRejectedError, match="Closed"):
                manager.send_event(closed(number=number), timeout=SOON)
            manager.send_event(other(number=number), timeout=SOON)
        with opened(narrow, "admin") as admin:
            admin.put('{"number": 7}', to=topic_of(unique("Closed.Event")))
        until(lambda: handled["closed"] == [7] and {*handled["other"]} == {0, 1, 2}, lambda: str(handled))
        until(lambda: manager.health().consuming, "all listeners are there")


def test_a_manager_whose_listener_lacks_a_right_does_not_start(narrow: Artemis, unique: Callable[[str], str]):
    listener = listener_of(event_named(unique("Closed.Event")), unique("Closed"), abs)
    good = listener_of(event_named(unique("Open.Event")), unique("Open"), abs)
    manager = manager_of(narrow, "writer", good, listener)
    began = time.monotonic()
    with pytest.raises(errors.SubscriptionError, match="Closed"):
        manager.start()
    manager.stop()
    assert time.monotonic() - began < SOON


# -- server names -----------------------------------------------------------------------------------------------------


def outcome(recorder: Recorder) -> str:
    """What becomes of a subscription."""
    inactive = SubscriptionState.INACTIVE
    states = recorder.states.until(lambda states: bool(states) and states[-1][0] is not inactive, "it is told")
    return "has it" if states[-1][2] is None else type(states[-1][2]).__name__


def test_of_two_that_start_at_once_one_has_the_name(narrow: Artemis, unique: Callable[[str], str]):
    with ExitStack() as stack:
        benches = [stack.enter_context(opened(narrow, name, server_name_timeout=0)) for name in ("one", "two")]
        for number in range(40):
            queue = queue_of(unique(f"Raced{number}"), "same")
            # Both I/O threads take it up at once.
            recorders = [bench.listen(queue, window=10) for bench in benches]
            assert sorted(map(outcome, recorders)) == ["ServerNameInUseError", "has it"]
            for recorder in recorders:
                recorder.handle.close().result(TIMEOUT)


def test_a_name_that_others_take_between_look_and_subscription_is_waited_for_each_time(
    narrow: Artemis, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
):
    queue = queue_of(unique("Raced"), "same")
    # As if nobody had the queue yet, twice.
    seen = [False, True, False]
    inherited = StompSession.consumers

    def consumers(self: StompSession, of: Any, answer: Callable[[int], None]) -> None:
        if seen and not seen.pop(0):
            answer(0)
        else:
            inherited(self, of, answer)

    with opened(narrow, "one") as one, opened(narrow, "two", server_name_timeout=TIMEOUT) as two:
        first = one.listen_active(queue, window=10)
        monkeypatch.setattr(StompSession, "consumers", consumers)
        monkeypatch.setattr(_consumer, "_KNOCK", 0.05)
        second = two.listen(queue, window=10)
        until(lambda: not seen, "it has looked three times")
        first.handle.close().result(TIMEOUT)
        assert outcome(second) == "has it"
