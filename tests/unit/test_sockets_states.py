"""The states of a connection and of an attempt to connect: the tables alone, and what carries them out."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from eventing_core.errors import BrokerConnectionError, ProtocolMismatchError
from eventing_core.provider import Destination, Message
from eventing_core.provider.sockets import Loop, SocketConfig, SocketProducer, _attempt
from eventing_core.provider.sockets._attempt import Attempt
from eventing_core.provider.sockets._connecting import Connector
from eventing_core.provider.sockets._protocols import HTTP, WireProtocol
from eventing_core.provider.sockets._states import (
    OVER,
    REFUSING,
    TRYING,
    UP,
    AttemptInput,
    AttemptState,
    ConnectionInput,
    ConnectionState,
    attempt_after,
    connection_after,
)
from tests.support.lines import Line, Mute, Nothing, Peer
from tests.support.lives import possible
from tests.support.waiting import until


@pytest.mark.parametrize("seed", range(20))
def test_a_random_life_of_a_connection_keeps_its_promises(seed: int):
    chance = random.Random(seed)  # noqa: S311 (no secret)
    for _ in range(200):
        state, closing = ConnectionState.NEW, False
        for _ in range(60):
            before = state
            happened = chance.choice(possible(state, ConnectionInput, connection_after))
            assert isinstance(happened, ConnectionInput)
            state = connection_after(state, happened)
            closing = closing or happened is ConnectionInput.CLOSE
            # It is up after a broker has agreed, and until the connection breaks or it is over.
            assert happened is not ConnectionInput.ESTABLISHED or (before in TRYING and state in UP)
            assert happened is not ConnectionInput.LOST or (before in UP and state not in UP)
            assert state not in UP or before in UP or happened is ConnectionInput.ESTABLISHED
            # Once it is to close it takes nothing new, for good; and nothing else closes it, save what fails it.
            assert before not in REFUSING or state in REFUSING
            assert not closing or state in REFUSING
            assert before not in OVER or state in OVER
            # A connection that was had is given up only when it is to close, or crashes, or in the child of a fork.
            assert not (
                before in {ConnectionState.CONNECTED, ConnectionState.RECONNECTING}
                and state in OVER
                and happened not in {ConnectionInput.CRASHED, ConnectionInput.FORKED}
            )
            # Whatever it does, the end is one input away; two from where nothing was opened.
            assert (
                state in OVER
                or state is ConnectionState.NEW
                or ConnectionInput.CRASHED in possible(state, ConnectionInput, connection_after)
            )


@pytest.mark.parametrize("state", [state for state in ConnectionState if state is not ConnectionState.NEW])
def test_a_connection_that_is_to_close_ends_in_time(state: ConnectionState):
    """Whatever the broker does: `close`, then the end of its time."""
    closing = connection_after(state, ConnectionInput.CLOSE)
    if closing is not ConnectionState.CLOSED and closing is not ConnectionState.ENDING:
        closing = connection_after(closing, ConnectionInput.CUT)
    assert closing in OVER


@pytest.mark.parametrize("seed", range(5))
def test_a_random_attempt_to_connect_leads_to_one_thing(seed: int):
    chance = random.Random(seed)  # noqa: S311 (no secret)
    for _ in range(200):
        state, looks = AttemptState.DIALING, 0
        for _ in range(30):
            before = state
            happened = chance.choice(possible(state, AttemptInput, attempt_after))
            assert isinstance(happened, AttemptInput)
            state = attempt_after(state, happened)
            asking = {AttemptState.DOUBTED, AttemptState.UNEXPLAINED}
            looks += state in asking and before not in asking
            assert looks <= 1, "the port is asked once"
            assert before not in {AttemptState.OPEN, AttemptState.FAILED} or state is before


# -- what carries them out --------------------------------------------------------------------------------------------


class Seen(Line):
    """Notes its states."""

    def __init__(self, config: SocketConfig) -> None:
        self.seen: list[ConnectionState] = []
        super().__init__(config, "line")

    def __setattr__(self, name: str, value: object) -> None:
        if name == "state" and isinstance(value, ConnectionState):
            self.seen.append(value)
        super().__setattr__(name, value)


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


_S = ConnectionState


def test_a_life_goes_through_the_states(peer: Peer):
    line = Seen(peer.config)
    assert not line.health().connected
    line.open(lambda *_: None)
    assert line.health().connected
    until(lambda: len(peer.taken) == 1, "it is accepted", 5)
    peer.taken[0].close()
    until(lambda: line.generation_number == 2, "it is back", 5)
    line.close(5)
    assert not line.health().connected
    assert line.seen == [
        *(_S.NEW, _S.CONNECTING, _S.CONNECTED, _S.RECONNECTING, _S.CONNECTED),
        *(_S.DRAINING, _S.CLOSING, _S.ENDING, _S.CLOSED),
    ]


def test_one_that_was_never_opened_is_closed_at_once(peer: Peer):
    line = Seen(peer.config)
    line.close(5)
    line.close(5)
    assert line.seen == [_S.NEW, _S.ENDING, _S.CLOSED]
    with pytest.raises(BrokerConnectionError, match="closed while it was connecting"):
        line.open(lambda *_: None)
    assert line.seen == [_S.NEW, _S.ENDING, _S.CLOSED]


def test_a_first_connect_that_fails_ends_it():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = Seen(SocketConfig.of({"host": "127.0.0.1", "port": port}))
    with pytest.raises(BrokerConnectionError):
        line.open(lambda *_: None)
    assert line.seen == [_S.NEW, _S.CONNECTING, _S.ENDING, _S.CLOSED]


class Waiter(SocketProducer[Mute, Nothing]):
    """Writes nothing, so that its sends wait."""

    def encode(self, message: Message, delay: float) -> bytes:
        return message.body

    def flush(self) -> None:
        pass


class Sending(Seen):
    def make_producer(self, destination: Destination) -> Waiter:
        return Waiter(self, destination)


def send(line: Line) -> list[Exception | None]:
    """One message that is never written; what becomes of it."""
    told: list[Exception | None] = []

    def done(_: int, error: Exception | None) -> None:
        told.append(error)

    line.producer(Destination("event")).send((Message(b""),), done, deadline=time.monotonic() + 60)
    return told


def test_a_close_without_a_connection_tries_to_have_one_for_the_sends_that_wait():
    peer = Peer()
    line = Sending(peer.config)
    line.open(lambda *_: None)
    told = send(line)
    until(lambda: len(peer.taken) == 1, "it is accepted", 5)
    peer.close()
    until(lambda: line.state is _S.RECONNECTING, "it is lost", 5)
    closing = threading.Thread(target=line.close, args=(3.0,))
    closing.start()
    until(lambda: line.state is _S.STRANDED, "it is to close", 5)
    again = Peer(peer.port)
    until(lambda: line.state is _S.DRAINING, "it is back", 5)
    again.close()
    closing.join(10)
    assert len(told) == 1, told
    kinds = [state for state, following in zip(line.seen, line.seen[1:], strict=False) if state is not following]
    assert kinds[:6] == [_S.NEW, _S.CONNECTING, _S.CONNECTED, _S.RECONNECTING, _S.STRANDED, _S.DRAINING]
    assert line.state is _S.CLOSED


def test_a_first_connect_that_is_closed_ends_at_once_whatever_waits():
    with socket.create_server(("127.0.0.1", 0)) as listening:  # accepts, and says nothing

        class Deaf(Mute):
            def tick(self) -> None:
                self.next_tick = time.monotonic() + 0.05

        class Silent(Sending):
            def make_generation(self, sock: socket.socket, number: int, config: SocketConfig) -> Mute:
                return Deaf(sock, number, self.session_open)

        line = Silent(SocketConfig.of({"host": "127.0.0.1", "port": listening.getsockname()[1]}))
        errors: list[Exception] = []

        def open_it() -> None:
            try:
                line.open(lambda *_: None)
            except BrokerConnectionError as error:
                errors.append(error)

        opening = threading.Thread(target=open_it)
        opening.start()
        taken, _ = listening.accept()
        told = send(line)
        began = time.monotonic()
        line.close(8.0)
        opening.join(10)
        taken.close()
    assert time.monotonic() - began < 4
    assert len(told) == len(errors) == 1
    assert line.seen == [_S.NEW, _S.CONNECTING, _S.ENDING, _S.CLOSED]


def test_a_connect_whose_thread_can_not_be_started_is_tried_again(peer: Peer, monkeypatch: pytest.MonkeyPatch):
    """Not given up for good: the system may have threads again."""
    line = Line(peer.config, "line")
    line.open(lambda *_: None)
    until(lambda: len(peer.taken) == 1, "it is accepted", 5)
    start, tries = Connector.start, 0

    def none_left(self: Connector) -> None:
        nonlocal tries
        tries += 1
        if tries <= 2:
            msg = "can't start new thread"
            raise RuntimeError(msg)
        start(self)

    monkeypatch.setattr(Connector, "start", none_left)
    peer.taken[0].close()
    until(lambda: line.generation_number == 2, "it is back", 5)
    assert tries == 3
    line.close(5)


def test_an_opening_that_is_interrupted_leaves_no_thread(peer: Peer, monkeypatch: pytest.MonkeyPatch):
    """Wherever Ctrl-C comes: also just after the thread was started."""
    line = Line(peer.config, "line")
    start = line._thread.start

    def interrupted() -> None:
        start()
        raise KeyboardInterrupt

    monkeypatch.setattr(line._thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        line.open(lambda *_: None)
    line._thread.join(5)
    assert not line._thread.is_alive()


class Answering:
    """In place of a `Look`: has asked already, and its answer is on the way."""

    def __init__(
        self, config: SocketConfig, until: float, done: Callable[[Answering, WireProtocol | None], None]
    ) -> None:
        self._done = done

    def start(self) -> None:
        self._done(self, HTTP)

    def join(self, timeout: float) -> None:
        pass

    def end(self) -> None:
        pass


@pytest.mark.parametrize("doubted", [True, False], ids=["asked before it hung up", "asked since it hung up"])
def test_an_answer_that_is_on_its_way_says_why_a_port_hung_up(monkeypatch: pytest.MonkeyPatch, doubted: bool):
    """However late the thread that asks is seen to have ended."""
    monkeypatch.setattr(_attempt, "Look", Answering)
    loop, failures = Loop(), list[Exception]()
    ours, theirs = socket.socketpair()
    generation = Mute(ours, 1, lambda: None)
    config = SocketConfig.of({"host": "127.0.0.1", "port": 1})
    connectors: list[Connector] = []

    def started(self: Connector) -> None:
        connectors.append(self)

    monkeypatch.setattr(Connector, "start", started)
    monkeypatch.setattr(Connector, "join", lambda *_: None)
    attempt = Attempt(config, "line", loop, is_first=True, dialed=lambda *_: generation, failed=failures.append)
    attempt.start()
    attempt._came((connectors[0], ours, None))
    if doubted:
        attempt._doubt(generation)
        assert attempt.state is AttemptState.DOUBTED
    attempt.fail(ProtocolMismatchError("nothing came"))
    assert attempt.state is AttemptState.UNEXPLAINED
    assert not failures
    loop.run_posted()
    assert [type(error) for error in failures] == [ProtocolMismatchError]
    assert "the port speaks HTTP" in str(failures[0])
    connectors[0].abandon()
    for one in (ours, theirs):
        one.close()
    loop.close()
