"""What connections leave on a broker with the settings that `artemis create` writes: nothing of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from eventing_core.errors import UnroutedError
from examples.artemis import Artemis, User
from tests.support.bench import Bench, opened
from tests.support.plain import PlainClient
from tests.support.processes import StartWorker
from tests.support.proxy import Proxy
from tests.support.waiting import until

CONNECTIONS = 5

#: Addresses that are there once anybody was, however many there were.
SHARED = {"activemq.management", "activemq.management.eventing", "activemq.notifications"}

#: The broker's own, which it makes by the way.
OF_BROKER = {"$sys.mqtt.sessions"}


def names(plain: PlainClient) -> tuple[set[str], set[str]]:
    """The broker's queues and addresses."""
    lists = [json.loads(plain.manage("broker", what)) for what in ("getQueueNames", "getAddressNames")]
    queues, addresses = ({*one[0]} for one in lists)
    return queues, addresses


class Leftovers:
    """What has come since it was made. The client that looks is there all the time."""

    def __init__(self, plain: PlainClient) -> None:
        self._plain = plain
        self._before = names(plain)

    def now(self) -> tuple[set[str], set[str]]:
        (queues, addresses), (old_queues, old_addresses) = names(self._plain), self._before
        return queues - old_queues - OF_BROKER, addresses - old_addresses - OF_BROKER


def use(bench: Bench) -> None:
    """Have management and notifications used."""
    bench.listen_active()
    bench.put("a")


def own(*benches: Bench) -> tuple[set[str], set[str]]:
    """The queues and addresses of events and listeners, which are to stay."""
    queues = {name for bench in benches for name in (bench.queue.group, f"{bench.queue.group}.dead")}
    addresses = {name for bench in benches for name in (bench.topic.topic, f"{bench.queue.group}.dead")}
    return queues, addresses


def wait_for_nothing_else(leftovers: Leftovers, *benches: Bench) -> None:
    queues, addresses = own(*benches)

    def is_clean() -> bool:
        now = leftovers.now()
        return now[0] <= queues and now[1] <= addresses | SHARED

    until(is_clean, lambda: f"nothing is left: {leftovers.now()}", 30)


@pytest.mark.usefixtures("kind")
def test_connections_leave_no_queue_and_one_address_for_all(private_artemis: Artemis):
    with PlainClient(private_artemis) as plain:
        leftovers = Leftovers(plain)
        with ExitStack() as stack:
            benches = [stack.enter_context(opened(private_artemis, f"b{at}")) for at in range(CONNECTIONS)]
            for bench in benches:
                use(bench)
            # While they are there, too, there is one for all.
            assert leftovers.now()[1] <= own(*benches)[1] | SHARED
        wait_for_nothing_else(leftovers, *benches)


@pytest.mark.usefixtures("kind")
def test_connections_that_are_cut_leave_nothing(private_artemis: Artemis):
    with PlainClient(private_artemis) as plain, Proxy(private_artemis.port) as proxy:
        leftovers = Leftovers(plain)
        with opened(private_artemis, "cut", port=proxy.port) as bench:
            use(bench)
            for _ in range(CONNECTIONS):
                taken = proxy.accepted
                assert proxy.reset() == 1
                proxy.wait_until_accepted(taken + 1)
                bench.put("a")
        wait_for_nothing_else(leftovers, bench)


def test_processes_that_are_killed_leave_nothing(
    private_artemis: Artemis, start_worker: StartWorker, kind: str, tmp_path: Path
):
    with PlainClient(private_artemis) as plain:
        leftovers = Leftovers(plain)
        for number in range(2):
            worker = start_worker(private_artemis, f"w{number}", "listen", "Event", tmp_path, "Listener", provider=kind)
            worker.expect("ready", 60)
            worker.kill()

        def is_clean() -> bool:
            queues, addresses = leftovers.now()
            return queues <= {"Listener", "Listener.dead"} and addresses <= {"Event", "Listener.dead"} | SHARED

        until(is_clean, lambda: f"nothing is left: {leftovers.now()}", 30)


@pytest.mark.usefixtures("kind")
def test_answers_of_one_connection_reach_no_other(private_artemis: Artemis, unique: Callable[[str], str]):
    with ExitStack() as stack:
        benches = [stack.enter_context(opened(private_artemis, unique(f"b{at}"))) for at in range(CONNECTIONS)]
        # All ask at once, under numbers that count alike; of every other event there is a queue.
        for bench in benches[::2]:
            bench.listen_active()
        for _ in range(20):
            sent = [bench.send("a") for bench in benches]
            errors = [done.wait(1)[0][1] for done in sent]
            assert [isinstance(error, UnroutedError) for error in errors] == [False, True, False, True, False]


@pytest.mark.usefixtures("kind")
def test_a_user_who_may_delete_nothing_leaves_nothing(make_artemis: Callable[..., Artemis]):
    rights = {"send", "consume", "manage", "createAddress", "createDurableQueue", "createNonDurableQueue"}
    user = User(name="narrow", password="secret", permissions=frozenset(rights))
    broker = make_artemis(users=[user])
    with PlainClient(broker) as plain:
        leftovers = Leftovers(plain)
        with opened(broker, "narrow", user="narrow", password="secret") as bench:
            use(bench)
        wait_for_nothing_else(leftovers, bench)
