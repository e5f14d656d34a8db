"""What becomes of sends to an address that is full. Brokers differ by protocol here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eventing_core.errors import SendRejectedError, SendTimeoutError
from examples.artemis import Artemis
from tests.support.bench import Bench, accepting, opened
from tests.support.waiting import until

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
