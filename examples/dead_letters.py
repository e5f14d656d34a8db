"""Reads a listener's dead letters back from the broker, and sends them to the listener again.

Written against the provider interface, so it works on every transport. The provider that it is given is open, and is
its own: a manager keeps its provider to itself.

``python -m examples.dead_letters EVENT LISTENER`` lists dead letters; with ``--replay`` it sends them to the listener
again. The password is that of the environment variable ``EVENTING_PASSWORD``.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import queue
import sys
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

#: Names the headers that the broker could not store with a dead letter.
_TRUNCATED = "eventing_truncated"

#: Names the queue where an event is that the transport could not hand over: its dead letter has no body.
_ELSEWHERE = "eventing_undeliverable_queue"

#: How the headers begin that the dead letter has and the event had not.
_OWN = ("eventing-", "eventing_")

#: No more dead letters come when none has come for so long, in seconds.
_QUIET = 2.0


class TruncatedError(ValueError):
    """A dead letter lacks headers of its event, and is replayed only by force."""


class ElsewhereError(ValueError):
    """The event itself is in another queue, since the transport could not hand it over: there is nothing to replay."""


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

    def replay(self, letter: Delivery, timeout: float = 30.0, *, force: bool = False) -> None:
        """Send a dead letter to its listener again, and to no other, with all its attempts; then remove it.

        Args:
            letter: as `take` returned it.
            timeout: for the broker's confirmation, in seconds.
            force: also where headers of the event are missing.

        Raises:
            ElsewhereError: the event is not in the dead letter, which stays.
            TruncatedError: headers of the event are missing, and there is no force; the dead letter stays.
            SendError: the broker has not confirmed; the dead letter stays.
        """
        message = letter.message()
        elsewhere = message.headers.get(_ELSEWHERE)
        if elsewhere:
            text = (
                f"event {message.message_id} is in the queue {elsewhere!r}, as its sender wrote it: inspect it over "
                "AMQP, and move it to its listener's queue once that listener consumes over AMQP. Then remove this "
                "dead letter"
            )
            raise ElsewhereError(text)
        missing = message.headers.get(_TRUNCATED)
        if missing and not force:
            text = (
                f"the dead letter of event {message.message_id} lacks these headers: {missing}. To replay it without "
                "them, use force=True, or --force on the command line"
            )
            raise TruncatedError(text)
        headers = {key: value for key, value in message.headers.items() if not key.startswith(_OWN)}
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


def _open(options: argparse.Namespace) -> Provider:
    place = {"host": options.host, "port": options.port, "user": options.user}
    password = os.environ.get("EVENTING_PASSWORD", "")
    if options.provider == "amqp":
        from eventing_amqp import AMQProvider  # noqa: PLC0415 (only what is used has to be installed)

        provider: Provider = AMQProvider("dead-letters", **place, password=password)
    else:
        from eventing_stomp import StompProvider  # noqa: PLC0415 (likewise)

        provider = StompProvider("dead-letters", **place, password=password)
    provider.open(lambda *_: None)
    return provider


def main() -> int:
    """List dead letters, or replay them; 1 where some were left."""
    parser = argparse.ArgumentParser(prog="python -m examples.dead_letters", description=__doc__)
    parser.add_argument("--provider", choices=("amqp", "stomp"), default="amqp")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=61616)
    parser.add_argument("--user", default="")
    parser.add_argument("--server", default="", help="the server's name, of a per-process listener")
    parser.add_argument("--durable", action="store_true", help="the event is durable")
    parser.add_argument("--replay", action="store_true", help="send them to the listener again")
    parser.add_argument("--force", action="store_true", help="also those that lack headers of their events")
    parser.add_argument("event")
    parser.add_argument("listener")
    options = parser.parse_args()
    provider = _open(options)
    try:
        names = (options.event, options.listener, options.server)
        with DeadLetters(provider, *names, durable=options.durable) as letters:
            return _go_through(letters, replay=options.replay, force=options.force)
    finally:
        provider.close(10.0)


def _go_through(letters: DeadLetters, *, replay: bool, force: bool) -> int:
    left = 0
    seen: set[str] = set()
    while (letter := letters.take(_QUIET)) is not None:
        message = letter.message()
        if message.message_id and message.message_id in seen:
            continue  # it was replayed, and has failed again
        seen.add(message.message_id)
        reason, truncated = (message.headers.get(key, "") for key in ("eventing-reason", _TRUNCATED))
        elsewhere = message.headers.get(_ELSEWHERE)
        print(
            f"{message.message_id} {reason}"
            + (f", without these headers: {truncated}" if truncated else "")
            + (f", in the queue {elsewhere}" if elsewhere else "")
        )
        if replay:
            try:
                letters.replay(letter, force=force)
            except (TruncatedError, ElsewhereError) as error:
                print(error, file=sys.stderr)
                left += 1
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
