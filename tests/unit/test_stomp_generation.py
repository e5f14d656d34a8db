"""One STOMP connection, over a pair of sockets, with a clock of the test's."""

from __future__ import annotations

import math
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from eventing_core.errors import (
    AuthenticationError,
    BrokerConnectionError,
    ConnectTimeoutError,
    ProtocolMismatchError,
    SendRejectedError,
)
from eventing_core.provider.sockets import Send, _wire
from eventing_stomp import StompConfig, _generation
from eventing_stomp._frames import Incoming, Splitter, frame, read_headers
from eventing_stomp._generation import StompGeneration

SECRET = "hunter2-tr0ub4dor"
WELCOME = {"version": "1.2", "server": "ActiveMQ-Artemis/2.44.0", "heart-beat": "0,0"}


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class FakeProducer:
    def __init__(self, name: str) -> None:
        self.destination = name
        self.names = frozenset((name,))
        self.results: list[tuple[int, Exception | None]] = []
        self.refusals: list[str] = []

    def confirmed(self, send: Send) -> None:
        send.tell(None)

    def why_refused(self, text: str) -> str:
        return f"refused by the broker ({text})"

    def hold_back(self, reason: str) -> None:
        self.refusals.append(reason)

    def send(self, peer: Peer, receipt: int) -> None:
        peer.generation.sends[b"%d" % receipt] = Send(
            self,  # type: ignore[arg-type]
            b"",
            lambda index, error: self.results.append((index, error)),
            receipt,
            float("inf"),
        )


class FakeSubscription:
    def __init__(self, *names: str, gives_back: bool = True, room: bool = True) -> None:
        self.names = frozenset(names)
        self.gives_back = gives_back
        self.room = room
        #: Where it waits for its turn to hand over.
        self.arrivals: set[Any] = set()
        self.messages: list[bytes] = []
        self.answers: list[tuple[str, str | None]] = []

    @property
    def errors(self) -> list[str]:
        return [error for _, error in self.answers if error is not None]

    def answered(self, subscription: str, error: str | None) -> None:
        self.answers.append((subscription, error))

    def arrived(self, subscription: str, incoming: Incoming) -> None:
        self.messages.append(incoming.body)
        self.arrivals.add(self)

    def hand_over_arrived(self) -> bool:
        return self.room


class Peer:
    """The broker's end of a connection."""

    def __init__(self, **settings: Any) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(0)
        self.theirs.settimeout(0)
        self.opened = 0
        self._splitter = Splitter()
        config = StompConfig(**{"user": "user", "password": SECRET, "heartbeat": 10, **settings})
        self.generation = StompGeneration(self.ours, 1, config=config, opened=self._open)

    def _open(self) -> None:
        self.opened += 1

    def say(self, command: str, headers: dict[str, str], body: bytes = b"") -> None:
        self.say_raw(frame(command, headers, body))

    def say_raw(self, data: bytes) -> None:
        """The generation takes it in."""
        self.theirs.setblocking(True)
        self.theirs.sendall(data)
        self.theirs.setblocking(False)
        self.generation.read()

    def welcome(self, **headers: str) -> Peer:
        self.say("CONNECTED", {**WELCOME, **headers})
        return self

    def raw(self) -> bytes:
        """What the generation has to say."""
        self.generation.write()
        try:
            return self.theirs.recv(1 << 20)
        except BlockingIOError:
            return b""

    def frames(self) -> list[tuple[bytes, dict[str, str]]]:
        return [(incoming.command, read_headers(incoming.head)) for incoming in self._splitter.feed(self.raw())]

    def failure(self) -> BrokerConnectionError:
        """Why it is over, at the latest when the broker closes the connection."""
        if self.generation.failure is None:
            self.theirs.close()
            self.generation.read()
        assert self.generation.failure is not None
        return self.generation.failure


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (_generation, _wire):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def connect(clock: Clock) -> Iterator[Callable[..., Peer]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Peer:
            peer = Peer(**settings)
            stack.callback(peer.generation.free)
            stack.callback(peer.theirs.close)
            return peer

        yield make


@pytest.fixture
def peer(connect: Callable[..., Peer]) -> Peer:
    """An open connection without heartbeats, which has said what it says first."""
    peer = connect()
    peer.frames()
    return peer.welcome()


# -- the handshake ----------------------------------------------------------------------------------------------------


def test_it_says_who_it_is(connect: Callable[..., Peer]):
    peer = connect(virtual_host="/v:h", heartbeat=2.5)
    ((command, headers),) = peer.frames()
    assert command in {b"STOMP", b"CONNECT"}
    assert headers == {
        "accept-version": "1.2",
        "host": "/v:h",
        "heart-beat": "2500,2500",
        "login": "user",
        "passcode": SECRET,
    }
    assert peer.opened == 0
    assert not peer.generation.is_open


def test_a_guest_gives_no_name(connect: Callable[..., Peer]):
    ((_, headers),) = connect(user="", password="", host="broker.example").frames()
    assert headers == {"accept-version": "1.2", "host": "broker.example", "heart-beat": "10000,10000"}


def test_it_is_open_when_the_broker_agrees(connect: Callable[..., Peer]):
    peer = connect()
    peer.say_raw(b"\n")
    assert not peer.generation.is_open
    peer.welcome()
    assert peer.opened == 1
    assert peer.generation.is_open
    assert peer.generation.product == "ActiveMQ-Artemis/2.44.0"
    assert peer.generation.failure is None


@pytest.mark.parametrize("headers", [{"version": "1.1"}, {"version": "1.0"}, {}, {"version": ""}])
def test_another_version_is_refused(connect: Callable[..., Peer], headers: dict[str, str]):
    peer = connect()
    peer.say("CONNECTED", headers)
    assert isinstance(peer.failure(), ProtocolMismatchError)
    assert peer.opened == 0


def test_a_broker_without_our_version_says_so(connect: Callable[..., Peer]):
    peer = connect()
    peer.say("ERROR", {"version": "1.0,1.1", "message": "no such version"})
    assert isinstance(peer.failure(), ProtocolMismatchError)
    # Some name all their versions in every error.
    peer = connect()
    peer.say("ERROR", {"version": "1.0,1.1,1.2", "message": "Bad CONNECT"}, b"Access refused for user 'user'\n")
    assert isinstance(peer.failure(), AuthenticationError)
    assert SECRET not in repr(peer.failure())


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"", ProtocolMismatchError),
        (b"\n", BrokerConnectionError),
        (b"CONNECTED\nversion:1.2\n", BrokerConnectionError),
        (b"ERROR\nmessage:Security Error occurred\n\n\0", AuthenticationError),
        (b"ERROR\nmessage:no room\n\n\0", BrokerConnectionError),
        (b"AMQP\0\x01\0\0", ProtocolMismatchError),
        (b"CONNECTED\ncontent-length:x\n\n\0", BrokerConnectionError),
    ],
)
@pytest.mark.parametrize("how", ["ended", "reset", "late"])
def test_a_loss_before_it_is_open_says_what_came(
    connect: Callable[..., Peer], said: bytes, kind: type[BrokerConnectionError], how: str
):
    peer = connect()
    if said:
        peer.say_raw(said)
    if how == "late":
        kinds = {
            b"": ProtocolMismatchError,
            b"\n": ConnectTimeoutError,
            b"CONNECTED\nversion:1.2\n": ConnectTimeoutError,
        }
        kind = kinds.get(said, kind)
        peer.generation.silent()
    else:
        if how == "reset":
            # What was not read when it is closed makes it a reset.
            peer.generation.put(b"x" * 100)
            peer.generation.write()
            peer.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.theirs.close()
        peer.generation.read()
    assert type(peer.failure()) is kind
    assert "localhost:61613" in str(peer.failure())
    assert peer.opened == 0


def test_what_was_said_before_the_end_is_told(peer: Peer):
    peer.theirs.sendall(frame("ERROR", {"message": "shutting down"}))
    peer.theirs.close()
    peer.generation.read()
    peer.generation.read()
    assert "shutting down" in str(peer.failure())


def test_the_end_of_an_open_connection(peer: Peer):
    peer.theirs.close()
    peer.generation.read()
    assert type(peer.failure()) is BrokerConnectionError
    assert "the connection ended" in str(peer.failure())


def test_what_is_no_frame_ends_it(peer: Peer):
    peer.say_raw(b"MESSAGE\ncontent-length:1\n\nxyz")
    assert "not a STOMP frame" in str(peer.failure())


# -- heartbeats -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "ours", "silence"),
    [
        # They want one every 0.5 s, 5 s, or 30 s, or none. We offered one every 10 s.
        ("0,500", 0.5, None),
        ("0,5000", 5.0, None),
        ("0,30000", 10.0, None),
        ("0,0", None, None),
        # They can every 5 s, or 30 s. We want one every 10 s.
        ("5000,0", None, 20.0),
        ("30000,0", None, 60.0),
        ("4000,20000", 10.0, 20.0),
        ("20000,4000", 4.0, 40.0),
    ],
)
def test_heartbeats_are_as_agreed(
    connect: Callable[..., Peer], clock: Clock, theirs: str, ours: float | None, silence: float | None
):
    peer = connect()
    peer.frames()
    peer.welcome(**{"heart-beat": theirs})
    peer.generation.tick()
    begun, beats, failed = clock.now, [], None
    while clock.now < begun + 70 and failed is None:
        # As the loop does: it sleeps until then.
        clock.now = min(peer.generation.next_tick, begun + 70)
        peer.generation.tick()
        if peer.raw() == b"\n":
            beats.append(clock.now)
        if peer.generation.failure is not None:
            failed = clock.now - begun
    assert failed == (None if silence is None else pytest.approx(silence))
    if ours is None:
        assert beats == []
    else:
        gaps = [later - earlier for earlier, later in zip([begun, *beats], beats, strict=False)]
        assert gaps
        # Twice as often, so that one that is late does no harm.
        assert all(gap == pytest.approx(ours / 2) for gap in gaps)


@pytest.mark.parametrize("theirs", ["x,y", "-1000,-1000", "nan,nan", "1e3,1e3"])
def test_heartbeats_that_cant_be_read_are_none(connect: Callable[..., Peer], theirs: str):
    peer = connect().welcome(**{"heart-beat": theirs})
    assert peer.opened == 1
    assert peer.generation.failure is None
    peer.generation.tick()
    assert peer.generation.next_tick == math.inf


def test_nothing_is_sent_where_something_was(connect: Callable[..., Peer], clock: Clock):
    peer = connect().welcome(**{"heart-beat": "0,10000"})
    peer.raw()
    for _ in range(10):
        clock.now += 4.9
        peer.generation.put(frame("ACK", {"id": "1"}))
        peer.generation.tick()
        assert not peer.raw().endswith(b"\n")


def test_a_peer_that_says_anything_is_alive(connect: Callable[..., Peer], clock: Clock):
    peer = connect().welcome(**{"heart-beat": "10000,0"})
    for said in (b"\n", b"MESS", b"AGE\n\n\0", b"\r\n") * 3:
        clock.now += 19.9
        peer.say_raw(said)
        peer.generation.tick()
        assert peer.generation.failure is None
    clock.now += 19.9
    peer.generation.tick()
    assert peer.generation.failure is None
    clock.now += 0.2
    peer.generation.tick()
    assert "silent for 20 s" in str(peer.failure())


def test_what_waits_in_the_socket_is_heard_before_a_peer_counts_as_dead(connect: Callable[..., Peer], clock: Clock):
    peer = connect().welcome(**{"heart-beat": "10000,0"})
    # As where the process was stopped.
    clock.now += 100
    peer.theirs.sendall(b"\n")
    peer.generation.tick()
    assert peer.generation.failure is None
    clock.now += 20
    peer.generation.tick()
    assert "silent for 20 s" in str(peer.failure())


def test_a_peer_that_takes_nothing_is_noticed_and_heartbeats_dont_pile_up(connect: Callable[..., Peer], clock: Clock):
    peer = connect().welcome(**{"heart-beat": "10000,1000"})
    generation = peer.generation
    generation.put(bytes(1 << 22))
    generation.write()
    assert generation.blocked
    ticks, began = 0, clock.now
    while generation.failure is None:
        generation.tick()
        generation.write()
        ticks += 1
        assert ticks < 100
        clock.now = max(clock.now, generation.next_tick)
    assert clock.now - began == pytest.approx(20)
    assert "silent for 20 s" in str(generation.failure)


def test_silence_counts_from_the_last_word_only(connect: Callable[..., Peer], clock: Clock):
    peer = connect().welcome(**{"heart-beat": "10000,10000"})
    # What we say ourselves is no sign of life of theirs.
    for _ in range(3):
        clock.now += 6
        peer.generation.put(b"\n")
        peer.generation.write()
        peer.generation.tick()
        assert peer.generation.failure is None
    clock.now += 2.1
    peer.generation.tick()
    assert peer.generation.failure is not None


# -- receipts ---------------------------------------------------------------------------------------------------------


def test_a_receipt_confirms_its_send_and_no_earlier_one(peer: Peer):
    producer = FakeProducer("Event")
    for number in range(1, 5):
        producer.send(peer, number)
    peer.say("RECEIPT", {"receipt-id": "3"})
    assert producer.results == [(3, None)]
    peer.say("RECEIPT", {"receipt-id": "1"})
    assert producer.results == [(3, None), (1, None)]
    # Twice, or of a send that nobody knows.
    for number in (1, 3, 99):
        peer.say("RECEIPT", {"receipt-id": f"{number}"})
    assert producer.results == [(3, None), (1, None)]
    assert list(peer.generation.sends) == [b"2", b"4"]


def test_a_receipt_answers_who_waits_for_it(peer: Peer):
    told: list[tuple[str, str | None]] = []
    for name in ("a", "b"):
        peer.generation.request("ABORT", {"transaction": name}, lambda error, name=name: told.append((name, error)))  # type: ignore[misc]
    first, second = (headers["receipt"] for _, headers in peer.frames())
    for receipt in (second, second, first):
        peer.say("RECEIPT", {"receipt-id": receipt})
    assert told == [("b", None), ("a", None)]


def test_a_subscription_learns_that_the_broker_agrees(peer: Peer):
    one, two = FakeSubscription("One"), FakeSubscription("Two")
    first, second = (peer.generation.subscribe(each, {"destination": "x"}) for each in (one, two))
    receipts = {headers["id"]: headers["receipt"] for _, headers in peer.frames()}
    for _ in range(2):
        peer.say("RECEIPT", {"receipt-id": receipts[second]})
    assert (one.answers, two.answers) == ([], [(second, None)])
    peer.generation.unsubscribe(first)
    peer.say("RECEIPT", {"receipt-id": receipts[first]})
    assert one.answers == [(first, None)]


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sides(peer: Peer) -> tuple[FakeProducer, FakeProducer, FakeSubscription, FakeSubscription]:
    """Two that send, 1 and 2, and two that subscribe: to One and to Two."""
    producers = FakeProducer("One"), FakeProducer("Two")
    subscriptions = FakeSubscription("One"), FakeSubscription("Two")
    for number, producer in enumerate(producers, 1):
        producer.send(peer, number)
    for subscription in subscriptions:
        peer.generation.subscribe(subscription, {"destination": "x"})
    return *producers, *subscriptions


def test_an_error_with_a_receipt_fails_that_send(peer: Peer, sides: Any):
    one, two, first, second = sides
    peer.say("ERROR", {"message": "too large", "receipt-id": "2"})
    ((_, error),) = two.results
    assert isinstance(error, SendRejectedError)
    assert "too large" in str(error)
    assert not error.in_doubt
    assert one.results == first.errors == second.errors == []
    # It stays unanswered, to be sent again.
    assert list(peer.generation.sends) == [b"1"]
    assert "too large" in str(peer.failure())


def test_an_error_within_a_transaction_fails_its_send(peer: Peer, sides: Any):
    one, two, *_ = sides
    peer.say("RECEIPT", {"receipt-id": "in-1"})
    assert one.results == []
    peer.say("ERROR", {"message": "too large", "receipt-id": "in-2"})
    assert isinstance(two.results[0][1], SendRejectedError)
    assert one.results == []
    assert list(peer.generation.sends) == [b"1"]


def test_an_error_about_an_address_fails_what_goes_there(peer: Peer, sides: Any):
    one, two, first, second = sides
    text = "AMQ229032: User: user does not have permission='SEND' on address One CoreMessage[secret]"
    peer.say("ERROR", {"message": text})
    ((_, error),) = one.results
    assert isinstance(error, SendRejectedError)
    assert "secret" not in str(error)
    assert two.results == first.errors == second.errors == []


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        # Artemis 2.44.
        ("AMQ229032: User: u does not have permission='CONSUME' on address One", "subscription"),
        ("AMQ229213: User: u does not have permission='CREATE_DURABLE_QUEUE' for queue Q on address One", "send"),
        # RabbitMQ 3.10, and newer ones.
        ("access_refused ACCESS_REFUSED - access to topic 'One' in exchange 'e' in vhost '/' refused for u", "send"),
        ("ACCESS_REFUSED - access to queue 'One' in vhost '/' refused for user 'u'", "send"),
        ("ACCESS_REFUSED - read access to exchange 'One' in vhost '/' refused for user 'u'", "subscription"),
        ("ACCESS_REFUSED - write access to exchange 'One' in vhost '/' refused for user 'u'", "send"),
        ("ACCESS_REFUSED - read access to topic 'One' in exchange 'e' in vhost '/' refused", "subscription"),
    ],
)
def test_an_error_about_a_name_is_about_one_frame_of_it(peer: Peer, sides: Any, text: str, failed: str):
    """Where it doesn't say which, about the first that was written: brokers read in order."""
    one, two, first, second = sides
    peer.say("ERROR", {"message": text})
    assert (len(one.results), len(first.errors)) == {"send": (1, 0), "subscription": (0, 1)}[failed]
    assert two.results == second.errors == []
    for _, error in one.results:
        # Where it may be about the subscription after all, the broker may have the event.
        assert isinstance(error, SendRejectedError)
        assert error.in_doubt is ("write access" not in text)


def test_an_error_about_a_name_is_about_a_subscription_that_was_written_before_sends(peer: Peer):
    one, first, second = FakeProducer("One"), FakeSubscription("One"), FakeSubscription("One")
    peer.generation.subscribe(first, {"destination": "x"})
    one.send(peer, 1)
    peer.generation.subscribe(second, {"destination": "x"})
    peer.say("ERROR", {"message": "ACCESS_REFUSED - access to exchange 'One' in vhost '/' refused for user 'u'"})
    assert one.results == []
    assert (len(first.errors), len(second.errors)) == (1, 1)


def test_an_error_about_a_queue_is_not_about_others_of_its_address(peer: Peer):
    one, first, second = FakeProducer("One"), FakeSubscription("One", "Mine"), FakeSubscription("One", "Other")
    one.send(peer, 1)
    for subscription in (first, second):
        peer.generation.subscribe(subscription, {"destination": "x"})
    peer.say(
        "ERROR",
        {"message": "AMQ229213: User: u does not have permission='CREATE_DURABLE_QUEUE' for queue Mine on address One"},
    )
    assert not one.results + second.errors
    assert len(first.errors) == 1


def test_a_subscription_that_the_broker_has_agreed_to_is_blamed_no_more(peer: Peer, sides: Any):
    one, _, first, second = sides
    peer.frames()
    for receipt in ("1", *(key for key in peer.generation._asked)):
        peer.say("RECEIPT", {"receipt-id": receipt})
    peer.say("ERROR", {"message": "AMQ229032: User: u does not have permission='CONSUME' on address One"})
    assert one.results == [(1, None)]
    assert first.errors == second.errors == []


def test_an_error_about_a_subscription_fails_that_one(peer: Peer, sides: Any):
    one, two, first, second = sides
    (identifier,) = (headers["id"] for _, headers in peer.frames()[-1:])
    for _ in range(2):
        peer.say("ERROR", {"message": f"AMQ339016: Error creating subscription {identifier}"})
    assert one.results == two.results == first.errors == []
    assert second.answers == [(identifier, f"AMQ339016: Error creating subscription {identifier}")]


def test_an_error_that_says_nothing_of_it_fails_nobody(peer: Peer, sides: Any):
    one, two, first, second = sides
    peer.say("ERROR", {"message": "AMQ229017: Queue One does not exist"}, b"out of memory")
    assert one.results == two.results == first.errors == second.errors == []
    assert len(peer.generation.sends) == 2
    assert "out of memory" in str(peer.failure())


@pytest.mark.parametrize("earlier", [b"", frame("ERROR", {"message": "too large"})], ids=["first", "second"])
def test_an_error_about_the_connection_fails_nobody(peer: Peer, sides: Any, earlier: bytes):
    one, two, first, second = sides
    told: list[str | None] = []
    peer.generation.request("ABORT", {}, told.append)
    ((_, asked),) = peer.frames()[-1:]
    errors = [
        frame("ERROR", {"message": "AMQ339010 Connection is not valid.", "receipt-id": receipt})
        for receipt in ("1", "in-2", asked["receipt"])
    ]
    peer.say_raw(earlier + b"".join(errors))
    assert one.results == two.results == first.errors == second.errors == told == []
    assert len(peer.generation.sends) == 2
    assert peer.failure()


def test_errors_about_several_sends_fail_each(peer: Peer, sides: Any):
    one, two, *_ = sides
    full = [frame("ERROR", {"message": f"full {number}", "receipt-id": str(number)}) for number in (2, 1)]
    peer.say_raw(b"".join(full))
    assert "full 1" in str(one.results[0][1])
    assert "full 2" in str(two.results[0][1])
    assert str(peer.failure()).endswith(": full 2")


def test_an_error_answers_who_waits_for_its_receipt(peer: Peer, sides: Any):
    told: list[str | None] = []
    peer.generation.request("ABORT", {}, told.append)
    ((_, asked),) = peer.frames()[-1:]
    peer.say("ERROR", {"message": "no right", "receipt-id": asked["receipt"]})
    assert told == ["no right"]
    assert all(not side.results for side in sides[:2])
    assert peer.failure()


def test_an_error_of_any_bytes_ends_it_in_order(peer: Peer):
    peer.say_raw(b"ERROR\nmessage:\xff\n\n\xff\xfe\0")
    assert peer.failure()


def test_after_an_error_the_broker_closes_the_connection_first(peer: Peer, clock: Clock, sides: Any):
    """Artemis 2.44 can lock itself up where both close at once. Nothing more is written, as nobody would read it."""
    one, *_ = sides
    peer.frames()
    peer.say("ERROR", {"message": "full", "receipt-id": "1"})
    assert one.results
    assert one.refusals
    peer.generation.put(frame("ACK", {"id": "1"}))
    peer.say("MESSAGE", {"subscription": "1"}, b"late")
    peer.generation.tick()
    assert peer.raw() == b""
    assert peer.generation.failure is None
    peer.theirs.close()
    peer.generation.read()
    assert "full" in str(peer.generation.failure)
    assert peer.generation.refused


def test_a_broker_that_does_not_close_the_connection_after_an_error_is_not_waited_for_long(peer: Peer, clock: Clock):
    peer.say("ERROR", {"message": "full"})
    peer.generation.tick()
    assert peer.generation.failure is None
    clock.now = peer.generation.next_tick
    peer.generation.tick()
    assert "full" in str(peer.generation.failure)
    assert not peer.generation.refused


def test_receipts_before_an_error_hold(peer: Peer, sides: Any):
    one, two, *_ = sides
    peer.say_raw(frame("RECEIPT", {"receipt-id": "1"}) + frame("ERROR", {"message": "m", "receipt-id": "2"}))
    assert one.results == [(1, None)]
    assert isinstance(two.results[0][1], SendRejectedError)


# -- messages ---------------------------------------------------------------------------------------------------------


def test_messages_go_to_their_subscription(peer: Peer):
    one, two = FakeSubscription("One"), FakeSubscription("Two")
    peer.generation.subscriptions |= {"1": one, "2": two}
    for subscription, body in (("1", b"a"), ("2", b"b"), ("3", b"nobody's"), ("1", b"c")):
        peer.say("MESSAGE", {"subscription": subscription, "ack": "1"}, body)
    assert (one.messages, two.messages) == ([b"a", b"c"], [b"b"])
    assert peer.generation.failure is None


def test_an_unknown_frame_is_passed_over(peer: Peer):
    peer.say("NONSENSE", {"a": "b"})
    producer = FakeProducer("One")
    producer.send(peer, 1)
    peer.say("RECEIPT", {"receipt-id": "1"})
    assert producer.results == [(1, None)]


def messages(*subscriptions: str) -> bytes:
    """As Artemis writes them; the body is the last digit of the number."""
    return b"".join(
        frame("MESSAGE", {"subscription": subscription, "content-length": "1", "ack": "1"}, b"%d" % (at % 10))
        for at, subscription in enumerate(subscriptions)
    )


def test_messages_by_turns_reach_whose_they_are(peer: Peer):
    first, second = FakeSubscription(), FakeSubscription()
    one = peer.generation.subscribe(first, {"destination": "x"})
    other = peer.generation.subscribe(second, {"destination": "y"})
    peer.say_raw(messages(one, one, other, "unknown", other, one, one + "1"))
    assert first.messages == [b"0", b"1", b"5"]
    assert second.messages == [b"2", b"4"]


def listen(peer: Peer, *, room: bool = True) -> str:
    """To messages; the id of the subscription."""
    subscription = FakeSubscription(room=room)
    subscription.arrivals = peer.generation.arrivals
    return peer.generation.subscribe(subscription, {"destination": "x"})


@pytest.mark.parametrize(("count", "rests"), [(3, False), (4, True), (255, True), (256, False)])
def test_it_rests_where_messages_come_by_a_few(peer: Peer, clock: Clock, count: int, rests: bool):
    peer.say_raw(messages(*[listen(peer)] * count))
    assert peer.generation.failure is None
    assert peer.generation.rests_until == (clock.now + 0.001 if rests else 0)


def test_it_does_not_rest_where_nobody_takes_more(peer: Peer):
    peer.say_raw(messages(*[listen(peer, room=False)] * 9))
    assert peer.generation.rests_until == 0


def test_it_does_not_rest_for_receipts(peer: Peer):
    peer.say_raw(messages(listen(peer)) + frame("RECEIPT", {"receipt-id": "1"}) * 9)
    assert peer.generation.rests_until == 0


@pytest.mark.parametrize(("records", "rests"), [(9, True), (16, False), (17, False)])
def test_over_tls_it_rests_once_all_records_are_read(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, records: int, rests: bool
):
    subscription = listen(peer)
    pieces = [messages(subscription) for _ in range(records)]

    def read(_: int) -> int:
        if not pieces:
            raise ssl.SSLWantReadError
        piece = pieces.pop()
        peer.generation._input.view[: len(piece)] = piece
        return len(piece)

    monkeypatch.setattr(peer.generation, "_tls", True)
    monkeypatch.setattr(peer.generation, "_read", read)
    peer.generation.read()
    assert (peer.generation.rests_until > 0) is rests


def test_it_does_not_rest_where_more_is_there(connect: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_wire, "CHUNK", 512)
    peer = connect().welcome()
    subscription = listen(peer)
    peer.say_raw(messages(*[subscription] * 16))
    assert peer.generation.rests_until == 0
    peer.generation.read()
    assert peer.generation.rests_until > 0


# -- output and the end -----------------------------------------------------------------------------------------------


def test_what_the_socket_does_not_take_waits_and_producers_with_it(peer: Peer):
    assert peer.generation.has_room
    data = b"".join(frame("SEND", {"n": str(number)}, b"x" * 1000) for number in range(3000))
    peer.generation.put(data)
    assert not peer.generation.has_room
    got = b""
    while peer.generation.write() or peer.generation.blocked:
        got += peer.theirs.recv(1 << 20)
    while len(got) < len(data):
        got += peer.theirs.recv(1 << 20)
    assert got == data
    assert peer.generation.has_room


def test_closing_gives_back_what_is_to_be_given_back(peer: Peer):
    peer.generation.subscriptions |= {"1": FakeSubscription("One"), "2": FakeSubscription("R", gives_back=False)}
    peer.generation.close()
    frames = peer.frames()
    assert [(command, headers.get("id")) for command, headers in frames] == [
        (b"UNSUBSCRIBE", "1"),
        (b"DISCONNECT", None),
    ]
    assert not peer.generation.closed
    peer.say("RECEIPT", {"receipt-id": frames[-1][1]["receipt"]})
    assert peer.generation.closed


def test_an_end_while_it_closes_is_what_was_wanted(peer: Peer):
    peer.generation.close()
    peer.generation.write()
    peer.theirs.close()
    peer.generation.read()
    assert peer.generation.closed
    assert peer.generation.failure is None
