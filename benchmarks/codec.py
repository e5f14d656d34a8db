"""What encoding and decoding an event takes, in processor time: ``python -m benchmarks.codec``.

Beside each figure stands what pydantic alone takes for the same class. The least of several rounds by turns is shown,
so that other work on the machine matters little.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter

from eventing_core import event
from eventing_core.codec._codec import Codec
from eventing_core.declare._event import describe_event

ROUNDS, CALLS = 40, 1000


@dataclass
class Line:
    """A part of an event."""

    sku: str
    price: float


@dataclass
class Order:
    """Nested, and safe."""

    number: int
    customer: str
    lines: list[Line] = field(default_factory=list)
    note: str | None = None


class Tagged(BaseModel):
    """A model, and safe."""

    name: str
    number: int
    size: float = 1.0
    tags: list[str] = []


@dataclass
class Rich:
    """Types that JSON lacks, and a bound: safe."""

    id: UUID
    at: datetime
    amount: Decimal
    bounded: Annotated[int, Field(gt=0)]


class Payload(BaseModel):
    """A field of anything."""

    kind: str
    data: dict[str, Any]


@dataclass
class Verified:
    """Read back at each send, for it has a validator."""

    number: int
    customer: Annotated[str, AfterValidator(lambda text: text)]
    lines: list[Line] = field(default_factory=list)
    note: str | None = None


LINES = [Line("a", 2.5), Line("b", 0.1)]
EVENTS: list[Any] = [
    Order(1, "Ann", LINES, "note"),
    Tagged(name="x", number=4, tags=["a", "b"]),
    Rich(UUID(int=4), datetime(2026, 1, 1, tzinfo=UTC), Decimal("1.20"), 1),
    Payload(kind="x", data={"a": 1, "b": [1, 2, "c"], "d": {"e": 1.5}}),
    Verified(1, "Ann", LINES, "note"),
]


def main() -> None:
    """Print the table."""
    print("µs         encode  pydantic   decode  pydantic")
    for sent in EVENTS:
        cls: Any = type(sent)
        codec, adapter = Codec(describe_event(event()(cls))), TypeAdapter(cls)
        body = codec.encode(sent)
        write, read = adapter.serializer.to_json, adapter.validator.validate_json
        figures = _least(
            partial(codec.encode, sent),
            partial(write, sent, by_alias=False, round_trip=True),
            partial(codec.decode, body),
            partial(read, body, by_alias=True, by_name=True),
        )
        print(f"{cls.__name__:8}", *(f"{figure:8.2f}" for figure in figures))


def _least(*calls: Callable[[], object]) -> list[float]:
    least = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for index, call in enumerate(calls):
            began = time.thread_time()
            for _ in itertools.repeat(None, CALLS):
                call()
            least[index] = min(least[index], (time.thread_time() - began) / CALLS * 1e6)
    return least


if __name__ == "__main__":
    main()
