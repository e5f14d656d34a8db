"""What the provider is to its process: descriptors, threads, sleep, forks, and the slow way of calling the engine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventing_amqp import _engine
from eventing_core.provider import Destination, Message, Outcome
from examples.artemis import Artemis
from tests.support.bench import Bench, accepting, opened

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts by /proc"),
]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate())


def test_opening_and_closing_leaves_nothing(artemis: Artemis, unique: Callable[[str], str]):
    def cycle() -> None:
        with opened(artemis, unique("c")) as bench:
            recorder = accepting(bench.listen_active(window=10))
            bench.put("a", "b", "c")
            recorder.wait(3)

    cycle()
    before = descriptors(), threads()
    for _ in range(20):
        cycle()
    assert (descriptors(), threads()) == before


def test_one_thread_however_many_listeners(artemis: Artemis, unique: Callable[[str], str]):
    before = threads()
    with opened(artemis, unique("m")) as bench:
        for number in range(20):
            bench.listen_active(
                Destination(f"{bench.topic.topic}{number}", f"{unique('L')}-{number}", kind="queue"), window=10
            )
        assert len(threads()) == len(before) + 1


def switches(thread: int) -> int:
    """How often a thread went to sleep so far."""
    status = Path(f"/proc/self/task/{thread}/status").read_text(encoding="ascii")
    return int(status.partition("voluntary_ctxt_switches:")[2].split()[0])


def test_idle_it_sleeps(artemis: Artemis, unique: Callable[[str], str]):
    with opened(artemis, unique("i"), heartbeat=30) as bench:
        for number in range(10):
            bench.listen_active(
                Destination(f"{bench.topic.topic}{number}", f"{unique('L')}-{number}", kind="queue"), window=10
            )
        bench.put("a", to=Destination(f"{bench.topic.topic}0"))
        [io] = [thread for thread in threading.enumerate() if thread.name.startswith("eventing-amqp")]
        assert io.native_id
        quiet = threading.Event()
        # What is still on its way from the broker.
        quiet.wait(0.5)
        before = switches(io.native_id)
        quiet.wait(4)
        assert switches(io.native_id) - before <= 2


CHILD = """
import json, os, sys, threading, time
from eventing_amqp import AMQProvider
from eventing_core.provider import Destination, Message, Subscription
from eventing_core.testing import Confirmations, Recorder

settings = json.loads(sys.argv[1])
topic = Destination(settings["topic"], durable=True)
queue = Destination(settings["topic"], settings["listener"], kind="queue", durable=True)

def send(provider, body):
    done = Confirmations()
    message = Message(body=body, dedup_id=body.decode(), durable=True)
    provider.producer(topic).send([message], done, deadline=time.monotonic() + 10)
    assert done.wait(1) == [(0, None)], done.errors

provider = AMQProvider("fork", "127.0.0.1", settings["port"], settings["user"], settings["password"], heartbeat=1,
                       **settings.get("more", {}))
states = []
provider.open(lambda connected, error: states.append(connected))
recorder = Recorder(10)
recorder.attach(provider.subscribe(Subscription(destination=queue), recorder))
recorder.wait_active()
send(provider, b"parent before")
recorder.wait(1)
inherited = len(os.listdir("/proc/self/fd"))
child = os.fork()
if child == 0:
    code = 1
    try:
        provider.abandon()
        own = len(os.listdir("/proc/self/fd"))
        # The socket, the selector, and both ends of what wakes it up.
        assert own == inherited - 4, (inherited, own)
        assert not provider.health().connected
        provider.open(lambda *_: None)
        assert provider.health().generation == 1
        send(provider, b"child")
        provider.close(5)
        code = 0
    finally:
        os._exit(code)
assert os.waitpid(child, 0)[1] == 0
recorder.wait(2)
send(provider, b"parent after")
recorder.wait(3)
# Longer than the peer's silence may last.
threading.Event().wait(2.5)
assert states == [True], states
assert provider.health().generation == 1
recorder.settle(recorder.deliveries.items())
provider.close(5)
print(recorder.bodies())
"""


def run_child(settings: dict[str, object]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(settings)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_a_forked_child_leaves_the_parents_connection_alone(artemis: Artemis, unique: Callable[[str], str]):
    settings = {
        "port": artemis.port,
        "user": artemis.user,
        "password": artemis.password,
        "topic": unique("Event"),
        "listener": unique("Listener"),
    }
    assert run_child(settings)[0] == "['parent before', 'child', 'parent after']"


@pytest.fixture(params=["ctypes", "cffi"])
def bench(
    request: pytest.FixtureRequest, artemis: Artemis, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """On both ways of calling the engine."""
    if request.param == "cffi":
        monkeypatch.setattr(_engine, "load", _engine.load_by_cffi)
    with opened(artemis, unique("w")) as bench:
        yield bench


def test_both_ways_of_calling_the_engine_carry_messages(bench: Bench):
    recorder = bench.listen_active(window=100)
    bodies = [f"{number} ä" for number in range(200)]
    done = bench.send(*bodies)
    recorder.wait(100)
    recorder.settle(recorder.deliveries.items()[::2], Outcome.ACCEPT)
    recorder.settle(recorder.deliveries.items()[1:100:2], Outcome.RELEASE)
    accepting(recorder)
    recorder.settle(recorder.deliveries.items()[100:])
    assert [error for _, error in done.wait(200)] == [None] * 200
    recorder.deliveries.until(lambda _: set(recorder.bodies()) == set(bodies), "all of them come")
    recorder.wait(250)


def test_large_messages_beside_small_ones(bench: Bench):
    recorder = accepting(bench.listen_active(window=100))
    large = [str(number) * 2_000_000 for number in range(4)]
    bodies = [body for number in range(4) for body in (f"small {number}", large[number])]
    bench.put(*bodies)
    recorder.wait(8)
    assert recorder.bodies() == bodies


def test_a_listener_that_raises_in_the_drivers_calls_does_not_stop_it(bench: Bench):
    """The core never does; a provider's thread has to live all the same."""
    recorder = bench.listen_active(window=100)

    def fail(_: object) -> None:
        msg = "not handed over"
        raise RuntimeError(msg)

    recorder.react = fail
    raised = threading.Event()

    def done(_: int, __: Exception | None) -> None:
        raised.set()
        raise RuntimeError

    producer = bench.provider.producer(bench.topic)
    producer.send([Message(body=b"a")], done, deadline=time.monotonic() + 10)
    assert raised.wait(10)
    recorder.wait(1)
    bench.put("b")
    recorder.wait(2)


def test_windows_hold_while_they_change(bench: Bench):
    recorder = bench.listen_active()
    bench.put(*map(str, range(300)))
    largest = 0
    for size in (10, 1, 0, 50, 3, 0, 60, 5):
        recorder.handle.window(size)
        largest = max(largest, size)
        # Nothing is settled: as many are out as the largest window so far allowed.
        recorder.wait(largest)
        assert len(recorder.deliveries.items()) == largest
    recorder.handle.window(300)
    recorder.wait(300)
    recorder.settle(recorder.deliveries.items())
    recorder.handle.close().result(10)
    again = bench.listen_active(window=10)
    bench.put("last")
    again.wait(1)
    assert again.bodies() == ["last"]


def test_a_closed_window_takes_its_credit_back(bench: Bench, artemis: Artemis, unique: Callable[[str], str]):
    recorder = bench.listen_active(window=100)
    bench.put("first")
    recorder.wait(1)
    recorder.handle.window(0)
    bench.put("a", "b")
    with opened(artemis, unique("other")) as other:
        taker = other.listen_active(bench.queue, window=10)
        taker.wait(2)
        assert taker.bodies() == ["a", "b"]
    assert recorder.bodies() == ["first"]
    recorder.handle.window(100)
    recorder.wait(3)


def test_windows_lowered_under_load_never_stall(bench: Bench):
    recorder = bench.listen_active(window=50)
    settled: set[str] = set()
    sizes = iter((5, 0, 40, 1, 0, 100, 7, 0, 30, 2, 60) * 100)

    def react(batch: object) -> None:
        assert isinstance(batch, list)
        recorder.settle(batch)
        settled.update(delivery.message().body.decode() for delivery in batch)
        recorder.handle.window(next(sizes, 50))
        recorder.handle.window(50)

    recorder.react = react
    bodies = list(map(str, range(3000)))
    bench.put(*bodies)
    recorder.deliveries.until(lambda _: len(settled) == 3000, "everything comes")
