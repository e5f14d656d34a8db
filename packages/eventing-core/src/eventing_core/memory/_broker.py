"""`MemoryBroker`: what stands for a broker, or a cluster's broker, in one process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from typing import ClassVar, Protocol

from eventing_core.errors import ConfigError
from eventing_core.memory._config import MAX_MESSAGES
from eventing_core.memory._connection import Connection
from eventing_core.memory._engine import Engine
from eventing_core.provider import Destination, Message


class Client(Protocol):
    """Who is connected to a broker: a `MemoryProvider`.

    Attributes:
        connection: None until it is open.
    """

    @property
    def connection(self) -> Connection | None: ...


class MemoryBroker:
    """Queues in memory, with the semantics of a real broker. Thread-safe.

    A topic is a fan-out, at the time of the send, to every queue that was ever subscribed. A queue, and what
    is in it, lives as long as this object, whether anyone consumes or not; so also that of a per-process listener
    whose server never comes back, which fills up and then makes sends wait. Nothing survives the
    process: durable messages and queues survive `restart`, as they would survive a real broker's.

    Bounded: a queue holds ``max_messages``, those at listeners included. Where one is full, sends to
    its topic wait for room, in their order, up to their deadline. Retry copies, which replace a message that
    is at a listener, may exceed the bound by as many as are there.

    Args:
        name: for messages; see `shared`.
        max_messages: bound of each queue.

    Raises:
        ConfigError: ``max_messages`` is no such number, or ``name`` no string.
    """

    _shared: ClassVar[weakref.WeakValueDictionary[str, MemoryBroker]] = weakref.WeakValueDictionary()
    #: Guards `_shared`: one broker for each name.
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, name: str = "", *, max_messages: int = MAX_MESSAGES) -> None:
        if isinstance(max_messages, bool) or not isinstance(max_messages, int) or max_messages < 1:
            msg = "MemoryBroker: max_messages must be a whole number, at least 1"
            raise ConfigError(msg)
        self.name = _checked(name)
        self.max_messages = max_messages
        #: For `MemoryProvider`.
        self.engine = Engine(name, max_messages)
        self._process = os.getpid()

    @classmethod
    def shared(cls, name: str, *, max_messages: int = MAX_MESSAGES) -> MemoryBroker:
        """The broker of that name in this process, the same for all who ask.

        It lives as long as a provider or anyone else holds it; the first one's ``max_messages`` holds.
        """
        with cls._guard:
            broker = cls._shared.get(_checked(name))
            if broker is None:
                broker = cls._shared[name] = cls(name, max_messages=max_messages)
            return broker

    def messages(self, destination: Destination) -> list[Message]:
        """What a queue holds, in its order, without taking anything; what is at listeners is still in it."""
        return self.engine.messages(destination)

    def dead_letters(self, topic: str, group: str, member: str = "") -> list[Message]:
        """The dead letters of a listener: event's name, listener's name, and its server's where it is per-process."""
        return self.messages(Destination(topic, group, member, kind="dead"))

    def disconnect(self, provider: Client) -> None:
        """Cut a provider's connection, as a network would. It connects again at once, in a new generation.

        What was delivered to it and not settled counts as delivered once, and is delivered again.
        """
        if provider.connection is not None:
            self.engine.reconnect(provider.connection)

    def cut(self) -> None:
        """Cut all connections, as a network would, until `start`: all queues and messages stay. Idempotent."""
        self.engine.cut()

    def stop(self) -> None:
        """Go down: all connections are lost; messages and queues that aren't durable are gone. Idempotent."""
        self.engine.stop()

    def start(self) -> None:
        """Come up again, or be within reach: providers connect and subscribe in a new generation. Idempotent."""
        self.engine.start()

    def restart(self) -> None:
        """`stop`, then `start`."""
        self.stop()
        self.start()

    @contextmanager
    def refusing(self, destination: Destination) -> Generator[None, None, None]:
        """In its context sends to a destination fail with `SendRejectedError`, as by a broker's access rules."""
        self.engine.refuse(destination, refused=True)
        try:
            yield
        finally:
            self.engine.refuse(destination, refused=False)

    def begin_in_child(self) -> None:
        """In a child after a fork: be empty, without a trace of the parent. Idempotent in each process."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self.engine.reset()

    def __repr__(self) -> str:
        return f"MemoryBroker({self.name!r})"


def _checked(name: str) -> str:
    if not isinstance(name, str):
        msg = f"MemoryBroker: the name has to be a string, and is of type {type(name).__name__}"
        raise ConfigError(msg)
    return name


# Another thread may have held it when the process forked.
def _new_guard() -> None:
    MemoryBroker._guard = threading.Lock()  # noqa: SLF001 (this module's own class)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_guard)
