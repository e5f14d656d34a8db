"""What becomes of sends to an address that is full. Brokers differ by protocol here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eventing_core import EventManager, Retry
from eventing_core.errors import SendRejectedError, SendTimeoutError
from examples.artemis import Artemis
from tests.support.bench import Bench, accepting, opened
from tests.support.plain import PlainClient
from tests.support.waiting import until
from tests.support.workers import event_named, listener_of

BODY = "x" * 5000


@pytest.fixture
def full(make_artemis: Callable[..., Artemis]) -> Callable[[str], Artemis]:
    """A broker whose addresses hold 100 KB, with that policy."""

    def make(policy: str, **settings: Any) -> Artemis:
        return make_artemis(address_settings={"max-size-bytes": "100000", "address-full-policy": policy, **settings})

    return make


def test_over_amqp_sends_wait_for_credit(full: Callable[[str], Artemis]):
    with opened(full("BLOCK"), "full") as bench:
        recorder = bench.listen_active()
        # The credit that was given lets the broker overshoot.
        bench.put(*[f"{number}{BODY}" for number in range(100)])
        late = bench.send(*["y"] * 2000, seconds=3).wait(2000)
        errors = [error for _, error in late if error]
        assert errors
        assert all(isinstance(error, SendTimeoutError) for error in errors)
        assert any("credit" in str(error) or "in time" in str(error) for error in errors)
        accepting(recorder)
        recorder.handle.window(1000)
        recorder.wait(100)
        bench.put("z")


@pytest.fixture
def stomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "kind", "stomp")


@pytest.mark.usefixtures("stomp")
def test_over_stomp_the_policy_block_holds_nothing_up(full: Callable[[str], Artemis]):
    # Artemis 2.44 takes what comes over STOMP all the same, confirms it, and has it: nothing is lost.
    with opened(full("BLOCK"), "full") as bench:
        recorder = accepting(bench.listen_active())
        bench.put(*[f"{number}{BODY}" for number in range(500)])
        recorder.handle.window(100)
        recorder.wait(500)
        assert len(set(recorder.bodies())) == 500


@pytest.mark.usefixtures("stomp")
def test_over_stomp_a_refused_send_fails_and_what_was_confirmed_is_there(full: Callable[[str], Artemis]):
    with opened(full("FAIL"), "full") as bench:
        recorder = accepting(bench.listen_active())
        bodies = [f"{number}{BODY}" for number in range(200)]
        results = bench.send(*bodies).wait(200)
        refused = {bodies[index] for index, error in results if error}
        assert refused
        assert all(isinstance(error, SendRejectedError) for _, error in results if error)
        # In this and in every later generation: a late error may end the connection once more.
        recorder.size = 100
        recorder.handle.window(100)
        recorder.wait(200 - len(refused))
        assert set(recorder.bodies()) >= set(bodies) - refused
        until(lambda: bench.send("z").wait(1)[0][1] is None, "there is room again")


@pytest.mark.parametrize(("over", "policy"), [("amqp", "BLOCK"), ("amqp", "FAIL"), ("stomp", "FAIL")])
def test_an_event_whose_dead_letters_are_full_stays_until_there_is_room(
    full: Callable[[str], Artemis], monkeypatch: pytest.MonkeyPatch, over: str, policy: str
):
    monkeypatch.setattr(Bench, "kind", over)
    broker = full(policy)
    place = {"host": broker.host, "port": broker.port, "user": broker.user, "password": broker.password}

    def on(number: int) -> None:
        raise ValueError(number)

    with opened(broker, "full") as bench, PlainClient(broker) as plain:
        letters = bench.listen_active(bench.dead)
        # Over AMQP, the credit that was given lets the broker overshoot.
        bodies = [*(f"{number}{BODY}" for number in range(200)), *["y"] * 2000]
        assert any(error for _, error in bench.send(*bodies, to=bench.dead, seconds=3).wait(len(bodies)))
        event_type = event_named(bench.topic.topic)
        listener = listener_of(event_type, bench.queue.group, on, retry=Retry(max_attempts=1, pause_after=0))
        settings: dict[str, Any] = {"provider": over, over: place, "send_timeout": 1}
        with EventManager.from_config(listeners=[listener], pipelines=[], **settings) as manager:
            manager.send_event(event_type(number=1))
            until(lambda: "can't be stored" in manager.health().listeners[0].error, "health tells of it")
            assert plain.count(bench.queue.group) == 1
            letters.size = 3000
            accepting(letters).handle.window(3000)
            letters.deliveries.until(lambda _: '{"number":1}' in letters.bodies(), "the dead letter is there")
            until(lambda: plain.count(bench.queue.group) == 0, "and the event is gone")
            until(lambda: not manager.health().listeners[0].error, "health tells of nothing")
