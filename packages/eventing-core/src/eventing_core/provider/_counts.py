"""Counts that travel in headers."""

from __future__ import annotations

__all__ = ["REDELIVERIES", "count_in"]

#: The header by which redeliveries are counted where the broker only flags them: with each that may be of a crash, the
#: core replaces the event by a confirmed copy that has one more here. See `Capabilities.delivery_count`.
REDELIVERIES = "eventing-redeliveries"

#: A count with as many digits is a stranger's.
_DIGITS = 10


def count_in(recorded: str) -> int:
    """The count that a header's value tells; 0 for whatever else a stranger may have written there."""
    return int(recorded) if recorded.isascii() and recorded.isdigit() and len(recorded) < _DIGITS else 0
