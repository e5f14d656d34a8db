"""Reads a listener's dead letters back from the broker, and sends them to the listener again.

Written against the provider interface, so it works on every transport. The provider that it is given is open, and is
its own: a manager keeps its provider to itself.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self
from uuid import uuid4

from eventing_core import SubscriptionError
from eventing_core.provider import Delivery, Destination, Handle, Message, Outcome, Provider, Subscription
from eventing_core.provider import SubscriptionState as State

#: Dead letters that are read ahead.
_WINDOW = 100


class DeadLetters:
    """The dead letters of one listener, oldest first. What is taken and not removed goes back at the end.

    Args:
        provider: open.
        event: the event's name.
        listener: the listener's name.
        server: the server's name, when the listener is ``per_process``.
        durable: of the event; for `replay`.
    """

    def __init__(self, provider: Provider, event: str, listener: str, server: str = "", *, durable: bool) -> None:
        self._provider = provider
        self._listener = Destination(event, listener, server, "queue", durable)
        self._dead = Destination(event, listener, server, "dead", durable=True)
        self._letters: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._known = threading.Event()
        self._active = False
        self._error: Exception | None = None
        self._handle: Handle | None = None

    def take(self, timeout: float) -> Delivery | None:
        """The next dead letter; None when there was none for ``timeout`` seconds."""
        try:
            return self._letters.get(timeout=timeout)
        except queue.Empty:
            return None

    def remove(self, letter: Delivery) -> None:
        """Take a dead letter off the broker."""
        if self._handle is not None:
            self._handle.settle([letter], Outcome.ACCEPT)

    def replay(self, letter: Delivery, timeout: float = 30.0) -> None:
        """Send a dead letter to its listener again, and to no other, with all its attempts; then remove it.

        Raises:
            SendError: the broker has not confirmed; the dead letter stays.
        """
        message = letter.message()
        headers = {key: value for key, value in message.headers.items() if not key.startswith("eventing-")}
        # A fresh id: under an old one the broker could take it for a duplicate, and drop it.
        fresh: Message = dataclasses.replace(message, headers=headers, dedup_id=uuid4().hex)
        sent: Future[None] = Future()

        def done(_: int, error: Exception | None) -> None:
            if error is None:
                sent.set_result(None)
            else:
                sent.set_exception(error)

        self._provider.producer(self._listener).send([fresh], done, deadline=time.monotonic() + timeout)
        sent.result()
        self.remove(letter)

    def __enter__(self) -> Self:
        self._handle = self._provider.subscribe(Subscription(destination=self._dead), self)
        self._known.wait()
        if not self._active:
            raise self._error or SubscriptionError(str(self._dead))
        self._handle.window(_WINDOW)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.close().result()

    # -- called by the provider, on its thread ----------------------------------------------------------------

    def deliver(self, batch: Sequence[Delivery]) -> None:
        """Take dead letters from the provider."""
        for letter in batch:
            self._letters.put(letter)

    def state(self, state: State, generation: int, error: Exception | None) -> None:
        """Learn whether the queue is attached, now and after each new connection."""
        self._active = state is State.ACTIVE
        self._error = error
        if self._active and self._known.is_set() and self._handle is not None:
            self._handle.window(_WINDOW)
        if state is not State.INACTIVE:
            self._known.set()
