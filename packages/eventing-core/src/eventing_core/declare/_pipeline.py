"""`EnvelopePipeline`: code around every send and every handling of an event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from eventing_core.declare._declarations import Declarations
from eventing_core.errors import DeclarationError

if TYPE_CHECKING:
    from eventing_core.declare._envelope import Envelope
    from eventing_core.declare._event import EventDescriptor
    from eventing_core.declare._listener import EventListenerDescriptor


class EnvelopePipeline:
    """Middleware around every send and every call of a listener. Derive from it and override one or both methods.

    Each is a plain method, which runs before the wrapped call, or a generator method that yields exactly once: the
    wrapped call happens at the ``yield``. An exception of that call is raised at the ``yield``, and reaches the caller
    even if the method catches it.

    ``send`` runs on the sender's thread. It wraps the call that the user made: with ``send_event`` and
    ``send_event_async`` until the broker's confirmation, with ``submit_event`` and ``send_events`` until the event is
    handed over to the transport. ``handle`` runs once for each attempt, on the listener's thread and in its context.
    One instance serves all threads of a manager, so it must be thread-safe.
    """

    def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None] | None:
        """Wraps the sending of an event."""

    def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> Iterator[None] | None:
        """Wraps each attempt of a listener."""


@dataclass(frozen=True, slots=True)
class PipelineDeclaration:
    """A pipeline class and its order."""

    pipeline_type: type[EnvelopePipeline]
    order: int


@dataclass(frozen=True, slots=True)
class _Mark:
    """One for each decorated class: its identity tells that class."""

    order: int


P = TypeVar("P", bound=EnvelopePipeline)

_MARK = "__eventing_pipeline__"
#: Declared by the same code, both are meant: pipelines share nothing.
_declarations: Declarations[EnvelopePipeline] = Declarations(_MARK, lambda _: frozenset())


def envelope_pipeline(order: int = 0) -> Callable[[type[P]], type[P]]:
    """Declare an `EnvelopePipeline`.

    Args:
        order: pipelines with a lower number wrap those with a higher one, for sending and handling alike.
    """
    if isinstance(order, type):
        msg = f"@envelope_pipeline needs parentheses: write @envelope_pipeline() above {order.__name__!r}"
        raise DeclarationError(msg)
    if isinstance(order, bool) or not isinstance(order, int):
        msg = f"@envelope_pipeline(order=...) takes a whole number, not what is of type {type(order).__name__}"
        raise DeclarationError(msg)

    def mark(cls: type[P]) -> type[P]:
        setattr(cls, _MARK, _Mark(order))
        _declarations.add(cls)
        return cls

    return mark


def declared_pipelines() -> tuple[type[EnvelopePipeline], ...]:
    """All pipeline classes declared in this process so far.

    After a module is reloaded, or a notebook cell runs again, the new classes replace the old ones.
    """
    return _declarations.effective().classes


def describe_pipeline(cls: type[Any]) -> PipelineDeclaration:
    """Check a pipeline class.

    Raises:
        DeclarationError: it doesn't derive from `EnvelopePipeline`.
    """
    if not (isinstance(cls, type) and issubclass(cls, EnvelopePipeline)):
        name = f"{cls.__module__}.{cls.__qualname__}" if isinstance(cls, type) else f"a {type(cls).__name__}"
        msg = f"{name} is not an EnvelopePipeline. Derive the class from it."
        raise DeclarationError(msg)
    mark: _Mark | None = vars(cls).get(_MARK)
    return PipelineDeclaration(cls, mark.order if mark is not None else 0)
