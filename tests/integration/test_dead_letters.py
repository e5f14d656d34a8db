"""Reading and replaying dead letters, as the documentation says, by examples/dead_letters.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import pytest

from eventing_core import EventListener, EventManager, Retry, event, event_listener
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.provider import Delivery, Destination, Message, Provider, Subscription
from eventing_core.testing import Confirmations, Recorder
from examples.artemis import Artemis
from examples.dead_letters import DeadLetters, TruncatedError
from tests.support.commands import module, run

TIMEOUT = 30.0


@pytest.fixture(params=["memory", "amqp"])
def make_provider(request: pytest.FixtureRequest) -> Callable[[str], Provider]:
    if request.param == "memory":
        broker = MemoryBroker()
        return lambda name: MemoryProvider(name, broker)
    from eventing_amqp import AMQProvider

    artemis: Artemis = request.getfixturevalue("artemis")
    return lambda name: AMQProvider(
        name, host=artemis.host, port=artemis.port, user=artemis.user, password=artemis.password
    )


def body_of(letter: Delivery | None) -> bytes | None:
    return letter.message().body if letter else None


def test_read_replay_and_remove(make_provider: Callable[[str], Provider], unique: Callable[[str], str]):
    handled: SimpleQueue[tuple[str, int]] = SimpleQueue()
    broken = [True]
    names = unique("Ordered"), unique("Failing")

    @event(names[0], durable=True)
    @dataclass
    class Ordered:
        number: int

    @event_listener(Ordered, name=names[1], retry=Retry(max_attempts=2, initial=0.01))
    class Failing(EventListener[Ordered]):
        def on(self, event: Ordered) -> None:
            if broken[0]:
                raise ValueError(event.number)
            handled.put(("Failing", event.number))

    @event_listener(Ordered, name=unique("Bystander"))
    class Bystander(EventListener[Ordered]):
        def on(self, event: Ordered) -> None:
            handled.put(("Bystander", event.number))

    def manager(*listeners: type[EventListener[Any]]) -> EventManager:
        return EventManager(make_provider("server"), listeners=listeners, pipelines=[])

    with manager(Failing, Bystander) as running:
        for number in range(3):
            running.send_event(Ordered(number), headers={"customer": "Ada"})
        assert sorted(handled.get(timeout=TIMEOUT) for _ in range(3)) == [("Bystander", n) for n in range(3)]
        reader = make_provider("reader")
        reader.open(lambda *_: None)
        with DeadLetters(reader, *names, durable=True) as letters:
            found = [letters.take(TIMEOUT) for _ in range(3)]
        # Nothing was removed: they are all there again, in their order.
        with DeadLetters(reader, *names, durable=True) as letters:
            again = [letters.take(TIMEOUT) for _ in range(3)]
            assert [body_of(letter) for letter in again] == [body_of(letter) for letter in found]
            # Retries have brought them into any order.
            by_error = {letter.message().headers["eventing-error-message"]: letter for letter in again if letter}
            first, second, third = (by_error[number] for number in "012")
            assert first.message().headers["customer"] == "Ada"
            letters.remove(first)
            # All attempts are there again.
            letters.replay(second, TIMEOUT)
            back = letters.take(TIMEOUT)
            assert back is not None
            assert back.message().headers["eventing-attempts"] == "2"
            assert back.message().message_id == second.message().message_id
            broken[0] = False
            letters.replay(back, TIMEOUT)
            assert handled.get(timeout=TIMEOUT) == ("Failing", 1)
            # Nothing takes a replay for a duplicate, not even of another replay.
            for _ in range(2):
                letters.replay(third, TIMEOUT)
                assert handled.get(timeout=TIMEOUT) == ("Failing", 2)
        with DeadLetters(reader, *names, durable=True) as letters:
            assert letters.take(timeout=1.0) is None
        reader.close(10.0)
    assert handled.empty()


def put_dead(provider: Provider, names: tuple[str, str], headers: dict[str, str], message_id: str) -> None:
    own = {"eventing-reason": "failed", "eventing-attempts": "2", **headers}
    done = Confirmations()
    to = Destination(*names, kind="dead", durable=True)
    message = Message(b'{"number":7}', own, message_id, message_id, durable=True)
    provider.producer(to).send([message], done, deadline=time.monotonic() + TIMEOUT)
    assert done.wait(1) == [(0, None)]


def test_a_truncated_one_is_replayed_only_by_force(
    make_provider: Callable[[str], Provider], unique: Callable[[str], str]
):
    names = unique("Event"), unique("Listener")
    reader = make_provider("reader")
    reader.open(lambda *_: None)
    seen = Recorder(10)
    queue = Destination(*names, kind="queue", durable=True)
    dead = Destination(*names, kind="dead", durable=True)
    seen.attach(reader.subscribe(Subscription(destination=queue, dead_letter=dead), seen))
    seen.wait_active()
    put_dead(reader, names, {"eventing_truncated": "large, larger", "small": "s"}, "truncated")
    with DeadLetters(reader, *names, durable=True) as letters:
        letter = letters.take(TIMEOUT)
        assert letter is not None
        with pytest.raises(TruncatedError, match="truncated lacks these headers: large, larger"):
            letters.replay(letter, TIMEOUT)
    # It is still there.
    with DeadLetters(reader, *names, durable=True) as letters:
        letter = letters.take(TIMEOUT)
        assert letter is not None
        letters.replay(letter, TIMEOUT, force=True)
        (replayed,) = seen.wait(1)
        assert replayed.message().headers == {"small": "s"}
        assert letters.take(timeout=0.5) is None
    reader.close(10.0)


def test_the_program_lists_and_replays_and_needs_force(artemis: Artemis, unique: Callable[[str], str]):
    from eventing_amqp import AMQProvider

    names = unique("Event"), unique("Listener")
    provider = AMQProvider("sender", artemis.host, artemis.port, artemis.user, artemis.password)
    provider.open(lambda *_: None)
    queue = Destination(*names, kind="queue", durable=True)
    dead = Destination(*names, kind="dead", durable=True)
    seen = Recorder(10)
    seen.attach(provider.subscribe(Subscription(destination=queue, dead_letter=dead), seen))
    seen.wait_active()
    put_dead(provider, names, {"eventing_truncated": "large"}, "one")
    put_dead(provider, names, {}, "two")

    def program(*options: str) -> tuple[int, list[str]]:
        words = ["--port", str(artemis.port), "--host", artemis.host, "--user", artemis.user, "--durable", *options]
        done = run(*module("examples.dead_letters"), *words, *names, env={"EVENTING_PASSWORD": artemis.password})
        return done.returncode, sorted(done.stdout.splitlines())

    first, second = "one failed, without these headers: large", "two failed"
    assert program() == (0, [first, second])
    code, lines = program("--replay")
    assert (code, {*lines} >= {first, second}) == (1, True)
    assert any("--force on the command line" in line for line in lines)
    assert [each.message().message_id for each in seen.wait(1)] == ["two"]
    assert program("--replay", "--force") == (0, [first])
    assert [each.message().message_id for each in seen.wait(2)] == ["two", "one"]
    assert program() == (0, [])
    provider.close(10.0)
