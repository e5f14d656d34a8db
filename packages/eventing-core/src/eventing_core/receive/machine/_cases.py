"""Deliveries with a story: redelivered, failed, suspect, being copied. Others are just queued, running or returned."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic

from eventing_core.receive.machine._actions import D, Facts, Store
from eventing_core.receive.machine._states import DeliveryState


@dataclass(slots=True, eq=False)
class Case(Generic[D]):
    """One delivery, and what is known of it.

    Attributes:
        event: as in `Facts`; where that is None, an object of its own.
        attempts: failures that count, over copies and in this process.
        uncounted: failures during a pause.
        first_failed: when the first attempt here failed.
        round: the last round of probes that tried it.
        refusals: how often its copy could not be stored.
        is_behind: its copy was not tried, since that of another one was refused.
        due: when the copy is tried again.
    """

    delivery: D
    facts: Facts
    event: Hashable
    state: DeliveryState = DeliveryState.QUEUED
    attempts: int = 0
    uncounted: int = 0
    first_failed: float | None = None
    round: int = 0
    store: Store[D] | None = None
    refusals: int = 0
    is_behind: bool = False
    due: float = 0.0

    @classmethod
    def of(cls, delivery: D, facts: Facts, state: DeliveryState = DeliveryState.QUEUED) -> Case[D]:
        """A case as the delivery's facts tell it."""
        event = object() if facts.event is None else facts.event
        return cls(delivery, facts, event, state, facts.attempts, facts.uncounted)

    @property
    def has_news(self) -> bool:
        """It has failed here, which the broker's message does not say yet."""
        return self.first_failed is not None


class Cases(Generic[D]):
    """The cases of the living generation, by the identity of their deliveries.

    Attributes:
        known: by the identity of the delivery.
        count: how many there are in each state.
        refused: how many have a copy that could not be stored so far, whether it waits or is being tried again.
    """

    def __init__(self) -> None:
        self.known: dict[int, Case[D]] = {}
        self.count = dict.fromkeys(DeliveryState, 0)
        self.refused = 0

    def __len__(self) -> int:
        return len(self.known)

    def __iter__(self) -> Iterator[Case[D]]:
        return iter(self.known.copy().values())  # health looks while it changes

    def of(self, delivery: D) -> Case[D] | None:
        """The case of a delivery, if it has one."""
        return self.known.get(id(delivery))

    def has(self, case: Case[D]) -> bool:
        """Whether it is one of the living generation's, and not settled."""
        return self.known.get(id(case.delivery)) is case

    def add(self, case: Case[D]) -> Case[D]:
        """Take a case up."""
        self.known[id(case.delivery)] = case
        self.count[case.state] += 1
        return case

    def move(self, case: Case[D], state: DeliveryState) -> None:
        """Change its state."""
        self.count[case.state] -= 1
        self.count[state] += 1
        case.state = state

    def refuse(self, case: Case[D], refusals: int) -> None:
        """Its copy could not be stored, so often by now."""
        self.refused += refusals > 0 and not case.refusals
        case.refusals = refusals

    def close(self, case: Case[D], state: DeliveryState) -> None:
        """It has come to its end."""
        self.count[case.state] -= 1
        self.refused -= case.refusals > 0
        case.state = state
        del self.known[id(case.delivery)]
