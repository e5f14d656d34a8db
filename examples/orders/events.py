"""What happens in the order system."""

from __future__ import annotations

from dataclasses import dataclass

from eventing_core import event


@dataclass
@event(durable=True)
class OrderPlaced:
    """A customer ordered something. Durable: money depends on it."""

    order: str
    customer: str
    book: str
    euros: int


@dataclass
@event(durable=True)
class PaymentReceived:
    """An order was paid."""

    order: str
    euros: int


@dataclass
@event()
class OrderShipped:
    """An order is on its way. Not durable: nobody is harmed if a restart of the broker loses it."""

    order: str
    parcel: str
