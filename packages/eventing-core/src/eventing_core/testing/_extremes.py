"""Conformance: names, sizes and numbers at the ends of what the core allows."""

from __future__ import annotations

from dataclasses import replace

from eventing_core.errors import HeaderError
from eventing_core.provider import Destination
from eventing_core.receive._queues import dead_letters_of
from eventing_core.testing._delivery import Capture
from eventing_core.testing._kit import Kit, Sample, recorder_accept, topic_of
from eventing_core.testing._probe import Log, Recorder

#: Numbers that a provider has to bear.
WINDOW, QUEUED, DEAD, LISTENERS = 500, 10_000, 1_000, 7

#: An event's and a listener's name that some mapping to addresses confuses with another one here; ``{}`` is the test's
#: own part. A listener's name is unique with its own case: some brokers want that.
NAMES = [
    ("order-{}", "ship-{}"),
    ("Order-{}", "pack-{}"),  # case, of events and of listeners
    ("order-{}", "Ship-{}"),
    ("case-{}-a", "b-{}"),  # dashes on both sides
    ("case-{}", "a-b-{}"),
    ("case.{}.a", "b.{}"),  # separators of other technologies
    ("case.{}", "a.b.{}"),
    ("case_{}_a", "b_{}"),
    ("case_{}", "a_b_{}"),
    ("größe-{}-\N{SNOWMAN}-\u65e5\u672c", "empfänger-{}-\N{GRINNING FACE}"),
    ("größe-{}-\N{UMBRELLA}-\u65e5\u672c", "empfänger-{}-\N{SNOWMAN}"),
    ("gr\u00f6sse-{}", "e-{}"),  # of one shape, in two spellings
    ("gro\u0308sse-{}", "f-{}"),
    ("long-{}-" + "n" * 178, "listener-{}-" + "l" * 173),  # of 200 characters
]

HEADERS = {
    "x-20kb": "0123456789" * 2048,
    "x-empty": "",
    "x-case": "lower",
    "X-Case": "upper",
    "X-CASE": "",
    **{f"x-header-{number}": f"value {number}" for number in range(60)},
}


class ExtremeTests:
    """See the module."""

    def test_names_are_kept_apart(self, kit: Kit) -> None:
        """Events and listeners of similar names have queues of their own: case, spelling, separators, length."""
        provider = kit.provider()
        own = kit.name("x")
        queues = [
            Destination(
                topic.replace("{}", own), group.replace("{}", own), kind="queue", durable=kit.capabilities.durable
            )
            for topic, group in NAMES
        ]
        recorders = [kit.listen(provider, queue, window=100) for queue in queues]
        for number, queue in enumerate(queues):
            [message] = kit.messages("x")
            kit.put(provider, queue, [replace(message, body=str(number).encode())])
        # The other way round: two that share a queue by turns don't get their own ones by chance.
        for topic in dict.fromkeys(topic_of(queue) for queue in reversed(queues)):
            [message] = kit.messages("x")
            [(_, error)] = kit.send(provider, topic, [replace(message, body=topic.topic.encode())]).wait(1)
            assert error is None, f"names are kept apart: what is sent to {topic} is confirmed, not {error!r}"
        for number, (queue, recorder) in enumerate(zip(queues, recorders, strict=True)):
            recorder.wait(2, f"names are kept apart: what is sent to {queue} arrives there")
            assert sorted(recorder.bodies()) == sorted([str(number), queue.topic]), (
                f"names are kept apart: {queue} gets what is sent to it alone, or events reach the wrong listener"
            )

    def test_large_and_many_headers_arrive_or_are_refused(self, kit: Kit) -> None:
        """20 KB in one, similar keys, empty values, more than sixty: never changed, never dropped."""
        got: Log[Sample] = Log()
        capture = Capture()
        kind = kit.event()
        manager = kit.manager(kit.listener(kind, got.add), pipelines=[capture])
        refused: dict[str, str] = {}
        for headers in (HEADERS, {f"x-header-{number}": "v" for number in range(100)}):
            try:
                manager.send_event(kind(1), headers=headers)
            except HeaderError as error:
                refused[str(error)] = next(iter(headers))
                continue
            expected = 2 - len(refused) if headers is not HEADERS else 1
            got.wait(expected, "an event with large or many headers arrives, or its send is refused")
            found = capture.envelopes.items()[-1].headers
            changed = sorted(key for key, value in headers.items() if found.get(key) != value)
            assert not changed, f"large and many headers arrive as they were sent, or the send is refused: {changed}"
        kit.finding.reasons.extend(refused)

    def test_a_large_window_is_used_to_the_full(self, kit: Kit) -> None:
        """500 are out at once, and no more, of ten thousand; then all the others come, in order."""
        provider, queue = kit.filled("")
        kit.put(
            provider,
            topic_of(queue),
            [replace(message, body=str(number).encode()) for number, message in enumerate(kit.messages("x" * QUEUED))],
        )
        recorder = kit.listen(provider, queue, window=WINDOW)
        first = recorder.wait(WINDOW, "a window of 500 is used to the full")
        assert len(recorder.deliveries.items()) == WINDOW, "delivered and unsettled is at most the window"
        recorder.react = recorder_accept(recorder)
        recorder.settle(first)
        recorder.wait(QUEUED, "ten thousand that waited are delivered: none is lost in a long queue")
        assert recorder.bodies() == [str(number) for number in range(QUEUED)], "a long queue keeps its order"

    def test_a_thousand_dead_letters_are_kept_and_can_be_read(self, kit: Kit) -> None:
        """They are all that is left of their events."""
        provider, queue = kit.filled("")
        dead = dead_letters_of(queue)
        kit.put(
            provider,
            dead,
            [replace(message, body=str(number).encode()) for number, message in enumerate(kit.messages("x" * DEAD))],
        )
        bodies = [int(message.body) for message in kit.read(dead)]
        assert sorted(bodies) == [*range(DEAD)], "a thousand dead letters are kept, and can be read"

    def test_many_listeners_of_one_provider_get_every_event(self, kit: Kit) -> None:
        """Seven of one event: each send reaches all of them, and is confirmed only then."""
        provider, queue = kit.filled("")
        queues = [replace(queue, group=kit.name("Listener")) for _ in range(LISTENERS)]
        recorders: list[Recorder] = [kit.listen(provider, each, window=20) for each in queues]
        kit.put(provider, topic_of(queue), kit.messages("abcdefghij"))
        for recorder in recorders:
            recorder.wait(10, "each of many listeners gets every event")
            assert recorder.bodies() == [*"abcdefghij"], "each of many listeners gets every event, in order"
