"""All parts of the suite, in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.faults import (
    broker_kills,
    cuts,
    fuzz,
    hostile,
    mutations,
    pair,
    process_kills,
    refused_copies,
    routing,
    soak,
    unwritable,
)
from tests.faults.terms import Figures, Terms


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        title: for people.
        run: does it.
        over: on which protocols; "both" for what isn't about either.
    """

    title: str
    run: Callable[[Terms], Figures]
    over: tuple[str, ...] = ("amqp", "stomp")


#: A listener that computes all the time: some 1 ms for each event, on several threads at once.
COMPUTING: dict[str, Any] = {"rounds": 15_000, "concurrency": 4, "beside": True}

#: One event, and so many queues; fewer where counts are to scale, but not less than a fifth.
MANY: dict[str, Any] = {"listeners": 100, "rounds": 0}

#: The share of the counts in the shortened passes.
_SHARE = 0.1


def _shortened(run: Callable[[Terms], Figures], terms: Terms, *, listeners: int = 1, **changes: Any) -> Figures:
    listeners = terms.count(listeners, -(-listeners // 5))
    return run(terms.but(scale=terms.scale * _SHARE, listeners=listeners, **changes))


_KINDS = {
    "broker-kills": broker_kills,
    "process-kills": process_kills,
    "cuts": cuts,
    "pair": pair,
    "mutations": mutations,
    "soak": soak,
}

#: The same with other listeners, by name.
SHORTENED: dict[str, Part] = {
    f"{name}-{how}": Part(f"{module.TITLE}, {words}", partial(_shortened, module.run, **changes))
    for how, words, changes in (
        ("computing", "with a listener that computes all the time", COMPUTING),
        ("many", "with many listeners (100 in full)", MANY),
    )
    for name, module in _KINDS.items()
}

#: By name.
PARTS: dict[str, Part] = {
    **{name: Part(module.TITLE, module.run) for name, module in _KINDS.items()},
    "routing": Part(routing.TITLE, routing.run),
    "hostile": Part(hostile.TITLE, hostile.run),
    "refused-copies": Part(refused_copies.TITLE, refused_copies.run),
    "unwritable": Part(unwritable.TITLE, unwritable.run),
    "fuzz": Part(fuzz.TITLE, fuzz.run, over=("both",)),
    **SHORTENED,
}
