"""Conformance: the network fails and comes back, and everything goes on by itself."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest

from eventing_core import EventManager, Retry
from eventing_core.errors import ConnectionLostError, SendTimeoutError
from eventing_core.provider import SubscriptionState
from eventing_core.receive._queues import dead_letters_of
from eventing_core.testing._failures import BrokenError
from eventing_core.testing._kit import Kit, Sample, topic_of
from eventing_core.testing._network import Network, needs
from eventing_core.testing._probe import LIMIT, Log, Recorder, text_of, until

#: How long closing may take in these tests, in seconds.
A_WHILE = 1.0
#: How much longer it may take than it should: for threads to end.
GRACE = 5.0

#: How often a connection is lost before it has to be counted.
LOSSES = 60

both_ways = pytest.mark.parametrize("way", ["cut", "silence"])


class OutageTests:
    """See the module."""

    @needs("network")
    def test_health_and_consumers_come_back_after_a_cut(self, kit: Kit, network: Network) -> None:
        """Time and again: not healthy while it lasts, and afterwards every listener consumes."""
        self._goes_and_comes_back(kit, network, network.cut, rounds=3)

    @needs("network")
    def test_a_silent_peer_is_noticed_and_consumers_come_back(self, kit: Kit, network: Network) -> None:
        """Half-open: the connection stays, and nothing comes by it."""
        self._goes_and_comes_back(kit, network, network.silence, rounds=1)

    def _goes_and_comes_back(self, kit: Kit, network: Network, begin: Callable[[], None], rounds: int) -> None:
        got: Log[int] = Log()
        kind = kit.event()

        async def on_async(event: Sample) -> None:
            got.add(event.number)

        listeners = [
            kit.listener(kind, lambda event: got.add(event.number)),
            kit.listener(kind, on_async, asynchronous=True),
        ]
        if kit.claims("per_process"):
            listeners.append(kit.listener(kind, lambda event: got.add(event.number), per_process=True))
        manager = kit.manager(*listeners, **network.config)
        for number in range(rounds):
            generation = manager.health().provider.generation
            begin()
            until(lambda: not manager.health().provider.connected, "health says that the connection is lost")
            until(lambda: not manager.health().consuming, "health says that listeners don't consume in an outage")
            assert manager.health().provider.error, "health says why there is no connection"
            network.restore()
            until(lambda: manager.health().consuming, "health says that all listeners consume again after an outage")
            health = manager.health()
            assert health.provider.connected, "health says that there is a connection again after an outage"
            assert health.provider.generation > generation, "a connection after an outage is a new generation"
            manager.send_event(kind(number))
            got.wait(len(listeners) * (number + 1), "listeners really consume again after an outage")

    @needs("network")
    @both_ways
    def test_a_send_in_an_outage_is_confirmed_when_the_broker_has_it(
        self, kit: Kit, network: Network, way: str
    ) -> None:
        """Not before; afterwards by itself, in the order of the sends."""
        _, queue = kit.filled("")
        observed: Log[tuple[bool, Exception | None]] = Log()
        sender = kit.provider(config=network.config, observer=observed)
        kit.put(sender, topic_of(queue), kit.messages("a"))
        getattr(network, way)()
        done = kit.send(sender, topic_of(queue), kit.messages("bcdef"))
        wait_lost(observed)
        assert done.results.items() == [], "a send is confirmed when the broker has it, and not before"
        network.restore()
        results = done.wait(5)
        assert sorted(results, key=lambda result: result[0]) == [(index, None) for index in range(5)], (
            "a send in an outage is confirmed afterwards"
        )
        bodies: list[str] = []

        def all_came() -> bool:
            bodies.extend(message.body.decode() for message in kit.read(queue))
            return {*bodies} >= {*"abcdef"}

        # A broker may confirm what it takes for a duplicate while it is still at work on the first one.
        until(all_came, "sends of an outage arrive afterwards")
        first_ones = list(dict.fromkeys(bodies))
        assert first_ones == [*"abcdef"], "sends of an outage arrive afterwards, in their order"
        if kit.claims("dedup"):
            assert bodies == first_ones, "sends in doubt are sent again under their old ids, and stored once"

    @needs("network")
    def test_a_send_in_an_outage_fails_at_its_deadline(self, kit: Kit, network: Network) -> None:
        """It is withdrawn, in no doubt, and the next one is sent."""
        _, queue = kit.filled("")
        observed: Log[tuple[bool, Exception | None]] = Log()
        sender = kit.provider(config=network.config, observer=observed)
        network.cut()
        wait_lost(observed)
        [(_, error)] = kit.send(sender, topic_of(queue), kit.messages("a"), seconds=0.2).wait(1)
        assert isinstance(error, SendTimeoutError), f"a send in an outage fails at its deadline: {error!r}"
        assert not error.in_doubt, "what was never written is not in doubt"
        network.restore()
        kit.put(sender, topic_of(queue), kit.messages("b"))
        assert [message.body for message in kit.read(queue)] == [b"b"], (
            "a send that failed at its deadline is withdrawn, and the next one is sent"
        )

    @needs("network")
    def test_settlements_of_a_lost_connection_are_dropped(self, kit: Kit, network: Network) -> None:
        """What was out comes again, in order; accepting the old deliveries takes nothing from the queue."""
        _, queue = kit.filled("abc")
        recorder = kit.listen(kit.provider(config=network.config), queue, window=3)
        old = recorder.wait(3)
        self._lose(network, recorder)
        again = recorder.wait(6, "what was unsettled on a lost connection is delivered again")[3:]
        assert [text_of(delivery) for delivery in again] == [*"abc"], "unsettled messages are redelivered in order"
        assert min(delivery.generation for delivery in again) > old[0].generation, (
            "redelivered messages have the new generation"
        )
        recorder.settle(old)
        recorder.settle(again[:1])
        recorder.handle.close().result(LIMIT)
        left = [message.body for message in kit.read(queue)]
        assert left == [b"b", b"c"], "settlements of a lost connection are dropped, and those of the new one hold"

    @needs("network")
    def test_unsettled_messages_of_a_lost_connection_are_redelivered_and_flagged(
        self, kit: Kit, network: Network
    ) -> None:
        """The delivery count is what the capability says."""
        _, queue = kit.filled("a")
        recorder = kit.listen(kit.provider(config=network.config), queue, window=1)
        seen = itertools.count(1)

        def give_out_and_lose() -> int:
            delivery = recorder.wait(next(seen), "what was unsettled on a lost connection is delivered again")[-1]
            self._lose(network, recorder)
            return delivery.delivery_count

        check_counts(kit, give_out_and_lose, LOSSES)

    @staticmethod
    def _lose(network: Network, recorder: Recorder) -> None:
        """Let a subscription's connection be lost, and come back."""
        before = len(recorder.states.items())
        network.cut()
        recorder.states.until(
            lambda states: any(state is SubscriptionState.INACTIVE for state, _, _ in states[before:]),
            "a subscriber is notified that its connection is lost",
        )
        network.restore()
        recorder.states.until(
            lambda states: states[-1][0] is SubscriptionState.ACTIVE, "a subscription is active again after an outage"
        )

    @needs("network")
    @pytest.mark.parametrize("ending", ["returns", "raises"])
    def test_the_event_of_a_listener_that_ends_in_an_outage_is_redelivered(
        self, kit: Kit, network: Network, ending: str
    ) -> None:
        """Nothing is lost by it, and it counts as no attempt; where it succeeds then, nothing is left."""
        began: Log[int] = Log()
        proceed = kit.blocker()

        def on(event: Sample) -> None:
            began.add(event.number)
            if len(began.items()) == 1:
                proceed.wait(LIMIT)
                if ending == "raises":
                    raise BrokenError

        kind = kit.event()
        listener = kit.listener(kind, on, retry=Retry(max_attempts=1))
        manager = kit.manager(listener, **network.config)
        manager.send_event(kind(1))
        began.wait(1, "a listener runs")
        self._cut(network, manager)
        proceed.set()
        until(lambda: manager.health().listeners[0].running == 0, "a listener ends in an outage")
        network.restore()
        began.wait(2, "an event whose listener ended in an outage is delivered again")
        manager.stop()
        assert began.items() == [1, 1], "an event that was accepted after an outage is not delivered again"
        queue = kit.queue(listener=listener)
        assert kit.read(queue) == [], "an event that was accepted after an outage has left the queue"
        assert kit.read(dead_letters_of(queue)) == [], "what ended in an outage does not count as an attempt"

    @needs("network")
    def test_a_cut_loses_no_event_that_is_not_durable(self, kit: Kit, network: Network) -> None:
        """The broker is there all the time."""
        got: Log[int] = Log()
        proceed = kit.blocker()

        def on(event: Sample) -> None:
            proceed.wait(LIMIT)
            got.add(event.number)

        kind = kit.event(durable=False)
        manager = kit.manager(kit.listener(kind, on, prefetch=2), **network.config)
        manager.send_events(kind(number) for number in range(10))
        self._cut(network, manager)
        network.restore()
        proceed.set()
        got.until(lambda numbers: {*numbers} == {*range(10)}, "a cut loses no event")

    @needs("network")
    @both_ways
    def test_closing_in_an_outage_ends_in_time(self, kit: Kit, network: Network, way: str) -> None:
        """Every send is told what became of it, and what was out goes to others."""
        _, queue = kit.filled("ab")
        provider = kit.provider(config=network.config)
        kit.listen(provider, queue, window=1).wait(1)
        kit.put(provider, topic_of(queue), kit.messages("c"))
        getattr(network, way)()
        done = kit.send(provider, topic_of(queue), kit.messages("de"))
        ends_in_time(lambda: provider.close(A_WHILE), "closing in an outage ends in time")
        provider.close(A_WHILE)
        for _, error in done.wait(2):
            assert isinstance(error, ConnectionLostError), f"closing reports the outcome of each send: {error!r}"
        assert len(done.results.items()) == 2, "closing reports each send once"
        network.restore()
        other = kit.listen(kit.provider(), queue, window=100)
        other.deliveries.until(
            lambda deliveries: {text_of(delivery) for delivery in deliveries} >= {*"abc"},
            "what was unsettled in an outage goes to another consumer",
        )

    @needs("network")
    @both_ways
    def test_stopping_in_an_outage_ends_in_time(self, kit: Kit, network: Network, way: str) -> None:
        """Also while a listener is blocked; its event goes to another process."""
        began: Log[int] = Log()
        blocked = kit.blocker()
        kind = kit.event()
        name = kit.name("Listener")

        def on(event: Sample) -> None:
            began.add(event.number)
            blocked.wait(LIMIT)

        manager = kit.manager(kit.listener(kind, on, name=name), **network.config)
        manager.send_event(kind(1))
        began.wait(1, "a listener runs")
        getattr(network, way)()
        ends_in_time(lambda: manager.stop(A_WHILE), "stopping in an outage ends in time")
        network.restore()
        finished: Log[int] = Log()
        kit.manager(kit.listener(kind, lambda event: finished.add(event.number), name=name))
        finished.wait(1, "the event of a process that stopped in an outage goes to another one")

    @staticmethod
    def _cut(network: Network, manager: EventManager) -> None:
        network.cut()
        until(lambda: not manager.health().consuming, "health says that listeners don't consume in an outage")


def wait_lost(observed: Log[tuple[bool, Exception | None]]) -> None:
    """Wait until a provider reports that its connection is lost."""
    observed.until(lambda told: not told[-1][0], "a provider reports that its connection is lost")


def ends_in_time(work: Callable[[], None], behaviour: str) -> None:
    """Run what should take `A_WHILE` at most."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(A_WHILE + GRACE)
    assert not thread.is_alive(), f"{behaviour}: not within {A_WHILE + GRACE} s"


def check_counts(kit: Kit, give_out_and_lose: Callable[[], int], losses: int) -> None:
    """What is given out over and over, and never settled, is flagged, as the capability says.

    Not each time: brokers count some of the connections that they lose, and not others.
    """
    capability = kit.capabilities.delivery_count
    enough, most = {"none": (0, 0), "flag": (1, 1)}.get(capability, (2, losses))
    counts = [give_out_and_lose() for _ in range(3)]
    while counts[-1] < enough and len(counts) <= losses:
        counts.append(give_out_and_lose())
    told = f"a redelivered message is flagged, as delivery_count = {capability} says: {counts}"
    assert all(count <= min(lost, most) for lost, count in enumerate(counts)), told
    assert counts == sorted(counts), told
    if kit.claims("delivery_count"):
        assert counts[-1] >= enough, told
