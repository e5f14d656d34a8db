"""What the listeners use. Nothing here knows of events."""

from __future__ import annotations

import threading
from collections import Counter


class PaymentGatewayError(Exception):
    """The customer could not be charged."""


class PaymentGateway:
    """Somebody else's service. It fails twice for Grace, and knows no customer named Mallory. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the counts
        self._calls: Counter[str] = Counter()

    def charge(self, order: str, customer: str, euros: int) -> None:
        """Charge a customer.

        Raises:
            PaymentGatewayError: it didn't work.
        """
        with self._lock:
            self._calls[order] += 1
            call = self._calls[order]
        if customer == "Mallory":
            msg = f"no account to charge {euros} EUR to"
            raise PaymentGatewayError(msg)
        if customer == "Grace" and call <= 2:  # noqa: PLR2004 (twice)
            msg = "the payment gateway is busy"
            raise PaymentGatewayError(msg)


class Bestsellers:
    """How often each book was sold. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the counts
        self._sold: Counter[str] = Counter()

    def add(self, book: str) -> int:
        """Count one more; returns how many were sold."""
        with self._lock:
            self._sold[book] += 1
            return self._sold[book]

    def table(self) -> Counter[str]:
        """A copy of the table."""
        with self._lock:
            return self._sold.copy()
