"""The waits between two tries to connect."""

from __future__ import annotations

from eventing_core.provider.sockets._backoff import Backoff


def test_waits_double_up_to_the_longest_each_with_jitter() -> None:
    rounds = []
    for _ in range(200):
        backoff = Backoff(1.0, 10.0)
        rounds.append([backoff.next() for _ in range(6)])
    for waits, full in zip(zip(*rounds, strict=True), (1.0, 2.0, 4.0, 8.0, 10.0, 10.0), strict=True):
        assert full / 2 <= min(waits) < max(waits) <= full
        assert max(waits) - min(waits) > full / 4


def test_it_begins_again_and_never_overflows() -> None:
    backoff = Backoff(1.0, 10.0)
    assert all(backoff.next() <= 10.0 for _ in range(2_000))
    backoff.reset()
    assert backoff.next() <= 1.0
