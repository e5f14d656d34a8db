"""Counts that travel in headers."""

from __future__ import annotations

__all__ = ["REDELIVERIES", "count_in"]

#: The header by which redeliveries are counted where the broker only flags them: with each that may be of a crash, the
#: core replaces the event by a confirmed copy that has one more here. See `Capabilities.delivery_count`.
REDELIVERIES = "eventing-redeliveries"

#: A count with as many digits is a stranger's.
_DIGITS = 10


def count_in(recorded: str) -> int:
    """The count in a header's value; 0 if the value is not a valid count."""
    return int(recorded) if recorded.isascii() and recorded.isdigit() and len(recorded) < _DIGITS else 0
