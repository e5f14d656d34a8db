"""Conformance: events reach whom they should, whole, and run as declared."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

import pytest

from eventing_core import Envelope, EnvelopePipeline, ManagerStateError
from eventing_core.provider import Destination, Message
from eventing_core.testing._kit import Kit, Sample
from eventing_core.testing._probe import LIMIT, Log

#: Every kind of header that `Envelope.set` allows and that some transport may break.
HEADERS = {
    "plain": "value",
    "x-empty": "",
    "x:colon": "a:b",
    "x key": " outer spaces ",
    "back\\slash": "\\n isn't a newline",
    "x-lines": "one\ntwo\r\nthree\ttabbed",
    "schlüssel": "größer \N{SNOWMAN} \N{GRINNING FACE} \u05e9\u05dc\u05d5\u05dd",
    "x-json": '{"a": [1, "b"]}',
    "x-long": "long " * 400,
}

TEXTS = [
    "",
    "größer \N{SNOWMAN} \N{GRINNING FACE} \u05e9\u05dc\u05d5\u05dd \u65e5\u672c",
    'quotes " and \\ and \n and \0',
    "\N{COMBINING ACUTE ACCENT}e \u202e \ufeff",
]


@dataclass
class NewerSample(Sample):
    """A later version of the kit's event."""

    added: list[str] = field(default_factory=list)


class Capture(EnvelopePipeline):
    """Keeps the envelopes of all attempts."""

    def __init__(self) -> None:
        self.envelopes: Log[Envelope] = Log()

    def handle(self, envelope: Envelope, event_listener_descriptor: object) -> None:  # noqa: ARG002 (the pipeline's signature)
        """Keep it."""
        self.envelopes.add(envelope)


class Session(EnvelopePipeline):
    """Carries a session id from the sender to the listener, and opens it around ``on``."""

    def __init__(self) -> None:
        self.current = threading.local()
        self.sending = ""
        self.closed: Log[str] = Log()

    def send(self, envelope: Envelope, event_descriptor: object) -> None:  # noqa: ARG002 (the pipeline's signature)
        """Capture the session."""
        envelope.set("session", self.sending)

    def handle(self, envelope: Envelope, event_listener_descriptor: object) -> Iterator[None]:  # noqa: ARG002 (the pipeline's signature)
        """Open the session, and close it after."""
        self.current.session = envelope.get("session")
        try:
            yield
        finally:
            self.closed.add(self.current.session)
            self.current.session = None


class DeliveryTests:
    """See the module."""

    def test_event_and_headers_arrive_as_sent(self, kit: Kit) -> None:
        """Body and headers make the round trip unchanged, and no header is added but the core's own."""
        got: Log[Sample] = Log()
        capture = Capture()
        kind = kit.event()
        manager = kit.manager(kit.listener(kind, got.add), pipelines=[capture])
        manager.send_event(kind(7, "seven"), headers=HEADERS)
        assert got.wait(1, "a sent event reaches its listener") == [kind(7, "seven")]
        [envelope] = capture.envelopes.items()
        own = {key: value for key, value in envelope.headers.items() if not key.startswith("eventing-")}
        assert own == HEADERS, "headers arrive as they were sent"
        assert '"seven"' in envelope.get_body(), "the envelope's body is the serialised event"

    @pytest.mark.parametrize("text", TEXTS, ids=["empty", "unicode", "escapes", "marks"])
    def test_unicode_bodies_arrive_as_sent(self, kit: Kit, text: str) -> None:
        """Text of any kind makes the round trip."""
        got: Log[Sample] = Log()
        kind = kit.event()
        manager = kit.manager(kit.listener(kind, got.add))
        manager.send_event(kind(1, text))
        assert got.wait(1, "an event with unusual text reaches its listener")[0].text == text

    def test_large_bodies_arrive_as_sent(self, kit: Kit) -> None:
        """5 MB, or as much as the provider says that it carries, and not at once the next."""
        got: Log[Sample] = Log()
        kind = kit.event()
        limit = kit.capabilities.max_message_bytes
        size = 5_000_000 if limit is None else min(5_000_000, limit - 200)
        manager = kit.manager(kit.listener(kind, got.add))
        text = ("0123456789abcdef" * (size // 16 + 1))[:size]
        manager.send_events([kind(1, text), kind(2, "small")])
        large, small = got.wait(2, "a large event reaches its listener, and the next one too")
        assert large.text == text, "a large body arrives whole"
        assert small == kind(2, "small")

    def test_nothing_of_an_event_is_seen_by_the_next(self, kit: Kit) -> None:
        """Neither its headers nor what its listener put into the context."""
        found: Log[tuple[int, str, str]] = Log()
        capture = Capture()
        context: ContextVar[str] = ContextVar("context", default="")

        def on(event: Sample) -> None:
            found.add((event.number, event.text, context.get()))
            context.set(event.text)

        kind = kit.event()
        manager = kit.manager(kit.listener(kind, on), pipelines=[capture])
        for number in range(6):
            manager.send_event(kind(number, f"text {number}"), headers={f"header-{number}": "value"})
        expected = [(number, f"text {number}", "") for number in range(6)]
        assert found.wait(6, "events arrive") == expected, "nothing that a listener put into the context is left"
        headers = [
            {key for key in envelope.headers if key.startswith("header-")} for envelope in capture.envelopes.items()
        ]
        assert headers == [{f"header-{number}"} for number in range(6)], "an event has the headers of no other one"

    def test_order_per_sender_is_kept(self, kit: Kit) -> None:
        """With a concurrency of 1, the events of each sender are handled in the order of their sending."""
        got: Log[tuple[str, int]] = Log()
        kind = kit.event()
        kit.manager(kit.listener(kind, lambda event: got.add((event.text, event.number))))
        senders = {name: kit.new_manager() for name in ("a", "b")}
        threads = [
            threading.Thread(target=manager.send_events, args=([kind(n, name) for n in range(200)],))
            for name, manager in senders.items()
        ]
        for thread in threads:
            thread.start()
        everything = got.wait(400, "the events of two senders arrive")
        for thread in threads:
            thread.join(LIMIT)
        for sender in senders:
            numbers = [number for name, number in everything if name == sender]
            assert numbers == list(range(200)), "events of one sender are handled in the order of their sending"

    @pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "async"])
    def test_concurrency_is_reached_and_never_exceeded(self, kit: Kit, *, asynchronous: bool) -> None:
        """Exactly so many runs of ``on`` at a time as declared."""
        level: Log[int] = Log()
        running = 0
        lock = threading.Lock()  # guards running
        together = threading.Barrier(3)

        def enter(step: int) -> None:
            nonlocal running
            with lock:
                running += step
                level.add(running)

        def on(_: Sample) -> None:
            enter(1)
            together.wait(LIMIT)
            enter(-1)

        async def on_async(_: Sample) -> None:
            enter(1)
            await asyncio.to_thread(together.wait, LIMIT)
            enter(-1)

        kind = kit.event()
        listener = kit.listener(kind, on_async if asynchronous else on, asynchronous=asynchronous, concurrency=3)
        manager = kit.manager(listener)
        manager.send_events(kind(number) for number in range(30))
        levels = level.wait(60, "as many run at a time as concurrency says, and all are handled")
        assert max(levels) == 3, "no more run at a time than concurrency says"

    @pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "async"])
    def test_concurrency_of_one_runs_one_at_a_time(self, kit: Kit, *, asynchronous: bool) -> None:
        """The default: no two runs overlap."""
        steps: Log[tuple[str, int]] = Log()

        def on(event: Sample) -> None:
            steps.add(("begin", event.number))
            time.sleep(0)  # gives the processor away
            steps.add(("end", event.number))

        async def on_async(event: Sample) -> None:
            steps.add(("begin", event.number))
            await asyncio.sleep(0)
            steps.add(("end", event.number))

        kind = kit.event()
        manager = kit.manager(
            kit.listener(kind, on_async if asynchronous else on, asynchronous=asynchronous),
            kit.listener(kind, lambda _: None),
        )
        manager.send_events(kind(number) for number in range(50))
        expected = [(step, number) for number in range(50) for step in ("begin", "end")]
        assert steps.wait(100, "all are handled") == expected, "with a concurrency of 1 no two runs overlap"

    def test_pipelines_carry_a_session_from_sender_to_listener(self, kit: Kit) -> None:
        """What ``send`` put in the envelope is there for ``handle``, which stands around ``on``."""
        session = Session()
        got: Log[tuple[int, str]] = Log()
        kind = kit.event()
        listener = kit.listener(kind, lambda event: got.add((event.number, session.current.session)))
        manager = kit.manager(listener, pipelines=[session])
        for number in range(10):
            session.sending = f"session {number}"
            manager.send_event(kind(number))
        assert got.wait(10, "events arrive") == [(number, f"session {number}") for number in range(10)]
        session.closed.wait(10, "a pipeline's rest runs after the listener")

    def test_async_listeners_handle_and_retry(self, kit: Kit) -> None:
        """``async def on`` works like a plain one."""
        attempts: Log[int] = Log()

        async def on(event: Sample) -> None:
            await asyncio.sleep(0)
            attempts.add(event.number)
            if attempts.items().count(event.number) == 1:
                msg = "the first attempt"
                raise ValueError(msg)

        kind = kit.event()
        manager = kit.manager(kit.listener(kind, on, asynchronous=True, concurrency=5))
        manager.send_events(kind(number) for number in range(5))
        everything = attempts.wait(10, "a failed async run is tried again")
        manager.stop()
        assert sorted(everything) == sorted([*range(5), *range(5)])
        assert len(attempts.items()) == 10, "what succeeded is not handled again"

    def test_a_listener_may_send(self, kit: Kit) -> None:
        """Blocking inside ``on``, awaited inside ``async def on``, where a blocking send is refused."""
        first, second, third = kit.event(), kit.event(), kit.event()
        got: Log[int] = Log()
        refused: Log[Exception] = Log()

        async def forward(event: Sample) -> None:
            try:
                manager.send_event(third(0))
            except ManagerStateError as error:
                refused.add(error)
            await manager.send_event_async(third(event.number + 1))

        manager = kit.new_manager(
            kit.listener(first, lambda event: manager.send_event(second(event.number + 1))),
            kit.listener(second, forward, asynchronous=True),
            kit.listener(third, lambda event: got.add(event.number)),
        )
        manager.start()
        manager.send_events(first(number) for number in range(20))
        assert sorted(got.wait(20, "listeners may send")) == [number + 2 for number in range(20)]
        assert len(refused.items()) == 20, "a blocking send on the manager's event loop is refused"

    def test_all_ways_of_sending_confirm(self, kit: Kit) -> None:
        """Confirmed means that it is there, by whichever method it was sent."""
        kind = kit.event()
        listener = kit.listener(kind, lambda _: None)
        kit.manager(listener).stop()
        manager = kit.new_manager()
        manager.send_event(kind(0))
        manager.send_events(kind(number) for number in (1, 2))
        manager.submit_event(kind(3)).result(LIMIT)
        asyncio.run(manager.send_event_async(kind(4)))
        bodies = [message.body for message in kit.read(kit.queue(listener=listener))]
        assert len(bodies) == 5, f"a confirmed event is in the queue: {bodies}"
        assert [f'"number":{number}'.encode() in body for number, body in enumerate(bodies)] == [True] * 5

    def test_json_of_other_senders_is_accepted_if_it_fits(self, kit: Kit) -> None:
        """Unknown fields are ignored, missing ones take their defaults; there are no ids and no content type."""
        got: Log[Sample] = Log()
        kind = kit.event()
        listener = kit.listener(kind, got.add)
        kit.manager(listener)
        topic = Destination(kit.queue(listener=listener).topic, durable=kit.capabilities.durable)
        body = b'{ "unknown" : [1, {"a": null}] , "number" : 7 }'
        kit.put(kit.provider(), topic, [Message(body=body, content_type="")])
        assert got.wait(1, "JSON of another sender reaches the listener") == [kind(7, "")]

    def test_unknown_fields_are_ignored_and_missing_ones_take_defaults(self, kit: Kit) -> None:
        """Senders and listeners of different versions of an event, in both directions."""
        name = kit.name("Event")
        old, new = kit.event(name=name), kit.event(name=name, base=NewerSample)
        got_old: Log[Sample] = Log()
        got_new: Log[NewerSample] = Log()
        with_old, with_new = kit.manager(kit.listener(old, got_old.add)), kit.manager(kit.listener(new, got_new.add))
        with_old.send_event(old(1, "old"))
        with_new.send_event(new(2, "new", ["added"]))
        assert got_old.wait(2, "unknown fields are ignored") == [old(1, "old"), old(2, "new")]
        assert got_new.wait(2, "missing fields take their defaults") == [new(1, "old", []), new(2, "new", ["added"])]
