"""What tests listen with. Every wait is for a condition, with a limit, and names what it waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from eventing_core.provider import Delivery, Handle, Message, Outcome, SubscriptionState

#: How long anything may take, in seconds. Long: only a failing test waits so long.
LIMIT = 30.0

T = TypeVar("T")


class Log(Generic[T]):
    """A list to which threads append, and on which a test waits. Thread-safe."""

    def __init__(self) -> None:
        self._items: list[T] = []
        # Guards the list; notified when it grows.
        self._changed = threading.Condition()

    def add(self, item: T) -> None:
        """Append an item."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def extend(self, items: Sequence[T]) -> None:
        """Append items."""
        with self._changed:
            self._items.extend(items)
            self._changed.notify_all()

    def items(self) -> list[T]:
        """The items so far."""
        with self._changed:
            return list(self._items)

    def until(self, condition: Callable[[list[T]], bool], behaviour: str, limit: float | None = None) -> list[T]:
        """Wait until the condition holds; after ``limit`` (30) seconds, raise an AssertionError with the behaviour."""
        limit = LIMIT if limit is None else limit
        with self._changed:
            held = self._changed.wait_for(lambda: condition(self._items), limit)
            assert held, f"{behaviour}: not within {limit} s; there is {_shortened(self._items)}"
            return list(self._items)

    def wait(self, count: int, behaviour: str, limit: float | None = None) -> list[T]:
        """Wait for a number of items."""
        return self.until(lambda items: len(items) >= count, f"{behaviour} ({count} wanted)", limit)


def until(condition: Callable[[], bool], behaviour: str, limit: float | None = None) -> None:
    """Wait for a condition that nobody announces; after ``limit`` (30) seconds, fail with the behaviour's name."""
    limit = LIMIT if limit is None else limit
    deadline = deadline_in(limit)
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{behaviour}: not within {limit} s"
        pause.wait(0.005)


class Recorder:
    """A `Subscriber` that records deliveries and states. It settles nothing by itself.

    Args:
        window: the window to set in every generation, as soon as it is active.
    """

    def __init__(self, window: int = 0) -> None:
        self.size = window
        self.deliveries: Log[Delivery] = Log()
        self.states: Log[tuple[SubscriptionState, int, Exception | None]] = Log()
        self.react: Callable[[Sequence[Delivery]], object] | None = None
        self._handle: Handle | None = None

    @property
    def handle(self) -> Handle:
        """The handle of its subscription."""
        assert self._handle is not None, "attach() was not called"
        return self._handle

    def attach(self, handle: Handle) -> None:
        """Take the handle, and set the window if the subscription is already active."""
        self._handle = handle
        states = self.states.items()
        if self.size and states and states[-1][0] is SubscriptionState.ACTIVE:
            handle.window(self.size)

    def deliver(self, batch: Sequence[Delivery]) -> None:
        """Record deliveries, then call `react`."""
        self.deliveries.extend(batch)
        if self.react is not None:
            self.react(batch)

    def state(self, state: SubscriptionState, generation: int, error: Exception | None) -> None:
        """Record a state."""
        self.states.add((state, generation, error))
        if state is SubscriptionState.ACTIVE and self._handle is not None and self.size:
            self._handle.window(self.size)

    def wait_active(self) -> None:
        """Wait until the subscription is active or has failed."""
        settled = (SubscriptionState.ACTIVE, SubscriptionState.FAILED)
        states = self.states.until(
            lambda states: any(state in settled for state, _, _ in states),
            "a subscription reports its state in bounded time",
        )
        failures = [error for state, _, error in states if state is SubscriptionState.FAILED]
        assert not failures, f"the subscription failed: {failures[0]!r}"

    def wait(self, count: int, behaviour: str = "messages are delivered") -> list[Delivery]:
        """Wait for a total number of deliveries."""
        return self.deliveries.wait(count, behaviour)

    def bodies(self) -> list[str]:
        """The bodies of all deliveries so far."""
        return [text_of(delivery) for delivery in self.deliveries.items()]

    def settle(self, batch: Sequence[Delivery], outcome: Outcome = Outcome.ACCEPT) -> None:
        """Settle deliveries."""
        self.handle.settle(batch, outcome)


class Confirmations:
    """A ``done`` callback that records its arguments: (index, error)."""

    def __init__(self) -> None:
        self.results: Log[tuple[int, Exception | None]] = Log()

    def __call__(self, index: int, error: Exception | None) -> None:
        self.results.add((index, error))

    def wait(self, count: int) -> list[tuple[int, Exception | None]]:
        """Wait for a number of results."""
        return self.results.wait(count, "the outcome of every send is reported")

    @property
    def errors(self) -> list[Exception | None]:
        """The errors so far, in order of arrival."""
        return [error for _, error in self.results.items()]


def text_of(delivery: Delivery) -> str:
    """A delivery's body, as text."""
    return delivery.message().body.decode()


def texts(*bodies: str, durable: bool = False) -> list[Message]:
    """Messages with those bodies, which are their ids as well."""
    return [Message(body=body.encode(), message_id=body, dedup_id=body, durable=durable) for body in bodies]


def _shortened(items: list[T], limit: int = 20) -> str:
    shown = ", ".join(map(_shown, items[:limit]))
    return f"{len(items)}: [{shown}]" + (", ..." if len(items) > limit else "")


def _shown(item: object, limit: int = 80) -> str:
    """What an item holds; of a delivery, which may be of any class: its body and its count."""
    if not isinstance(item, Delivery):
        return repr(item)
    body = item.message().body
    return f"{body[:limit]!r}{'...' if len(body) > limit else ''} (delivery_count {item.delivery_count})"


def deadline_in(seconds: float) -> float:
    """A deadline, as producers want it."""
    return time.monotonic() + seconds
