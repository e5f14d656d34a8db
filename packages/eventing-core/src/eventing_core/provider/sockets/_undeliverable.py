"""A delivery in place of one that the transport can't hand over."""

from __future__ import annotations

from eventing_core.errors import DecodeError, UndeliverableError
from eventing_core.provider._messages import Delivery, Message


class Undeliverable(Delivery):
    """Says where a message is that could not be handed over; see `Delivery.explain`.

    Args:
        message: what becomes the dead letter.
        failure: why.
        number: for the provider.
        generation: of the attachment.
    """

    __slots__ = ("_failure", "_message", "number")

    def __init__(self, message: Message, failure: UndeliverableError, number: int, generation: int) -> None:
        self._message = message
        self._failure = failure
        self.number = number
        self.generation = generation
        self.delivery_count = 0

    def message(self) -> Message:
        """What becomes the dead letter."""
        return self._message

    def body(self) -> bytes:
        """It is not available.

        Raises:
            UndeliverableError: always.
        """
        raise self._failure

    def explain(self, error: DecodeError) -> UndeliverableError:  # noqa: ARG002 (as `Delivery` has it)
        """Why it could not be handed over."""
        return self._failure
