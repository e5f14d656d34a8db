"""What managers do when their process ends or forks."""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger("eventing")


class Managed(Protocol):
    """A manager, to this module."""

    def at_exit(self) -> None:
        """The interpreter ends: drain, where anything is open."""

    def after_fork(self) -> None:
        """This is a child: be as new."""


#: By their identity. A plain dictionary, as its copy is one step; a weak set can't be looked through while another
#: thread adds to it, and a lock may be held, by a thread that a child doesn't have, when the process forks.
_managers: dict[int, weakref.ref[Managed]] = {}
_exiting = False


def remember(manager: Managed) -> None:
    """Call the manager at exit and after a fork. Keeps nothing alive."""
    key, forget_it = id(manager), _managers.pop  # a module's names are gone at the interpreter's very end
    _managers[key] = weakref.ref(manager, lambda _: forget_it(key, None))


def forget(manager: Managed) -> None:
    """Don't any more."""
    _managers.pop(id(manager), None)


def remembered() -> list[Managed]:
    """The managers that there are at this moment, also while other threads make more."""
    managers = (reference() for reference in _managers.copy().values())
    return [manager for manager in managers if manager is not None]


def is_exiting() -> bool:
    """Whether managers are being called at the interpreter's exit."""
    return _exiting


def _exit() -> None:
    global _exiting  # noqa: PLW0603 (a process ends once)
    _exiting = True
    for manager in remembered():
        try:
            manager.at_exit()
        except Exception:  # noqa: BLE001 (the others have to be drained as well)
            _log.exception("%r: an unexpected error at exit", manager)


def _fork() -> None:
    for manager in remembered():
        try:
            manager.after_fork()
        except Exception:  # noqa: BLE001 (the others have to be reset as well)
            _log.exception("%r: an unexpected error after a fork", manager)


def _at_exit(call: Callable[[], None]) -> None:
    """Call at exit, while listeners can still use executors: those are closed before `atexit`'s functions run."""
    importlib.import_module("concurrent.futures.thread")  # registers its own, which then runs after ours
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(call)
    else:
        atexit.register(call)


_at_exit(_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork)
