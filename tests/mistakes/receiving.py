"""Bodies of other programs, listeners that fail or block, dead letters, and the broker's own settings."""

from __future__ import annotations

import gzip
import json
import math
import threading
from concurrent.futures import Future

from eventing_amqp import AMQProvider
from eventing_core import EventListener, Retry, event_listener
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.provider import Destination, Message
from eventing_core.testing import wait_idle
from examples.dead_letters import DeadLetters, TruncatedError
from tests.mistakes.declaring import OnPlaced, Placed
from tests.mistakes.table import Group, Stage
from tests.support.plain import PlainClient
from tests.support.waiting import until
from tests.support.workers import event_named, listener_of

RECEIVING = Group("receiving")

#: How long a log line may take, in seconds.
_SOON = 10.0


def receive(stage: Stage, body: bytes) -> None:
    """Have a good listener get a body that another program has sent."""
    broker = MemoryBroker()
    stage.manager(OnPlaced, provider=MemoryProvider("server", broker)).start()
    put(broker, Destination("Placed"), Message(body=body, message_id="1", dedup_id="1"))
    until(lambda: "dead" in str(stage.logged()), "it is said", _SOON)


def put(broker: MemoryBroker, to: Destination, message: Message) -> None:
    """Send a message as another program does."""
    other = MemoryProvider("other", broker)
    other.open(lambda *_: None)
    try:
        sent: Future[Exception | None] = Future()
        other.producer(to).send([message], lambda _, error: sent.set_result(error), deadline=math.inf)
        assert sent.result(_SOON) is None
    finally:
        other.close(1)


BODIES: dict[str, tuple[bytes, str]] = {
    "gzip": (gzip.compress(b"{}"), "compressed with gzip, and only uncompressed JSON is read"),
    "UTF-16": ('{"number": 1}'.encode("utf-16"), "UTF-16 (little endian), and only UTF-8 is read"),
    "UTF-16 without a mark": ('{"number": 1}'.encode("utf-16-be"), "UTF-16 (big endian), and only UTF-8 is read"),
    "Latin-1": ('{"number": "\xe9"}'.encode("latin-1"), "another charset, such as ISO-8859-1"),
    "XML": (b"<order/>", "it seems to be XML, and only JSON is read"),
    "nothing": (b"", "it is empty"),
    "a mark and no event": (b"\xef\xbb\xbf[]", "is not a valid"),
}


def add_body(name: str, body: bytes, what: str) -> None:
    """Add the mistake of sending such a body."""

    @RECEIVING.add(
        f"a body of {name}", "OnPlaced", "Placed", what, fix="correct its sender or the event class", by_log=True
    )
    def _(stage: Stage) -> None:
        receive(stage, body)


for _name, (_body, _what) in BODIES.items():
    add_body(_name, _body, _what)


@RECEIVING.add(
    "the first of several failures", "OnFailing", "attempt 1 of 2", "no stock", fix="the next in", by_log=True
)
def _(stage: Stage) -> None:
    @event_listener(Placed, retry=Retry(max_attempts=2, initial=60.0, max_delay=60.0))
    class OnFailing(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            raise ValueError("no stock")

    manager = stage.manager(OnFailing)
    manager.start()
    manager.send_event(Placed())
    until(lambda: "attempt 1" in str(stage.logged()), "it is said", _SOON)
    [record] = [record for record in stage.heard if "attempt 1" in record.getMessage()]
    assert record.exc_info, "the first failure has its traceback"


@RECEIVING.add("a blocking call in an async def on", "OnSleeping", fix="await asyncio.to_thread(...)", by_log=True)
def _(stage: Stage) -> None:
    over = threading.Event()

    @event_listener(Placed)
    class OnSleeping(EventListener[Placed]):
        async def on(self, event: Placed) -> None:
            over.wait(30)

    manager = stage.manager(OnSleeping)
    manager.start()
    manager.send_event(Placed())
    try:
        until(lambda: "to_thread" in str(stage.logged()), "it is said", _SOON)
    finally:
        over.set()


@RECEIVING.add("wait_idle while a listener hangs", "OnHanging", "1 running", fix="Raise timeout", raises=TimeoutError)
def _(stage: Stage) -> None:
    over = threading.Event()

    @event_listener(Placed)
    class OnHanging(EventListener[Placed]):
        def on(self, event: Placed) -> None:
            over.wait(30)

    manager = stage.manager(OnHanging)
    manager.start()
    manager.send_event(Placed())
    try:
        until(lambda: manager.health().listeners[0].running == 1, "it runs", _SOON)
        wait_idle(manager, timeout=0.05)
    finally:
        over.set()


@RECEIVING.add("a replay of a truncated letter", "invoice", "'1'", fix="force=True", raises=TruncatedError)
def _(stage: Stage) -> None:
    broker = MemoryBroker()
    stage.manager(OnPlaced, provider=MemoryProvider("server", broker)).start()
    headers = {"eventing_truncated": "invoice"}
    letter = Message(body=b"{}", message_id="'1'", dedup_id="1", headers=headers, durable=True)
    put(broker, Destination("Placed", "OnPlaced", "", "dead", durable=True), letter)
    reader = MemoryProvider("reader", broker)
    reader.open(lambda *_: None)
    try:
        with DeadLetters(reader, "Placed", "OnPlaced", durable=False) as letters:
            taken = letters.take(_SOON)
            assert taken is not None
            letters.replay(taken)
    finally:
        reader.close(1)


HOSTILE: dict[str, tuple[dict[str, object], str]] = {
    "drops what doesn't fit": ({"addressFullMessagePolicy": "DROP"}, "<address-full-policy>PAGE"),
    "expires what waits": ({"expiryDelay": 600_000}, "<expiry-delay>-1"),
    "takes away after a few attempts": ({"maxDeliveryAttempts": 2}, "<max-delivery-attempts>"),
    "closes slow consumers": (
        {"slowConsumerPolicy": "KILL", "slowConsumerThreshold": 5},
        "<slow-consumer-policy>NOTIFY",
    ),
}


def add_setting(name: str, settings: dict[str, object], fix: str) -> None:
    """Add the mistake of a broker with such address settings."""

    @RECEIVING.add(f"a broker that {name}", "address setting", "Hostile", fix=fix, broker=True, by_log=True)
    def _(stage: Stage) -> None:
        name = stage.unique("Hostile")
        with PlainClient(stage.artemis) as plain:
            plain.manage("broker", "addAddressSettings", name, json.dumps(settings))
        listener = listener_of(event_named(name), stage.unique("Listener"), abs)
        stage.manager(listener, provider=stage.at_broker(AMQProvider)).start()
        until(lambda: "address setting" in str(stage.logged()), "it is said", _SOON)


for _name, (_settings, _fix) in HOSTILE.items():
    add_setting(_name, _settings, _fix)
