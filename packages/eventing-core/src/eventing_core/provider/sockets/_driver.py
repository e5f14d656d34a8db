"""The thread that drives a connection: it sleeps, reads, writes, and carries out what was posted."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from eventing_core.errors import BrokerConnectionError
from eventing_core.provider.sockets._carrier import Endpoint
from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._generation import Generation
from eventing_core.provider.sockets._loop import Loop, quietly
from eventing_core.provider.sockets._states import OVER, ConnectionInput, ConnectionState, connection_after

_log = logging.getLogger("eventing.sockets")

#: A rest that is shorter, in seconds, is none: selectors count in milliseconds, and round up.
_SHORTEST = 0.0005

#: By itself, since it is looked at in each turn: to look into a set calls a function for the hash.
_CONNECTED = ConnectionState.CONNECTED

G = TypeVar("G", bound=Generation)


class Driver(ABC, Generic[G]):
    """One turn of the thread after the other, until the connection is ending. All of it runs on that thread.

    Args:
        config: the settings.
        name: of the thread.

    Attributes:
        state: what the connection does. Once the thread runs, only that changes it.
        config: the settings.
        loop: to post commands to.
        dirty: who may have something to write.
        place: host and port of the broker that it is connected to, or tries, for messages.
    """

    def __init__(self, config: SocketConfig, name: str) -> None:
        self.state = ConnectionState.NEW
        self.config = config
        self.loop = Loop()
        self.dirty: set[Endpoint] = set()
        self.place = config.place
        self._generation: G | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        #: Guards `state` while the thread doesn't run: one thread alone starts it, or ends the connection in its place.
        self._starting = threading.Lock()

    @abstractmethod
    def _connect(self) -> None:
        """Begin an attempt to connect, unless one is under way or nobody wants it."""

    @abstractmethod
    def _lose(self, error: Exception) -> None:
        """The connection, or the attempt to have one, has failed."""

    @abstractmethod
    def _go_on_closing(self, generation: G | None) -> None:
        """See whether the next step of closing can be taken, if it is closing."""

    @abstractmethod
    def _end(self) -> None:
        """Leave nothing behind."""

    def _advance(self, happened: ConnectionInput) -> None:
        self.state = connection_after(self.state, happened)

    def _run(self) -> None:
        with self._starting:
            if self.state in OVER:  # closed before it ran
                return
        try:
            step = self._connect
            while self.state is not ConnectionState.ENDING:
                try:
                    step()
                except Exception as error:  # noqa: BLE001 (the thread has to live)
                    self._lose(BrokerConnectionError(f"{self.place}: internal error: {type(error).__name__}"))
                    with quietly:
                        _log.exception("%s: the connection is given up after an internal error", self.place)
                step = self._turn
        finally:
            if self.state is not ConnectionState.ENDING:
                self._advance(ConnectionInput.CRASHED)
            self._end()

    def _turn(self) -> None:
        loop, generation = self.loop, self._generation
        limit: float | None = None
        if generation is not None:
            rests = False
            if generation.has_more or (self.dirty and generation.is_open and not generation.blocked):
                limit = 0.0
            else:
                now = time.monotonic()
                rests = generation.rests_until - now > _SHORTEST and not generation.blocked
                due = min(generation.next_tick, generation.rests_until) if rests else generation.next_tick
                if due != float("inf"):
                    limit = max(0.0, due - now)
            loop.watch(None if rests else generation.sock, writing=generation.blocked)
        ready = loop.sleep(limit)
        if generation is not None and (ready or generation.has_more):
            generation.has_more = generation.read()
        loop.run_posted()
        loop.run_timers()
        generation = self._generation
        if generation is not None:
            self._drive(generation)
        if self.state is not _CONNECTED:
            self._go_on_closing(generation)
        if generation is not None and generation.failure is not None:
            self._lose(generation.failure)

    def _drive(self, generation: Generation) -> None:
        if generation.failure is None:
            if self.dirty and generation.is_open and not (generation.blocked and self._is_blocked(generation)):
                dirty, self.dirty = self.dirty, set()
                for endpoint in dirty:
                    endpoint.flush()
            if time.monotonic() >= generation.next_tick:
                generation.tick()
            generation.pump()
            generation.write()
            generation.pump()

    @staticmethod
    def _is_blocked(generation: Generation) -> bool:
        generation.write()
        return generation.blocked
