"""Bugs with descriptors, threads, forks and opening, in the in-memory provider."""

from __future__ import annotations

import os
import socket
import threading

from eventing_core.memory._connection import Connection
from eventing_core.memory._provider import MemoryProvider
from eventing_core.memory._store import Store
from eventing_core.provider import Observer
from tests.kit.mutant import Mutant

#: What leaks.
_kept: list[object] = []


def descriptor_left_by_a_reconnect() -> None:
    _with_regain(lambda: _kept.append(os.dup(0)))


def thread_left_by_a_reconnect() -> None:
    _with_regain(lambda: threading.Thread(target=threading.Event().wait, daemon=True).start())


def _with_regain(do: object) -> None:
    regain = Store.regain

    def broken(self: Store, connection: Connection) -> None:
        do()  # type: ignore[operator]
        regain(self, connection)

    Store.regain = broken  # type: ignore[method-assign]


def descriptor_left_by_closing() -> None:
    close = MemoryProvider.close

    def broken(self: MemoryProvider, timeout: float) -> None:
        if self.connection is not None and self.connection.open:
            _kept.append(os.dup(0))
        close(self, timeout)

    MemoryProvider.close = broken  # type: ignore[method-assign]


def opened_once_and_never_again() -> None:
    open_it = MemoryProvider.open
    tried: set[int] = set()

    def broken(self: MemoryProvider, observer: Observer) -> None:
        if id(self) in tried:
            self.connection = Connection(observer)  # hence "opened before"
        tried.add(id(self))
        open_it(self, observer)

    MemoryProvider.open = broken  # type: ignore[method-assign]


def open_that_nothing_ends() -> None:
    open_it = MemoryProvider.open

    def broken(self: MemoryProvider, observer: Observer) -> None:
        while not self.broker.engine._store.running:
            threading.Event().wait(0.01)
        open_it(self, observer)

    MemoryProvider.open = broken  # type: ignore[method-assign]


def _with_socket() -> None:
    """Its connection is a socket now: where that ends, the broker drops the connection."""
    open_it, close = MemoryProvider.open, MemoryProvider.close

    def opened(self: MemoryProvider, observer: Observer) -> None:
        open_it(self, observer)
        ours, its = socket.socketpair()
        self.ends = ours, its  # type: ignore[attr-defined]

        def watch() -> None:
            its.recv(1)
            self.broker.disconnect(self)

        self.watching = threading.Thread(target=watch, daemon=True)  # type: ignore[attr-defined]
        self.watching.start()  # type: ignore[attr-defined]

    def closed(self: MemoryProvider, timeout: float) -> None:
        close(self, timeout)
        if self.connection is not None:
            ours, its = self.ends  # type: ignore[attr-defined]
            if ours.fileno() >= 0:
                ours.shutdown(socket.SHUT_RDWR)
            self.watching.join()  # type: ignore[attr-defined]
            ours.close()
            its.close()

    MemoryProvider.open = opened  # type: ignore[method-assign]
    MemoryProvider.close = closed  # type: ignore[method-assign]


def abandon_that_does_nothing() -> None:
    _with_socket()
    MemoryProvider.abandon = lambda self: None  # type: ignore[method-assign]


def abandon_that_says_goodbye() -> None:
    _with_socket()

    def abandon(self: MemoryProvider) -> None:
        for end in self.ends:  # type: ignore[attr-defined]
            end.shutdown(socket.SHUT_RDWR)  # the parent's as well
            end.close()

    MemoryProvider.abandon = abandon  # type: ignore[method-assign]


def abandon_that_hangs() -> None:
    MemoryProvider.abandon = lambda self: threading.Event().wait()  # type: ignore[assignment, method-assign]


def abandon_that_raises() -> None:
    def abandon(self: MemoryProvider) -> None:
        raise RuntimeError

    MemoryProvider.abandon = abandon  # type: ignore[method-assign]


_RECONNECTS = "test_reconnects_leave_no_descriptor_and_no_thread"
_FORK = "test_a_forked_child_abandons_and_the_parent_goes_on"

MUTANTS = [
    Mutant(descriptor_left_by_a_reconnect, _RECONNECTS, "4 reconnects leave no descriptor"),
    Mutant(thread_left_by_a_reconnect, _RECONNECTS, "4 reconnects leave no thread"),
    Mutant(descriptor_left_by_closing, "test_closing_leaves_no_descriptor", "closing a provider leaves no descriptor"),
    Mutant(
        opened_once_and_never_again,
        "test_a_provider_that_could_not_open_can_be_opened_again",
        "a provider that could not open can be opened again",
    ),
    Mutant(
        open_that_nothing_ends,
        "test_closing_ends_an_open_that_nobody_answers",
        "closing ends an open that nobody answers",
    ),
    Mutant(abandon_that_does_nothing, _FORK, "abandoning closes the child's descriptors"),
    Mutant(abandon_that_says_goodbye, _FORK, "a child that abandons doesn't disturb the parent's connection"),
    Mutant(abandon_that_hangs, _FORK, "abandoning in a forked child ends in time"),
    Mutant(abandon_that_raises, _FORK, "abandoning in a forked child raises nothing"),
]
