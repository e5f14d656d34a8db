"""Conformance: what becomes of an event whose listener fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from eventing_core import Envelope, EnvelopePipeline, Retry
from eventing_core.provider import Destination, Message
from eventing_core.receive._queues import dead_letters_of
from eventing_core.testing._kit import Kit, Listener, Sample
from eventing_core.testing._probe import Log, until

#: How much earlier than asked a timer may seem to go off, in seconds: clocks are read at different places.
TOLERANCE = 0.02


class BrokenError(Exception):
    """What the kit's listeners raise."""


class Spoiler(EnvelopePipeline):
    """Changes the envelope in each attempt, and keeps what it found before."""

    def __init__(self) -> None:
        self.found: Log[dict[str, str]] = Log()

    def handle(self, envelope: Envelope, event_listener_descriptor: object) -> Iterator[None]:  # noqa: ARG002 (the pipeline's signature)
        """Change the envelope."""
        self.found.add({key: value for key, value in envelope.headers.items() if not key.startswith("eventing-")})
        envelope.set("added", "by an attempt")
        envelope.set("kept", "changed by an attempt")
        yield


class FailureTests:
    """See the module."""

    @pytest.fixture(params=["held", "copied"])
    def way(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kit: Kit) -> str:
        """How a retry waits: held in the process, or as a delayed copy, which the core makes for long waits."""
        if request.param == "copied" and kit.claims("send_delay"):
            monkeypatch.setattr("eventing_core.receive.machine._failing.HOLD_LIMIT", 0.0)
        return str(request.param)

    def dead_letters(self, kit: Kit, listener: Listener, count: int) -> list[Message]:
        """The first dead letters of a listener, as they come, read from the broker."""
        recorder = kit.listen(kit.provider(), dead_letters_of(kit.queue(listener=listener)), window=100)
        found = [delivery.message() for delivery in recorder.wait(count, "dead letters arrive at the broker")]
        recorder.settle(recorder.deliveries.items())
        return found

    @pytest.mark.usefixtures("way")
    def test_a_failed_event_is_tried_again_until_it_succeeds(self, kit: Kit) -> None:
        """Two failures, then a success: three runs, and nothing is left in the queue or dead-lettered."""
        attempts: Log[int] = Log()

        def on(event: Sample) -> None:
            attempts.add(event.number)
            if len(attempts.items()) < 3:
                msg = "not yet"
                raise BrokenError(msg)

        kind = kit.event()
        listener = kit.listener(kind, on)
        manager = kit.manager(listener)
        manager.send_event(kind(1))
        attempts.wait(3, "a failed event is tried again")
        manager.stop()
        assert attempts.items() == [1, 1, 1], "what succeeded is not tried again"
        queue = kit.queue(listener=listener)
        assert kit.read(queue) == [], "what succeeded has left the queue, its copies too"
        assert kit.read(dead_letters_of(queue)) == [], "what succeeded is not dead-lettered"

    @pytest.mark.usefixtures("way")
    def test_attempts_are_counted_across_processes(self, kit: Kit) -> None:
        """A process that stops hands its count over: there are as many runs in all as ``max_attempts`` says."""
        runs: Log[int] = Log()

        def on(event: Sample) -> None:
            runs.add(event.number)
            raise BrokenError

        kind = kit.event()
        listener = kit.listener(kind, on, retry=Retry(max_attempts=3, initial=0.3, factor=1, jitter=0))
        first = kit.manager(listener)
        first.send_event(kind(1))
        runs.wait(1, "a listener runs")
        first.stop()
        second = kit.manager(listener)
        runs.wait(3, "attempts are counted across processes, up to max_attempts")
        [dead] = self.dead_letters(kit, listener, 1)
        second.stop()
        assert runs.items() == [1, 1, 1], "attempts are counted across processes, up to max_attempts"
        assert dead.headers["eventing-attempts"] == "3", "a dead letter counts all its attempts"

    @pytest.mark.usefixtures("way")
    def test_retry_delays_are_honoured(self, kit: Kit) -> None:
        """No attempt comes before its time."""
        times: Log[float] = Log()

        def on(_: Sample) -> None:
            times.add(time.monotonic())
            raise BrokenError

        kind = kit.event()
        retry = Retry(max_attempts=3, initial=0.3, factor=2, jitter=0)
        manager = kit.manager(kit.listener(kind, on, retry=retry))
        manager.send_event(kind(1))
        first, second, third = times.wait(3, "a failing event is tried as often as max_attempts says")
        assert second - first >= 0.3 - TOLERANCE, "the first retry waits as long as it should"
        assert third - second >= 0.6 - TOLERANCE, "the second retry waits longer, by the factor"

    @pytest.mark.usefixtures("way")
    def test_a_retry_does_not_hold_up_other_events(self, kit: Kit) -> None:
        """With a concurrency of 1 too, what comes after a failed event is handled while that one waits."""
        handled: Log[int] = Log()

        def on(event: Sample) -> None:
            handled.add(event.number)
            if event.number == 0 and handled.items().count(0) == 1:
                raise BrokenError

        kind = kit.event()
        manager = kit.manager(kit.listener(kind, on, retry=Retry(initial=1.5, jitter=0)))
        manager.send_events(kind(number) for number in range(6))
        everything = handled.wait(7, "all are handled, and the failed one again")
        assert everything == [0, 1, 2, 3, 4, 5, 0], "a retry that waits holds up nothing behind it"

    @pytest.mark.usefixtures("way")
    def test_each_attempt_starts_from_the_original_event(self, kit: Kit) -> None:
        """What a failed attempt changed, in event or envelope, is gone in the next."""
        seen: Log[tuple[int, str]] = Log()
        spoiler = Spoiler()

        def on(event: Any) -> None:
            seen.add((event.number, event.text))
            event.number, event.text = 99, "changed by an attempt"
            raise BrokenError

        kind = kit.event()
        listener = kit.listener(kind, on)
        manager = kit.manager(listener, pipelines=[spoiler])
        manager.send_event(kind(1, "original"), headers={"kept": "as sent"})
        seen.wait(3, "a failing event is tried again")
        [dead] = self.dead_letters(kit, listener, 1)
        assert seen.items() == [(1, "original")] * 3, "each attempt gets a fresh event"
        assert spoiler.found.items() == [{"kept": "as sent"}] * 3, "each attempt gets a fresh envelope"
        assert dead.headers["kept"] == "as sent", "a dead letter has the headers as they were sent"
        assert "added" not in dead.headers, "a dead letter has no header that a failed attempt set"

    @pytest.mark.usefixtures("way")
    def test_after_the_last_attempt_comes_the_dead_letter_queue(self, kit: Kit) -> None:
        """Body, own headers and id as received, with the reason, read back from the broker."""
        runs: Log[int] = Log()

        def on(event: Sample) -> None:
            runs.add(event.number)
            msg = "kaputt \N{SNOWMAN}"
            raise BrokenError(msg)

        kind = kit.event()
        listener = kit.listener(kind, on)
        manager = kit.manager(listener)
        manager.send_event(kind(1, "ü"), headers={"session": "s 1"})
        [dead] = self.dead_letters(kit, listener, 1)
        queue = kit.queue(listener=listener)
        assert len(runs.items()) == 3, "a failing event runs as often as max_attempts says"
        assert dead.body == '{"number":1,"text":"ü"}'.encode(), "a dead letter has the body as it was sent"
        datetime.fromisoformat(dead.headers["eventing-first-failed-at"])
        assert {key: value for key, value in dead.headers.items() if key != "eventing-first-failed-at"} == {
            "session": "s 1",
            "eventing-reason": "failed",
            "eventing-attempts": "3",
            "eventing-error-type": f"{__name__}.BrokenError",
            "eventing-error-message": "kaputt \N{SNOWMAN}",
            "eventing-listener": queue.group,
            "eventing-event": queue.topic,
            "eventing-server": dead.headers["eventing-server"],
        }, "a dead letter says why, and has the headers as they were sent"
        assert dead.message_id, "a dead letter has the original's id"
        assert dead.content_type == "application/json"
        manager.stop()
        assert kit.read(queue) == [], "what was dead-lettered has left the queue"

    def test_dead_letters_are_per_listener(self, kit: Kit) -> None:
        """One listener's failure is not the other's."""
        kind = kit.event()
        good: Log[int] = Log()

        def on(_: Sample) -> None:
            raise BrokenError

        bad_one, good_one = kit.listener(kind, on), kit.listener(kind, lambda event: good.add(event.number))
        manager = kit.manager(bad_one, good_one)
        manager.send_event(kind(1))
        self.dead_letters(kit, bad_one, 1)
        good.wait(1, "the other listener gets the event")
        manager.stop()
        assert good.items() == [1], "one listener's retries don't reach the other"
        assert kit.read(dead_letters_of(kit.queue(listener=good_one))) == []

    @pytest.mark.parametrize("error", [BrokenError, SystemExit], ids=["fatal", "exit"])
    def test_a_fatal_error_is_dead_lettered_at_once(self, kit: Kit, error: type[BaseException]) -> None:
        """No second attempt for what the listener lists as fatal."""
        runs: Log[int] = Log()

        def on(event: Sample) -> None:
            runs.add(event.number)
            raise error

        kind = kit.event()
        listener = kit.listener(kind, on, retry=Retry(max_attempts=5, initial=0.01, fatal=(error,)))
        manager = kit.manager(listener)
        manager.send_event(kind(1))
        [dead] = self.dead_letters(kit, listener, 1)
        manager.stop()
        assert runs.items() == [1], "a fatal error is not tried again"
        assert dead.headers["eventing-reason"] == "fatal"
        assert dead.headers["eventing-attempts"] == "1"

    @pytest.mark.parametrize(
        "body",
        [b"\xff\xfe no text", b"{", b'{"number": "seven"}', b"[1]", b""],
        ids=["bytes", "json", "type", "list", "empty"],
    )
    def test_an_undecodable_body_is_dead_lettered_at_once(self, kit: Kit, body: bytes) -> None:
        """The listener never sees it, and what is behind it is handled."""
        got: Log[int] = Log()
        kind = kit.event()
        listener = kit.listener(kind, lambda event: got.add(event.number))
        manager = kit.manager(listener)
        topic = Destination(kit.queue(listener=listener).topic, durable=kit.capabilities.durable)
        kit.put(kit.provider(), topic, [Message(body=body, headers={"own": "kept"})])
        manager.send_event(kind(2))
        [dead] = self.dead_letters(kit, listener, 1)
        assert dead.body == body, "an undecodable body is dead-lettered as it came"
        assert dead.headers["eventing-reason"] == "undecodable"
        assert dead.headers["own"] == "kept"
        assert got.wait(1, "what is behind an undecodable body is handled") == [2]

    def test_an_ordered_listener_retries_in_place(self, kit: Kit) -> None:
        """Across managers: one at a time, in order, and a failed event is tried again before the next."""
        handled: Log[int] = Log()

        def on(event: Sample) -> None:
            handled.add(event.number)
            if event.number % 3 == 1 and handled.items().count(event.number) == 1:
                raise BrokenError

        kind = kit.event()
        listener = kit.listener(kind, on, ordered=True)
        if not kit.capabilities.exclusive:
            kit.assert_refused(listener, "ordered", "exclusive")
            return
        managers = [kit.manager(listener) for _ in range(2)]
        managers[0].send_events(kind(number) for number in range(9))
        expected = [number for n in range(9) for number in ([n, n] if n % 3 == 1 else [n])]
        assert handled.wait(12, "an ordered listener handles all") == expected, "an ordered listener retries in place"

    def test_a_listener_that_fails_with_everything_pauses(self, kit: Kit) -> None:
        """Nothing counts meanwhile, nothing is dead-lettered, and all is handled when what it needs is back."""
        kind = kit.event()
        tried: Log[int] = Log()
        handled: Log[int] = Log()
        is_up = threading.Event()

        def on(event: Sample) -> None:
            tried.add(event.number)
            if not is_up.is_set():
                raise BrokenError
            handled.add(event.number)

        retry = Retry(max_attempts=2, initial=0.3, factor=1, jitter=0, pause_after=3)
        listener = kit.listener(kind, on, concurrency=2, prefetch=10, retry=retry)
        manager = kit.manager(listener)
        manager.send_events(kind(number) for number in range(12))
        until(lambda: manager.health().listeners[0].paused, "a listener pauses when everything fails")
        tried.wait(len(tried.items()) + 4, "a paused listener tries single events")
        assert not handled.items()
        is_up.set()
        handled.wait(12, "a listener handles everything when what it needs is back")
        until(lambda: manager.health().consuming, "a listener that pauses no more consumes")
        manager.stop()
        assert sorted({*handled.items()}) == list(range(12))
        assert kit.read(dead_letters_of(kit.queue(listener=listener))) == [], "while it pauses, nothing counts"

    def test_many_failing_events_all_end_as_dead_letters(self, kit: Kit) -> None:
        """Failures under load, beside successes: each event ends in exactly one place."""
        good: Log[int] = Log()
        kind = kit.event()
        listener = kit.listener(kind, _odd_ones_fail(good), concurrency=4, prefetch=10)
        manager = kit.manager(listener)
        manager.send_events(kind(number) for number in range(60))
        dead = self.dead_letters(kit, listener, 30)
        good.wait(30, "the good ones are handled")
        manager.stop()
        assert sorted(good.items()) == list(range(0, 60, 2))
        numbers = sorted(int(message.body.split(b":")[1].split(b",")[0]) for message in dead)
        assert numbers == list(range(1, 60, 2)), "each failing event is dead-lettered once"
        assert kit.read(kit.queue(listener=listener)) == []


def _odd_ones_fail(good: Log[int]) -> Callable[[Sample], None]:
    def on(event: Sample) -> None:
        if event.number % 2:
            raise BrokenError
        good.add(event.number)

    return on
