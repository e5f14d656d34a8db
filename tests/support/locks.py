"""Locks of the distributions that know by whom they are held, to find foreign code that runs under one.

Foreign is what calls its way into a distribution from outside, and may take its time, or a lock of its own: a listener,
a pipeline, a handle, a subscriber, a ``done``, an observer, a logging handler.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eventing_core.provider import Delivery, Handle, Observer, Provider, Subscriber, Subscription, SubscriptionState

_held = threading.local()

_real_lock = threading.Lock
_real_rlock = threading.RLock


class Finds:
    """What was found.

    Attributes:
        flaws: each with the place where foreign code ran, and the locks that its thread held.
        looks: how often it was looked.
    """

    def __init__(self) -> None:
        self.flaws: list[str] = []
        self.looks = 0

    def foreign(self, what: str) -> None:
        """Foreign code runs: note when its thread holds a lock of a distribution's."""
        self.looks += 1
        locks: list[_Lock] = getattr(_held, "locks", [])
        if locks:
            stack = "".join(traceback.format_stack(limit=12))
            self.flaws.append(f"{what} under the lock made at {', '.join(lock.made for lock in locks)}:\n{stack}")


class _Logs(logging.Handler):
    """A logging handler of the user's."""

    def __init__(self, finds: Finds) -> None:
        super().__init__(logging.DEBUG)
        self._finds = finds

    def emit(self, record: logging.LogRecord) -> None:
        self._finds.foreign(f"a logging handler, with {record.getMessage()!r}")


class _Lock:
    """Stands for a lock of a distribution's.

    What is entered by ``with`` counts. A bare `acquire` is something else: it waits for an event, or claims a task, for
    which nobody waits.
    """

    def __init__(self, lock: Any, made: str) -> None:
        self._lock = lock
        self.made = made

    def __enter__(self) -> bool:
        got: bool = self._lock.__enter__()
        if not hasattr(_held, "locks"):
            _held.locks = []
        _held.locks.append(self)
        return got

    def __exit__(self, *_: object) -> None:
        _held.locks.remove(self)
        self._lock.release()

    def __getattr__(self, name: str) -> Any:
        # A condition asks for more of a lock that can be taken again.
        return getattr(self._lock, name)


def _made_by() -> str:
    """The place in a distribution that makes a lock; empty for others, the conformance kit among them."""
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__") == "threading":
        if frame.f_code.co_qualname in {"Thread.__init__", "Semaphore.__init__"} or frame.f_back is None:
            return ""  # of the standard library's own
        frame = frame.f_back
    module = frame.f_globals.get("__name__", "")
    is_ours = module.startswith("eventing_") and not module.startswith("eventing_core.testing")
    return f"{module}:{frame.f_lineno}" if is_ours else ""


@contextmanager
def watched_locks(monkeypatch: Any) -> Iterator[Finds]:
    """All locks that the distributions make from now on know who holds them; each log line looks for that."""

    def lock() -> Any:
        made = _made_by()
        return _Lock(_real_lock(), made) if made else _real_lock()

    def rlock() -> Any:
        made = _made_by()
        return _Lock(_real_rlock(), made) if made else _real_rlock()

    finds = Finds()
    logs, logger = _Logs(finds), logging.getLogger("eventing")
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Lock", lock)
        patch.setattr(threading, "RLock", rlock)
        patch.setattr(logger, "level", logger.level)
        logger.addHandler(logs)
        logger.setLevel(logging.DEBUG)
        try:
            yield finds
        finally:
            logger.removeHandler(logs)
    logger.setLevel(logger.level)  # which forgets what the loggers below remember of it


class _Subscriber:
    """A subscriber that looks for locks whenever it is called."""

    def __init__(self, subscriber: Subscriber, finds: Finds) -> None:
        self._subscriber = subscriber
        self._finds = finds

    def deliver(self, batch: Sequence[Delivery]) -> None:
        self._finds.foreign("a subscriber's deliver")
        self._subscriber.deliver(batch)

    def state(self, state: SubscriptionState, generation: int, error: Exception | None) -> None:
        self._finds.foreign("a subscriber's state")
        self._subscriber.state(state, generation, error)


def watch_provider(monkeypatch: Any, kind: type[Provider], finds: Finds) -> None:
    """Have observers, subscribers and ``done`` of a class of providers look for locks whenever they are called."""
    real_open, real_subscribe, real_producer = kind.open, kind.subscribe, kind.producer
    watched: set[type[Any]] = set()

    def told(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def tell(*arguments: Any) -> Any:
            finds.foreign(what)
            return call(*arguments)

        return tell

    def open_it(self: Provider, observer: Observer) -> None:
        real_open(self, told("an observer", observer))

    def subscribe(self: Provider, subscription: Subscription, subscriber: Subscriber) -> Handle:
        return real_subscribe(self, subscription, _Subscriber(subscriber, finds))

    def producer(self: Provider, destination: Any) -> Any:
        made = real_producer(self, destination)
        cls = type(made)
        if cls not in watched:
            watched.add(cls)
            real_send = cls.send

            def send(self: Any, batch: Any, done: Any, **keywords: Any) -> None:
                real_send(self, batch, told("done", done), **keywords)

            monkeypatch.setattr(cls, "send", send)
        return made

    monkeypatch.setattr(kind, "open", open_it)
    monkeypatch.setattr(kind, "subscribe", subscribe)
    monkeypatch.setattr(kind, "producer", producer)
