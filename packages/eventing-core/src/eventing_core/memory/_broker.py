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

    A message to a topic is copied, when it is sent, to every queue of the topic that was ever subscribed. Queues and
    their messages live as long as this object, whether anyone consumes or not. This includes the queue of a
    ``per_process`` listener whose server never returns: it fills up, and then sends wait. Nothing survives the process.
    Durable queues and messages survive `restart`, as they survive the restart of a real broker.

    A queue holds up to ``max_messages``, including unsettled ones. If a queue is full, sends to its topic wait for
    space, in order, up to their deadline. Retry copies, which replace an unsettled message, may exceed the limit by the
    number of unsettled messages.

    Args:
        name: used in messages; see `shared`.
        max_messages: maximum number of messages in each queue.

    Raises:
        ConfigError: ``max_messages`` is not a whole number of at least 1, or ``name`` is not a string.
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
        """Return the broker of that name in this process, always the same object.

        It lives as long as anything references it. ``max_messages`` has an effect only in the call that creates it.
        """
        with cls._guard:
            broker = cls._shared.get(_checked(name))
            if broker is None:
                broker = cls._shared[name] = cls(name, max_messages=max_messages)
            return broker

    def messages(self, destination: Destination) -> list[Message]:
        """Return the messages of a queue, in order, including unsettled ones. Nothing is consumed."""
        return self.engine.messages(destination)

    def dead_letters(self, topic: str, group: str, member: str = "") -> list[Message]:
        """Return the dead letters of a listener; a ``per_process`` listener has them for each server."""
        return self.messages(Destination(topic, group, member, kind="dead"))

    def disconnect(self, provider: Client) -> None:
        """Break a provider's connection, like a network failure. It reconnects immediately, in a new generation.

        Its unsettled messages are delivered again, with a delivery count that is higher by one.
        """
        if provider.connection is not None:
            self.engine.reconnect(provider.connection)

    def cut(self) -> None:
        """Break all connections, like a network failure, until `start`. Queues and messages stay. Idempotent."""
        self.engine.cut()

    def stop(self) -> None:
        """Stop the broker: all connections, and all queues and messages that aren't durable, are lost. Idempotent."""
        self.engine.stop()

    def start(self) -> None:
        """Start the broker, or restore the connections: providers reconnect, in a new generation. Idempotent."""
        self.engine.start()

    def restart(self) -> None:
        """`stop`, then `start`."""
        self.stop()
        self.start()

    @contextmanager
    def refusing(self, destination: Destination) -> Generator[None, None, None]:
        """Within its context, sends to a destination fail with `SendRejectedError`, like sends without permission."""
        self.engine.refuse(destination, refused=True)
        try:
            yield
        finally:
            self.engine.refuse(destination, refused=False)

    def begin_in_child(self) -> None:
        """In a forked child: drop all queues and connections of the parent. Idempotent in each process."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self.engine.reset()

    def __repr__(self) -> str:
        return f"MemoryBroker({self.name!r})"


def _checked(name: str) -> str:
    if not isinstance(name, str):
        msg = f"MemoryBroker: the name must be a string, not of type {type(name).__name__}"
        raise ConfigError(msg)
    return name


# Another thread may have held it when the process forked.
def _new_guard() -> None:
    MemoryBroker._guard = threading.Lock()  # noqa: SLF001 (this module's own class)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_guard)
