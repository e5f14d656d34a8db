"""The small worlds that are explored, and the wide ones for walks."""

from __future__ import annotations

import random
from typing import Any

from eventing_core.receive.machine._actions import FaultKind, Rules
from tests.machine.pair import PairScope
from tests.machine.world import Scope

_RULES: dict[str, Any] = {
    "delay": float, "max_attempts": 2, "pause_after": 2, "prefetch": 4, "flush_count": 2,
}  # fmt: skip


def rules(**settings: Any) -> Rules:
    """Small numbers, which are reached soon."""
    return Rules(**{**_RULES, **settings})


_CALM: dict[str, Any] = {"losses": 0, "refusals": 0, "stops": False}
_GOOD: dict[str, Any] = {**_CALM, "faults": ()}

_BOTH = (FaultKind.FAILED, FaultKind.REJECTED)

#: By name: the scope, and how deep it is explored.
SCOPES: dict[str, tuple[Scope | PairScope, int]] = {
    "one slot": (Scope(rules=rules()), 7),
    "two slots": (Scope(rules=rules(concurrency=2), refusals=0), 6),
    "copies only": (Scope(rules=rules(exact_window=False), counts=(0, 0), losses=1, refusals=2), 8),
    "no delay": (Scope(rules=rules(can_delay=False), losses=0), 8),
    "ordered": (Scope(rules=rules(ordered=True), faults=_BOTH), 8),
    "ordered, undecodable": (Scope(rules=rules(ordered=True), undecodable=(0,), refusals=2), 9),
    "ordered, crash loop": (Scope(rules=rules(ordered=True), counts=(0, 8, 3), refusals=1), 8),
    "ordered, internal errors": (Scope(rules=rules(ordered=True), faults=(FaultKind.INTERNAL,), stops=False), 8),
    "internal errors": (Scope(rules=rules(), faults=(FaultKind.INTERNAL, FaultKind.STOPPED)), 7),
    "suspects": (Scope(rules=rules(concurrency=2), counts=(0, 3, 3), refusals=0), 7),
    "a suspect and a crash loop": (Scope(rules=rules(concurrency=2), counts=(3, 0, 8), losses=0), 8),
    "a suspect among failures": (Scope(rules=rules(concurrency=2), counts=(0, 0, 3), losses=0, refusals=0, wide=True), 8),
    "flags": (Scope(rules=rules(concurrency=2, flags=True), counts=(0, 3, 0), flagged=(0,), losses=1), 6),
    "flags and a suspect": (Scope(rules=rules(concurrency=1, flags=True), counts=(0, 7, 2), flagged=(1, 2), losses=1), 7),
    "undecodable": (Scope(rules=rules(), undecodable=(0, 1), losses=0, refusals=2), 9),
    "refused forever": (Scope(rules=rules(prefetch=1), counts=(0, 0, 0, 0), undecodable=(0, 1, 2), refused=(0, 1, 2), stops=False), 8),
    "refused forever, ordered": (Scope(rules=rules(ordered=True), undecodable=(1,), refused=(1,)), 8),
    "refused and paused": (Scope(rules=rules(), counts=(0,) * 4, undecodable=(0,), refused=(0,), refusals=0, losses=1), 8),
    "one refused forever, another once": (
        Scope(rules=rules(), counts=(0, 0), undecodable=(0, 1), refused=(0,), losses=0, stops=False), 8,
    ),
    "leases": (Scope(rules=rules(pause_after=3), counts=(0,) * 4, refusals=0, wide=True), 7),
    "leases and a suspect": (
        Scope(rules=rules(concurrency=2, flush_count=4, prefetch=6), counts=(0, 0, 0, 0, 0, 3), losses=0, refusals=0, wide=True), 6,
    ),
    "leases and flags": (
        Scope(rules=rules(concurrency=2, prefetch=6, flags=True), counts=(0, 0, 0, 0, 2, 0), flagged=(4,), losses=0, wide=True), 6,
    ),
    "paused": (Scope(rules=rules(pause_after=1), counts=(0, 0, 0), losses=1, refusals=0), 9),
    "paused, and flags": (
        Scope(rules=rules(pause_after=1, flags=True, concurrency=2), counts=(0, 0, 2), flagged=(2,), losses=0, refusals=0, wide=True), 7,
    ),
    "paused, and a suspect": (Scope(rules=rules(pause_after=1, concurrency=2), counts=(0, 0, 3), losses=0, refusals=0), 9),
    "poison": (Scope(rules=rules(), counts=(0,) * 4, poison=(0, 1), losses=0, refusals=0, stops=False, wide=True), 12),
    "copies that can never be stored": (
        Scope(rules=rules(exact_window=False, pause_after=1), oversized=(0, 1), losses=0, refusals=0), 8,
    ),
    "aside, and never stored": (
        Scope(rules=rules(flags=True, concurrency=2), counts=(0, 0, 3), oversized=(0, 1), losses=0, refusals=0, wide=True), 7,
    ),
    "not begun": (Scope(rules=rules(), counts=(0, 3), begins=False), 8),
    "no ids": (Scope(rules=rules(), counts=(0, 2, 3), anonymous=True), 7),
    "two queues": (
        PairScope(Scope(rules=rules(), counts=(0, 0), refusals=0), Scope(rules=rules(), counts=(0, 0), **_CALM)), 6,
    ),
    "two queues, two slots": (
        PairScope(
            Scope(rules=rules(concurrency=2), wide=True, **_CALM),
            Scope(rules=rules(concurrency=2), counts=(0, 0), wide=True, losses=0, refusals=0), 2,
        ), 5,
    ),
    "two queues, one paused": (
        PairScope(Scope(rules=rules(pause_after=1), counts=(0, 0), **_CALM), Scope(rules=rules(), counts=(0,), **_GOOD)), 9,
    ),
    "two queues, a suspect": (
        PairScope(Scope(rules=rules(), counts=(3, 0), refusals=0), Scope(rules=rules(), counts=(0, 0), **_GOOD)), 7,
    ),
    "two queues, one ordered": (
        PairScope(
            Scope(rules=rules(ordered=True), counts=(0, 0), undecodable=(0,)), Scope(rules=rules(), counts=(0,), **_GOOD),
        ), 8,
    ),
    "two queues, one with flags": (
        PairScope(
            Scope(rules=rules(flags=True), counts=(0, 0), flagged=(0,), losses=0, refusals=0),
            Scope(rules=rules(), counts=(0,), **_GOOD),
        ), 7,
    ),
    "two queues, a copy refused": (
        PairScope(
            Scope(rules=rules(ordered=True), counts=(0,), undecodable=(0,), losses=2, stops=False),
            Scope(rules=rules(), counts=(0,), **_GOOD),
        ), 12,
    ),
}  # fmt: skip

#: So many states each of them has, up to its depth.
STATES: dict[str, int] = {
    "one slot": 2049,
    "two slots": 4648,
    "copies only": 2067,
    "no delay": 966,
    "ordered": 3183,
    "ordered, undecodable": 917,
    "ordered, crash loop": 1165,
    "ordered, internal errors": 294,
    "internal errors": 2619,
    "suspects": 4734,
    "a suspect and a crash loop": 1639,
    "a suspect among failures": 3429,
    "flags": 2380,
    "flags and a suspect": 2253,
    "undecodable": 596,
    "refused forever": 262,
    "refused forever, ordered": 1041,
    "refused and paused": 858,
    "leases": 9985,
    "leases and a suspect": 1813,
    "leases and flags": 2193,
    "paused": 5006,
    "paused, and flags": 2599,
    "paused, and a suspect": 3629,
    "poison": 1159,
    "copies that can never be stored": 340,
    "aside, and never stored": 1590,
    "not begun": 1022,
    "no ids": 1568,
    "two queues": 1870,
    "two queues, two slots": 2928,
    "two queues, one paused": 319,
    "two queues, a suspect": 2377,
    "two queues, one ordered": 1372,
    "two queues, one with flags": 264,
    "one refused forever, another once": 31,
    "two queues, a copy refused": 2423,
}


def wide_pair(rng: random.Random) -> PairScope:
    """Everything at a time, with two queues under one limit."""
    one, other = wide(rng, 6), wide(rng, 6)
    return PairScope(one, other, min(one.rules.concurrency, other.rules.concurrency))


def wide(rng: random.Random, most: int = 12) -> Scope:
    """Everything at a time."""
    events = rng.randint(3, most)
    concurrency = rng.choice([1, 1, 2, 3])

    def some(share: float) -> tuple[int, ...]:
        return tuple(event for event in range(events) if rng.random() < share)

    settings: dict[str, Any] = {
        "concurrency": concurrency,
        "prefetch": rng.choice([concurrency, 4, 8]),
        "ordered": concurrency == 1 and rng.random() < 0.3,
        "pause_after": rng.choice([0, 1, 2, 3]),
        "max_attempts": rng.choice([1, 2, 3]),
        "flags": rng.random() < 0.3,
        "exact_window": rng.random() < 0.7,
        "can_delay": rng.random() < 0.7,
        "retains": rng.random() < 0.8,
        "flush_count": rng.choice([2, 4]),
    }
    faults = [FaultKind.FAILED, FaultKind.REJECTED, FaultKind.STOPPED, *[FaultKind.INTERNAL] * (rng.random() < 0.2)]
    return Scope(
        rules=rules(**settings),
        counts=[rng.choice([0, 0, 0, 0, 1, 3, 7, 8]) for _ in range(events)],
        faults=faults,
        losses=rng.randint(0, 4),
        refusals=rng.randint(0, 6),
        stops=rng.random() < 0.3,
        undecodable=some(0.15),
        poison=some(0.1),
        refused=some(0.05),
        flagged=some(0.15) if settings["flags"] else (),
        wide=rng.random() < 0.5,
        anonymous=rng.random() < 0.1,
        begins=rng.random() < 0.8,
        oversized=some(0.1),
    )
