"""Locks of the core that know by whom they are held, to find foreign code that runs under one."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
        """Foreign code runs: note when its thread holds a lock of the core."""
        self.looks += 1
        locks: list[_Lock] = getattr(_held, "locks", [])
        if locks:
            stack = "".join(traceback.format_stack(limit=12))
            self.flaws.append(f"{what} under the lock made at {', '.join(lock.made for lock in locks)}:\n{stack}")


class _Lock:
    """Stands for a lock of the core.

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
    """The place in the core that makes a lock; empty for others."""
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__") == "threading":
        if frame.f_code.co_qualname in {"Thread.__init__", "Semaphore.__init__"} or frame.f_back is None:
            return ""  # of the standard library's own
        frame = frame.f_back
    module = frame.f_globals.get("__name__", "")
    return f"{module}:{frame.f_lineno}" if module.startswith("eventing_core.") else ""


@contextmanager
def watched_locks(monkeypatch: Any) -> Iterator[Finds]:
    """All locks that the core makes from now on know who holds them."""

    def lock() -> Any:
        made = _made_by()
        return _Lock(_real_lock(), made) if made else _real_lock()

    def rlock() -> Any:
        made = _made_by()
        return _Lock(_real_rlock(), made) if made else _real_rlock()

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Lock", lock)
        patch.setattr(threading, "RLock", rlock)
        yield Finds()
