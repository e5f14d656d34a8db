"""Who reacts to what happens. Constructor arguments are injected."""

from __future__ import annotations

import asyncio

from eventing_core import EventListener, EventManager, Retry, event_listener
from examples.orders.events import OrderPlaced, OrderShipped, PaymentReceived
from examples.orders.journal import Journal, Server
from examples.orders.services import Bestsellers, PaymentGateway


@event_listener(OrderPlaced, retry=Retry(max_attempts=3, initial=0.3))
class ChargeCustomer(EventListener[OrderPlaced]):
    """One of the servers charges the customer. When the payment gateway fails, the order is tried again."""

    def __init__(self, gateway: PaymentGateway, manager: EventManager, journal: Journal, server: Server) -> None:
        self._gateway = gateway
        self._manager = manager
        self._journal = journal
        self._server = server

    def on(self, event: OrderPlaced) -> None:
        self._gateway.charge(event.order, event.customer, event.euros)
        self._journal.say(self._server.name, f"{event.customer} paid {event.euros} EUR for order {event.order}")
        self._manager.send_event(PaymentReceived(event.order, event.euros))


@event_listener(OrderPlaced, per_process=True)
class CountBestsellers(EventListener[OrderPlaced]):
    """Each server keeps its own table of bestsellers: ``per_process`` gives every one of them each order."""

    def __init__(self, bestsellers: Bestsellers, journal: Journal, server: Server) -> None:
        self._bestsellers = bestsellers
        self._journal = journal
        self._server = server

    def on(self, event: OrderPlaced) -> None:
        sold = self._bestsellers.add(event.book)
        self._journal.say(self._server.name, f"bestsellers: {event.book!r} sold {sold}")


@event_listener(PaymentReceived, concurrency=4)
class ShipOrder(EventListener[PaymentReceived]):
    """One of the servers has the order packed; asynchronous, so waiting costs no thread."""

    def __init__(self, manager: EventManager, journal: Journal, server: Server) -> None:
        self._manager = manager
        self._journal = journal
        self._server = server

    async def on(self, event: PaymentReceived) -> None:
        await asyncio.sleep(0.1)  # packing
        self._journal.say(self._server.name, f"order {event.order} is packed")
        await self._manager.send_event_async(OrderShipped(event.order, parcel=f"P-{event.order}"))


@event_listener(OrderShipped)
class TellCustomer(EventListener[OrderShipped]):
    """One of the servers writes to the customer."""

    def __init__(self, journal: Journal, server: Server) -> None:
        self._journal = journal
        self._server = server

    def on(self, event: OrderShipped) -> None:
        self._journal.say(self._server.name, f"mail: order {event.order} is on its way as {event.parcel}")
