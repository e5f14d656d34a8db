"""What has to come out, and what came out."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from eventing_core.provider import Message
from examples.orders.journal import Server

_INDENT = " " * 21


def expected_counts(orders: int, busy: int, refused: int, attempts: int, servers: Sequence[Server]) -> Counter[str]:
    """What the journal has to have counted at the end.

    Args:
        orders: how many were placed.
        busy: attempts at charging that fail, of orders that are paid in the end.
        refused: orders that can't be paid.
        attempts: at charging one of those, before it is a dead letter.
        servers: all of them.
    """
    paid = orders - refused
    return Counter(
        {
            "sent OrderPlaced": orders,
            "sent PaymentReceived": paid,
            "sent OrderShipped": paid,
            "handled ChargeCustomer": paid,
            "handled ShipOrder": paid,
            "handled TellCustomer": paid,
            **{f"handled CountBestsellers on {server.name}": orders for server in servers},
            "failed ChargeCustomer": busy + refused * attempts,
        }
    )


def print_summary(counts: Mapping[str, int], dead_letters: Sequence[Message]) -> None:
    """Print the four numbers, and what they are made of."""
    print()
    _print_row("sent", _parts(counts, "sent "))
    _print_row("handled", _parts(counts, "handled "))
    failed = _parts(counts, "failed ")
    _print_row("retried", {listener: number - len(dead_letters) for listener, number in failed.items()})
    _print_row("dead-lettered", Counter(letter.headers["eventing-listener"] for letter in dead_letters))
    for letter in dead_letters:
        get = letter.headers.get
        print(f"{_INDENT}{letter.body.decode()}")
        print(f"{_INDENT}session {get('session')}, {get('eventing-attempts')} attempts, the last one:")
        print(f"{_INDENT}{get('eventing-error-type')}: {get('eventing-error-message')}")


def _parts(counts: Mapping[str, int], kind: str) -> dict[str, int]:
    return {key.removeprefix(kind): number for key, number in sorted(counts.items()) if key.startswith(kind)}


def _print_row(what: str, parts: Mapping[str, int]) -> None:
    details = ", ".join(f"{number} {part}" for part, number in parts.items())
    line = f"{what:<14}{sum(parts.values()):4}   {details}"
    print("\n".join(textwrap.wrap(line, 100, subsequent_indent=_INDENT, drop_whitespace=True)))
