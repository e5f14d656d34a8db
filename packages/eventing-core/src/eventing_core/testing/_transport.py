"""Conformance: what the core relies on, at the provider interface itself."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from eventing_core.errors import (
    CapabilityError,
    ConnectionLostError,
    MessageTooLargeError,
    SendTimeoutError,
    UnroutedError,
)
from eventing_core.provider import REDELIVERIES, Destination, Done, Message, Outcome, Subscription
from eventing_core.receive._queues import dead_letters_of
from eventing_core.testing._failures import TOLERANCE
from eventing_core.testing._kit import Kit, recorder_accept, topic_of
from eventing_core.testing._probe import LIMIT, Confirmations, Log, Recorder, deadline_in, until


class TransportTests:
    """See the module."""

    def test_nothing_is_delivered_before_the_window_is_set(self, kit: Kit) -> None:
        """A subscription begins with a window of 0; its first delivery comes with the window, in its generation."""
        provider, queue = kit.filled("ab")
        recorder = kit.listen(provider, queue)
        kit.put(provider, queue, kit.messages("c"))
        assert recorder.bodies() == [], "nothing is delivered before the window is given"
        recorder.handle.window(10)
        deliveries = recorder.wait(3)
        assert recorder.bodies() == ["a", "b", "c"]
        assert {delivery.generation for delivery in deliveries} == {1}
        assert [delivery.delivery_count for delivery in deliveries] == [0, 0, 0]

    def test_the_window_is_never_exceeded(self, kit: Kit) -> None:
        """Delivered and unsettled is at most the window, at every moment, and the window is used to the full."""
        provider, queue = kit.filled("x" * 200)
        recorder = Recorder(window=7)
        out = 0
        worst = 0
        lock = threading.Lock()  # guards both counts

        def count(batch: object) -> None:
            nonlocal out, worst
            with lock:
                out += len(batch)  # type: ignore[arg-type]
                worst = max(worst, out)

        recorder.react = count
        kit.listen(provider, queue, recorder=recorder)
        settled = 0
        while settled < 200:
            batch = recorder.wait(min(settled + 7, 200), "the window is used to the full")[settled : settled + 3]
            with lock:
                out -= len(batch)
            recorder.settle(batch)
            settled += len(batch)
        assert worst == 7, "delivered and unsettled is at most the window"

    def test_a_window_of_zero_pauses(self, kit: Kit) -> None:
        """What comes afterwards is at most what was under way, and raising it goes on where it was."""
        provider, queue = kit.filled("abcdef")
        recorder = kit.listen(provider, queue, window=2)
        first = recorder.wait(2)
        recorder.handle.window(0)
        recorder.settle(first)
        # Carried out in order: when what another consumer took is there, the settlements were done long ago.
        other = kit.listen(kit.provider(), queue, window=10)
        other.wait(4, "what a paused consumer doesn't take goes to others")
        assert recorder.bodies() == ["a", "b"], "a window of 0 pauses"
        other.settle(other.deliveries.items(), Outcome.RELEASE)
        other.handle.close().result(LIMIT)
        recorder.handle.window(10)
        recorder.wait(6, "a raised window goes on")
        assert recorder.bodies()[2:] == ["c", "d", "e", "f"]

    def test_a_release_is_delivered_again_at_once_and_in_order(self, kit: Kit) -> None:
        """Given back, it is at the head of the queue."""
        provider, queue = kit.filled("abcde")
        recorder = kit.listen(provider, queue, window=3)
        first = recorder.wait(3)
        recorder.settle(first, Outcome.RELEASE)
        again = recorder.wait(6, "a release is delivered again at once")[3:]
        assert recorder.bodies()[3:] == ["a", "b", "c"], "what is returned is delivered again first, in its order"
        if kit.claims("uncounted_release"):
            assert [delivery.delivery_count for delivery in again] == [0, 0, 0], (
                "a release does not count as a delivery"
            )

    def test_a_redelivery_flag_is_added_to_the_count_of_copies(self, kit: Kit) -> None:
        """Where the broker only flags what comes again, the header that the core's copies have is counted."""
        provider, queue = kit.filled("")
        messages = [
            replace(message, headers={REDELIVERIES: text})
            for message, text in zip(kit.messages("abc"), ("3", "-1", "no number"), strict=True)
        ]
        kit.put(provider, topic_of(queue), messages)
        deliveries = kit.listen(provider, queue, window=3).wait(3)
        counts = [3, 0, 0] if kit.capabilities.delivery_count == "flag" else [0, 0, 0]
        assert [delivery.delivery_count for delivery in deliveries] == counts, "copies count what the broker only flags"

    def test_settling_one_by_one_in_any_order(self, kit: Kit) -> None:
        """What is accepted is gone, and nothing else."""
        provider, queue = kit.filled("abcde")
        recorder = kit.listen(provider, queue, window=5)
        deliveries = recorder.wait(5)
        any_order = kit.claims("individual_settlement")
        if any_order:
            recorder.settle([deliveries[3]])
            recorder.settle([deliveries[0], deliveries[2]])
        else:
            recorder.settle(deliveries[:3])
        recorder.handle.close().result(LIMIT)
        left = [message.body for message in kit.read(queue)]
        expected = [b"b", b"e"] if any_order else [b"d", b"e"]
        assert left == expected, "accepted is gone, and nothing else"

    def test_closing_returns_deliveries_in_order_and_uncounted(self, kit: Kit) -> None:
        """Settlements made before are carried out first."""
        provider, queue = kit.filled("abcd")
        recorder = kit.listen(provider, queue, window=3)
        recorder.settle(recorder.wait(3)[:1])
        recorder.handle.close().result(LIMIT)
        recorder.handle.close().result(LIMIT)
        left = kit.read_counted(queue)
        assert [message.body for message, _ in left] == [b"b", b"c", b"d"], "closing returns what is unsettled"
        if kit.claims("uncounted_release"):
            assert {count for _, count in left} == {0}, "closing does not count as a delivery"

    def test_closing_the_provider_returns_deliveries(self, kit: Kit) -> None:
        """As closing each handle does; idempotent; nothing is taken any more."""
        provider, queue = kit.filled("abc")
        producer = provider.producer(queue)
        recorder = kit.listen(provider, queue, window=3)
        recorder.settle(recorder.wait(3)[:1])
        provider.close(LIMIT)
        provider.close(LIMIT)
        assert not provider.health().connected
        with pytest.raises(ConnectionLostError):
            producer.send(kit.messages("d"), Confirmations(), deadline=deadline_in(LIMIT))
        assert [message.body for message in kit.read(queue)] == [b"b", b"c"]

    def test_an_unsettled_delivery_goes_to_nobody_else(self, kit: Kit) -> None:
        """Delivered and unsettled belongs to its consumer."""
        provider, queue = kit.filled("abc")
        recorder = kit.listen(provider, queue, window=2)
        recorder.wait(2)
        other = kit.listen(kit.provider(), queue, window=10)
        exact = kit.claims("exact_window")
        if exact:
            other.wait(1)
        recorder.handle.close().result(LIMIT)
        other.wait(3, "what a closed consumer had goes to another one")
        expected = ["c", "a", "b"] if exact else ["a", "b", "c"]
        assert other.bodies() == expected, "an unsettled delivery goes to nobody else until it is returned"

    def test_every_send_is_confirmed_exactly_once(self, kit: Kit) -> None:
        """One ``done`` for each index, when the message is in every queue that exists."""
        provider, queue = kit.filled("")[0], kit.queue()
        other = Destination(queue.topic, kit.name("Listener"), kind="queue", durable=queue.durable)
        for destination in (queue, other):
            kit.listen(provider, destination).handle.close().result(LIMIT)
        batches = [kit.messages("x" * size) for size in (1, 50, 7)]
        confirmations = [kit.send(provider, topic_of(queue), batch) for batch in batches]
        for batch, done in zip(batches, confirmations, strict=True):
            done.wait(len(batch))
        provider.close(LIMIT)
        for batch, done in zip(batches, confirmations, strict=True):
            assert sorted(done.results.items()) == [(index, None) for index in range(len(batch))], (
                "every index of a batch is confirmed exactly once"
            )
        for destination in (queue, other):
            assert len(kit.read(destination)) == 58, "confirmed means: in every queue that exists"

    def test_closing_reports_each_send_that_is_in_flight(self, kit: Kit) -> None:
        """Each is confirmed, and then it is there; or fails; or was refused when it was made."""
        provider, queue = kit.filled("")
        producer = provider.producer(topic_of(queue))
        confirmed: Log[bytes] = Log()
        failed: Log[Exception] = Log()
        room = threading.Semaphore(100)  # for sends that nothing is known of

        def send() -> int:
            for number in itertools.count():
                room.acquire(timeout=LIMIT)
                [message] = kit.messages("x")
                message.body = str(number).encode()
                try:
                    producer.send([message], _told(message, confirmed, failed, room), deadline=deadline_in(LIMIT))
                except ConnectionLostError:
                    return number
            raise AssertionError

        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send)
            confirmed.wait(50, "sends are confirmed")
            provider.close(LIMIT)
            taken = sending.result(LIMIT)
        until(
            lambda: len(confirmed.items()) + len(failed.items()) >= taken,
            "closing reports the outcome of each send",
        )
        there = {message.body for message in kit.read(queue)}
        assert there >= {*confirmed.items()}, "what was confirmed while closing is stored"
        assert len(confirmed.items()) + len(failed.items()) == taken, "closing reports each send once"

    def test_a_send_fails_at_its_deadline(self, kit: Kit) -> None:
        """A deadline that has passed: nothing is sent, and that is no doubt."""
        provider, queue = kit.filled("a")
        done = kit.send(provider, topic_of(queue), kit.messages("bc"), seconds=-1.0)
        for _, error in done.wait(2):
            assert isinstance(error, SendTimeoutError), "a send whose deadline has passed fails"
            assert not error.in_doubt, "what was never written is not in doubt"
        assert [message.body for message in kit.read(queue)] == [b"a"], (
            "a send that failed at its deadline is withdrawn"
        )

    def test_messages_arrive_as_sent(self, kit: Kit) -> None:
        """Any bytes, with ids, content type and headers; decoded any time, also after it was settled."""
        provider, queue = kit.filled("")
        sent = Message(
            body=bytes(range(256)) * 4,
            headers={"own": "größer", "eventing-attempts": "2"},
            message_id=kit.name("message"),
            dedup_id=kit.name("dedup"),
            content_type="application/octet-stream",
            durable=kit.capabilities.durable,
        )
        kit.put(provider, queue, [sent])
        recorder = kit.listen(provider, queue, window=1)
        [delivery] = recorder.wait(1)
        recorder.settle([delivery])
        recorder.handle.close().result(LIMIT)
        provider.close(LIMIT)
        got = delivery.message()
        assert got == delivery.message(), "decoding gives equal results each time"
        assert (got.body, got.message_id, got.content_type) == (sent.body, sent.message_id, sent.content_type)
        assert got.headers == sent.headers, "headers arrive as they were sent"
        assert got.durable == sent.durable

    def test_a_send_to_one_queue_reaches_it_alone(self, kit: Kit) -> None:
        """Retry copies go to the listener that failed."""
        provider, queue = kit.filled("")
        other = Destination(queue.topic, kit.name("Listener"), kind="queue", durable=queue.durable)
        kit.listen(provider, other).handle.close().result(LIMIT)
        for to in (topic_of(queue), queue, topic_of(queue), queue):
            kit.put(provider, to, kit.messages("t" if to.kind == "topic" else "q"))
        assert [message.body for message in kit.read(queue)] == [b"t", b"q", b"t", b"q"]
        left = [message.body for message in kit.read(other)]
        assert left == [b"t", b"t"], "a send to one queue reaches it alone, also after one to all"

    def test_duplicates_are_removed_where_the_provider_says_so(self, kit: Kit) -> None:
        """Two sends of one ``dedup_id`` to one topic, or to dead letters, are one message, both confirmed."""
        provider, queue = kit.filled("")
        dead = dead_letters_of(queue)
        [message] = kit.messages("a")
        for destination in (topic_of(queue), dead):
            kit.put(provider, destination, [message])
            kit.put(provider, destination, [message])
            kit.put(provider, destination, [replace(message, dedup_id=message.dedup_id + "/retry1")])
        expected = 2 if kit.claims("dedup") else 3
        for source in (queue, dead):
            assert len(kit.read(source)) == expected, "a duplicate is stored as the capability 'dedup' says"

    def test_a_delay_is_honoured_or_refused(self, kit: Kit) -> None:
        """A delayed message comes no earlier, and holds up nothing; without the capability a delay is refused."""
        provider, queue = kit.filled("")
        if not kit.capabilities.send_delay:
            with pytest.raises(CapabilityError):
                kit.send(provider, queue, kit.messages("a"), delay=1.0)
            kit.refused("send_delay")
            return
        recorder = kit.listen(provider, queue, window=10)
        begin = time.monotonic()
        kit.put(provider, queue, kit.messages("a"), delay=0.5)
        kit.put(provider, queue, kit.messages("b"))
        recorder.wait(2, "a delayed message comes when it is due")
        assert time.monotonic() - begin >= 0.5 - TOLERANCE, "a delayed message comes no earlier than asked"
        assert recorder.bodies() == ["b", "a"], "a delayed message holds up nothing"

    def test_an_exclusive_consumer_gets_everything(self, kit: Kit) -> None:
        """One of several, in order; when it goes, another one takes over, in order."""
        provider, queue = kit.filled("")
        if not kit.capabilities.exclusive:
            kit.not_applicable("exclusive")  # asserted to be refused for an ordered listener
            return
        recorders = [kit.listen(kit.provider(), queue, window=3, exclusive=True) for _ in range(2)]
        kit.put(provider, topic_of(queue), kit.messages("abcdef"))
        first, second = recorders
        if not first.deliveries.items() and second.deliveries.items():
            first, second = second, first
        recorders[0].wait(3, "one of the exclusive consumers gets everything")
        assert second.bodies() == [], "an exclusive consumer gets everything, the others stand by"
        recorders[0].settle(recorders[0].deliveries.items()[:2])
        recorders[0].wait(5)
        recorders[0].handle.close().result(LIMIT)
        recorders[1].react = recorder_accept(recorders[1])
        recorders[1].settle(recorders[1].wait(3, "another consumer takes over"))
        recorders[1].wait(4)
        assert recorders[1].bodies() == ["c", "d", "e", "f"], "the next exclusive consumer goes on in order"

    def test_an_address_without_queues_is_reported_where_the_provider_can(self, kit: Kit) -> None:
        """``UnroutedError``; otherwise the send is confirmed."""
        done = kit.send(kit.provider(), Destination(kit.name("Nobody")), kit.messages("a"))
        [(_, error)] = done.wait(1)
        if kit.claims("reports_unroutable"):
            assert isinstance(error, UnroutedError), "a send that no queue takes is reported"
        else:
            assert error is None

    def test_a_message_too_large_is_refused_at_once(self, kit: Kit) -> None:
        """Nothing of its batch is taken."""
        provider, queue = kit.filled("")
        limit = kit.capabilities.max_message_bytes
        if limit is None:
            kit.not_applicable("max_message_bytes")  # a large body is asserted to arrive
            return
        large = Message(body=b"x" * (limit + 1), dedup_id=kit.name("id"))
        with pytest.raises(MessageTooLargeError):
            kit.send(provider, queue, [*kit.messages("a"), large])
        assert kit.read(queue) == [], "where send raises, nothing of the batch was taken"

    def test_equal_destinations_have_the_same_producer(self, kit: Kit) -> None:
        """So that asking for one costs nothing."""
        provider, queue = kit.filled("")
        assert provider.producer(queue) is provider.producer(replace(queue))

    def test_a_closed_provider_subscribes_nothing(self, kit: Kit) -> None:
        """Told at once."""
        provider = kit.provider()
        provider.close(LIMIT)
        with pytest.raises(ConnectionLostError):
            provider.subscribe(Subscription(destination=kit.queue(), dead_letter=None, exclusive=False), Recorder())

    def test_closing_before_opening_has_no_effect(self, kit: Kit) -> None:
        """The provider can be opened and used all the same."""
        _, queue = kit.filled("")
        provider = kit.new_provider()
        provider.close(LIMIT)
        provider.open(lambda _, __: None)
        kit.put(provider, topic_of(queue), kit.messages("a"))
        assert [message.body for message in kit.read(queue)] == [b"a"], "closing before opening has no effect"


def _told(message: Message, confirmed: Log[bytes], failed: Log[Exception], room: threading.Semaphore) -> Done:
    def done(_: int, error: Exception | None) -> None:
        room.release()
        if error is None:
            confirmed.add(message.body)
        else:
            failed.add(error)

    return done
