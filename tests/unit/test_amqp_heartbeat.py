"""Heartbeats of an AMQP connection, over a pair of sockets, with a clock of the test's."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from eventing_amqp import _engine, _generation
from eventing_amqp._config import AmqpConfig
from eventing_amqp._generation import AmqpGeneration
from eventing_core.provider.sockets import _wire
from tests.support.handshakes import PRODUCTS, begin_frame, frame, introduction

#: AMQP's heartbeat.
BEAT = frame(0, b"")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Peer:
    """The broker's end of an open connection."""

    def __init__(self, heartbeat: float, idle_time_out: int | None) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(0)
        self.theirs.settimeout(0)
        config = AmqpConfig(user="user", password="secret", heartbeat=heartbeat)  # type: ignore[arg-type]
        self.generation = AmqpGeneration(
            _engine.load(), self.ours, 1, config=config, container="c", introduced=_nothing, opened=lambda: None
        )
        self.raw()
        self.say(introduction("amqp", PRODUCTS["amqp"], b"PLAIN", idle_time_out))
        self.opening = self.raw()
        self.say(begin_frame())
        assert self.generation.is_open
        self.raw()

    def say(self, data: bytes) -> None:
        self.theirs.sendall(data)
        self.generation.read()

    def raw(self) -> bytes:
        """What the generation has to say."""
        self.generation.write()
        try:
            return self.theirs.recv(1 << 20)
        except BlockingIOError:
            return b""


def _nothing(_: AmqpGeneration) -> None:
    pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (_generation, _wire):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def connect(clock: Clock) -> Iterator[Callable[..., Peer]]:
    made: list[Peer] = []

    def make(heartbeat: float = 10.0, idle_time_out: int | None = None) -> Peer:
        made.append(Peer(heartbeat, idle_time_out))
        return made[-1]

    yield make
    for peer in made:
        peer.generation.free()
        peer.theirs.close()


def run(peer: Peer, clock: Clock, seconds: float) -> list[float]:
    """Let time pass, as the loop does; when the generation beat."""
    end, beats = clock.now + seconds, []
    while clock.now < end and peer.generation.failure is None:
        clock.now = min(peer.generation.next_tick, end)
        peer.generation.tick()
        said = peer.raw()
        if said:
            assert said == BEAT
            beats.append(clock.now)
    return beats


@pytest.mark.parametrize("since_tick", [0.0, 0.1, 9.9, 19.9])
def test_a_silent_peer_is_noticed_two_intervals_after_its_last_byte(
    connect: Callable[..., Peer], clock: Clock, since_tick: float
):
    peer = connect()
    peer.generation.tick()
    clock.now += since_tick
    peer.say(BEAT)
    last = clock.now
    run(peer, clock, 100)
    assert clock.now - last == pytest.approx(20)
    assert "silent for 20 s, two heartbeats" in str(peer.generation.failure)


def test_a_peer_that_beats_is_alive(connect: Callable[..., Peer], clock: Clock):
    peer = connect()
    for _ in range(10):
        run(peer, clock, 19.9)
        peer.say(BEAT)
        assert peer.generation.failure is None


def test_what_waits_in_the_socket_is_heard_before_a_peer_counts_as_dead(connect: Callable[..., Peer], clock: Clock):
    peer = connect()
    clock.now += 100
    peer.theirs.sendall(BEAT)
    peer.generation.tick()
    assert peer.generation.failure is None
    clock.now += 20
    peer.generation.tick()
    assert "silent for 20 s" in str(peer.generation.failure)


@pytest.mark.parametrize("idle_time_out", [200, 3000, 30_000])
def test_it_beats_twice_as_often_as_the_peer_wants(connect: Callable[..., Peer], clock: Clock, idle_time_out: int):
    peer = connect(heartbeat=1000.0, idle_time_out=idle_time_out)
    half = idle_time_out / 2000
    began = clock.now
    beats = run(peer, clock, 20 * half)
    gaps = [later - earlier for earlier, later in zip([began, *beats], beats, strict=False)]
    assert len(gaps) >= 19
    assert all(gap == pytest.approx(half) for gap in gaps)
    # Something else is written, at any time between two of them: the next one comes half an interval after that.
    for share in (0.1, 0.5, 0.99):
        clock.now += half * share
        peer.generation.tick()
        peer.generation.sender(f"Event{share}", "topic", _Link())
        assert len(peer.raw()) > len(BEAT)
        wrote = clock.now
        assert run(peer, clock, half * 1.5)[0] - wrote == pytest.approx(half)


def test_a_peer_that_wants_none_gets_none(connect: Callable[..., Peer], clock: Clock):
    peer = connect(heartbeat=1000.0)
    assert run(peer, clock, 1900) == []


def test_the_peer_is_told_the_interval(connect: Callable[..., Peer]):
    # An uint in the open frame: 2.5 s.
    assert b"\x70" + (2500).to_bytes(4) in connect(heartbeat=2.5).opening


def test_a_peer_that_takes_nothing_is_noticed(connect: Callable[..., Peer], clock: Clock):
    peer = connect(idle_time_out=1000)
    generation = peer.generation
    for number in range(20_000):
        generation.sender(f"Event{number}", "topic", _Link())
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


class _Link:
    def opened(self) -> None:
        pass

    def flowed(self) -> None:
        pass

    def arrived(self) -> None:
        pass

    def closed(self, condition: tuple[str, str] | None) -> None:
        pass
