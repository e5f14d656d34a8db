"""A small order system on two servers, which tell each other what happens.

    OrderPlaced ─┬─> ChargeCustomer ──> PaymentReceived ──> ShipOrder ──> OrderShipped ──> TellCustomer
                 └─> CountBestsellers (on every server)

``python -m examples.orders`` runs it on the in-memory broker, ``--provider amqp`` on Artemis. It ends by itself: with 0
when what was sent, handled, retried and dead-lettered adds up, otherwise with 1.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
from contextlib import ExitStack

from injector import Binder, Injector, Module

from eventing_core import EventingError, EventManager
from eventing_core.injector import EventingModule
from eventing_core.provider import Message
from examples.artemis import ArtemisError
from examples.dead_letters import DeadLetters
from examples.orders.broker import Broker, add_arguments, open_broker
from examples.orders.events import OrderPlaced
from examples.orders.journal import Journal, JournalHandler, Server
from examples.orders.listeners import ChargeCustomer, CountBestsellers, ShipOrder, TellCustomer
from examples.orders.services import Bestsellers, PaymentGateway
from examples.orders.session import SessionPipeline, open_session
from examples.orders.summary import expected_counts, print_summary
from examples.orders.tally import TallyPipeline

#: Customer, book, price. The payment gateway is busy twice for Grace, and never takes Mallory's money.
ORDERS = (
    ("Ada", "Analytical Engines", 42),
    ("Grace", "Compilers", 35),
    ("Edsger", "Structured Programming", 28),
    ("Mallory", "Compilers", 35),
    ("Barbara", "Abstract Data Types", 31),
    ("Donald", "Compilers", 35),
)
SERVERS = (Server("server-a"), Server("server-b"))

#: Seconds for all that is to happen.
PATIENCE = 60.0


class ServerModule(Module):
    """What the listeners of one server get injected."""

    def __init__(self, server: Server, journal: Journal, gateway: PaymentGateway) -> None:
        self._server = server
        self._journal = journal
        self._gateway = gateway

    def configure(self, binder: Binder) -> None:
        """Bind it."""
        binder.bind(Server, to=self._server)
        binder.bind(Journal, to=self._journal)
        binder.bind(PaymentGateway, to=self._gateway)
        binder.bind(Bestsellers, to=Bestsellers())


def run(broker: Broker) -> bool:
    """Run the demo; whether everything adds up."""
    run_id = secrets.token_hex(2)
    journal = Journal(run_id)
    show_log(journal)
    gateway = PaymentGateway()
    expected = expected_counts(len(ORDERS), busy=2, refused=1, attempts=3, servers=SERVERS)

    with ExitStack() as stack:
        managers = []
        for server in SERVERS:
            eventing = EventingModule(
                listeners=[ChargeCustomer, CountBestsellers, ShipOrder, TellCustomer],
                pipelines=[SessionPipeline, TallyPipeline],
                server_name=server.name,
                **broker.settings,
            )
            environment = Injector([eventing, ServerModule(server, journal, gateway)])
            manager = environment.get(EventManager)
            stack.callback(manager.stop)
            managers.append(manager)

        for number, (customer, book, euros) in enumerate(ORDERS, 1):
            with open_session(f"{run_id}-{customer.lower()}"):
                journal.say("shop", f"{customer} orders {book!r}")
                managers[0].send_event(OrderPlaced(f"{run_id}-{number}", customer, book, euros))

        journal.wait_for(lambda counts: counts >= expected, PATIENCE)

    dead_letters = take_dead_letters(broker, run_id)
    counts = journal.counts()
    print_summary(counts, dead_letters)
    if counts == expected and len(dead_letters) == 1:
        print("\neverything adds up")
        return True
    print(f"\nthis doesn't add up: expected {dict(expected)}, and one dead letter")
    return False


def show_log(journal: Journal) -> None:
    """Let Eventing's own log messages appear in the journal."""
    log = logging.getLogger("eventing")
    log.addHandler(JournalHandler(journal))
    log.setLevel(logging.INFO)
    log.propagate = False


def take_dead_letters(broker: Broker, run_id: str) -> list[Message]:
    """Take the orders that could not be charged back from the broker. Those of other runs stay."""
    found: list[Message] = []
    provider = broker.provider("reader")
    provider.open(lambda *_: None)
    try:
        with DeadLetters(provider, "OrderPlaced", "ChargeCustomer", durable=True) as letters:
            while (letter := letters.take(timeout=1.0)) is not None:
                message = letter.message()
                if message.headers.get("session", "").startswith(run_id):
                    found.append(message)
                    letters.remove(letter)
    finally:
        provider.close(timeout=10.0)
    return found


def main() -> int:
    """Run the demo on the broker that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m examples.orders", description="A small order system.")
    add_arguments(parser)
    try:
        with open_broker(parser.parse_args()) as broker:
            print(f"two servers on {broker.name}\n", flush=True)
            return 0 if run(broker) else 1
    except (EventingError, ArtemisError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
