"""Heartbeats: when one is due, and when a peer counts as dead."""

from __future__ import annotations

import math

import pytest

from eventing_core.provider.sockets import Pulse


def test_before_they_are_agreed_on_there_are_none():
    pulse = Pulse(0.0)
    assert not pulse.must_beat(1e9)
    assert not pulse.is_silent(1e9)
    assert pulse.next == math.inf


def test_it_beats_twice_as_often_as_the_peer_wants_where_nothing_else_is_written():
    pulse = Pulse(100.0)
    pulse.agree(beats=10.0, hears=0.0)
    assert pulse.next == 105.0
    assert not pulse.must_beat(104.9)
    assert pulse.must_beat(105.0)
    assert not pulse.must_beat(105.0)
    pulse.wrote_at = 108.0
    assert pulse.next == 113.0
    assert not pulse.must_beat(112.9)
    assert not pulse.is_silent(1e9)


@pytest.mark.parametrize("heard_at", [100.0, 100.1, 109.9, 110.0, 119.9])
def test_a_peer_is_dead_two_intervals_after_the_last_byte_whenever_that_came(heard_at: float):
    pulse = Pulse(100.0)
    pulse.agree(beats=0.0, hears=10.0)
    # It is looked at in between, as where something is written.
    for now in (105.0, 110.0, 115.0, 119.9):
        pulse.heard_at = max(pulse.heard_at, min(heard_at, now))
        assert not pulse.is_silent(now)
    assert pulse.next == heard_at + 20
    assert not pulse.is_silent(heard_at + 19.9)
    assert pulse.is_silent(heard_at + 20)


def test_a_peer_that_wants_to_hear_something_all_the_time_keeps_nobody_busy():
    pulse = Pulse(0.0)
    pulse.agree(beats=0.000_001, hears=0.0)
    beats = 0
    now = 0.0
    while now < 1.0:
        now = pulse.next
        beats += pulse.must_beat(now)
    assert beats <= 101
