"""`EnvelopePipeline`: code around every send and every handling of an event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from eventing_core._declarations import Declarations
from eventing_core.errors import DeclarationError

if TYPE_CHECKING:
    from eventing_core._envelope import Envelope
    from eventing_core._event import EventDescriptor
    from eventing_core._listener import EventListenerDescriptor


class EnvelopePipeline:
    """Code around every send and every handling. Derive from it and override one or both methods.

    Each is a plain method, which runs before the work, or a generator method that yields exactly once
    around it. An exception of the work is raised at the ``yield``; it goes on to the caller even where
    the method catches it.

    ``send`` runs on the sender's thread. Its work is the call that the user made: with ``send_event``
    and ``send_event_async`` up to the broker's confirmation, with ``submit_event`` and ``send_events``
    up to the hand-over to the transport. ``handle`` runs once per attempt, on the listener's thread
    and in its context. One instance serves all threads of a manager.
    """

    def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None] | None:
        """Runs around the sending of an event."""

    def handle(self, envelope: Envelope, event_listener_descriptor: EventListenerDescriptor) -> Iterator[None] | None:
        """Runs around each attempt of a listener."""


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
        order: lower is further out, in sending and in handling alike.
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

    Where a module was reloaded, or a cell of a notebook has run again, the newer classes have replaced the older ones.
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
