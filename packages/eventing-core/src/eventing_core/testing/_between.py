"""Conformance: a send was written, and its answer hasn't come."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from eventing_core.errors import SendTimeoutError
from eventing_core.testing._kit import Kit, topic_of
from eventing_core.testing._network import Network, needs
from eventing_core.testing._outage import wait_lost
from eventing_core.testing._probe import Log

#: How long a send that is to fail may take, in seconds: long enough for the broker to have it.
SOON = 1.0

Test = Callable[..., None]


def between(test: Test) -> Test:
    """Run a test where a network lies between the provider and a broker in another process."""

    @wraps(test)
    def run(self: object, kit: Kit, network: Network | None) -> None:
        if getattr(self, "broker_in_process", False):
            kit.finding.be_not_applicable("broker_in_process")  # nothing lies between a send and its answer
            return
        test(self, kit, network=network)

    return run


class BetweenTests:
    """See the module."""

    @between
    @needs("network")
    def test_a_connection_that_breaks_before_the_answer_confirms_nothing(self, kit: Kit, network: Network) -> None:
        """Not confirmed by the loss; afterwards by itself, in order, each once."""
        _, queue = kit.filled("")
        there = kit.listen(kit.provider(), queue, window=100)
        observed: Log[tuple[bool, Exception | None]] = Log()
        sender = kit.provider(config=network.config, observer=observed)
        kit.put(sender, topic_of(queue), kit.messages("a"))
        network.hold_answers()
        done = kit.send(sender, topic_of(queue), kit.messages("bcd"))
        there.wait(4, "a send is written at once")
        network.cut()
        wait_lost(observed)
        # Later than whatever the loss itself brings about.
        late = kit.send(sender, topic_of(queue), kit.messages("x"), seconds=SOON / 4)
        [(_, error)] = late.wait(1)
        assert isinstance(error, SendTimeoutError), f"a send in an outage fails at its deadline: {error!r}"
        lost = "a send whose answer didn't come before the connection broke is not confirmed: it may be lost"
        assert done.results.items() == [], lost
        network.restore()
        assert sorted(done.wait(3), key=lambda told: told[0]) == [(0, None), (1, None), (2, None)], (
            "a send whose answer was lost with its connection is sent again, and confirmed"
        )
        kit.put(sender, topic_of(queue), kit.messages("e"))
        there.deliveries.until(lambda _: there.bodies()[-1] == "e", "what is sent after a lost answer arrives")
        bodies = there.bodies()
        assert list(dict.fromkeys(bodies)) == [*"abcde"], "sends whose answers were lost arrive in their order"
        if kit.claims("dedup"):
            assert bodies == [*"abcde"], "sends whose answers were lost keep their ids, and are stored once"
        assert len(done.results.items()) == 3, "the outcome of a send is reported once, even if it was sent again"

    @between
    @needs("network")
    def test_an_answer_after_the_deadline_comes_too_late(self, kit: Kit, network: Network) -> None:
        """The send failed, in doubt: the broker has it. Its answer changes nothing any more."""
        _, queue = kit.filled("")
        there = kit.listen(kit.provider(), queue, window=100)
        sender = kit.provider(config=network.config)
        kit.put(sender, topic_of(queue), kit.messages("a"))
        network.hold_answers()
        done = kit.send(sender, topic_of(queue), kit.messages("bc"), seconds=SOON)
        there.wait(3, "a send is written at once")
        for _, error in done.wait(2):
            assert isinstance(error, SendTimeoutError), f"a send without an answer fails at its deadline: {error!r}"
            assert error.in_doubt, (
                "a send that was written and not answered is in doubt: sent again under a fresh id, it is handled twice"
            )
        network.restore()
        kit.put(sender, topic_of(queue), kit.messages("d"))
        there.deliveries.until(lambda _: there.bodies()[-1] == "d", "what is sent after a late answer arrives")
        assert len(done.results.items()) == 2, (
            "after a send failed at its deadline, nothing more is reported: `done` is called once"
        )
