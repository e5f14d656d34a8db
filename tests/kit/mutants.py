"""The in-memory provider, and the core, broken on purpose: one bug each, which the kit has to find.

Each mutant is a function that puts its bug in place for the rest of the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eventing_core.memory._connection import Consumer
from eventing_core.memory._producer import MemoryProducer
from eventing_core.memory._provider import MemoryProvider
from eventing_core.memory._queue import MemoryDelivery, Queue
from eventing_core.memory._store import Store
from eventing_core.provider import Done, Message, Outcome, Subscriber, Subscription, SubscriptionState
from eventing_core.receive import _copies
from tests.kit import extreme_mutants, life_mutants, process_mutants
from tests.kit.mutant import Mutant


def accept_before_on() -> None:
    def deliver(consumer: Consumer, batch: list[MemoryDelivery]) -> None:
        consumer.settle(batch, Outcome.ACCEPT)
        consumer.subscriber.deliver(batch)

    Store._deliver = staticmethod(deliver)  # type: ignore[method-assign]


def credit_without_bound() -> None:
    Consumer.window = lambda self, size: self.engine.set_window(self, size and 1_000_000)  # type: ignore[method-assign]


def redelivery_flag_lost() -> None:
    give_back = Queue.give_back
    Queue.give_back = lambda self, deliveries, *, counted: give_back(self, deliveries, counted=False)  # type: ignore[method-assign]


def no_resubscription() -> None:
    """It even says that it consumes."""

    def regain(self: Store, connection: object) -> None:
        connection.generation += 1  # type: ignore[attr-defined]
        self._outbox.put(connection.observer, True, None)  # type: ignore[attr-defined]
        for consumer in connection.consumers:  # type: ignore[attr-defined]
            self._outbox.put(consumer.subscriber.state, SubscriptionState.ACTIVE, consumer.connection.generation, None)

    Store.regain = regain  # type: ignore[method-assign]


def header_dropped() -> None:
    """An empty one."""
    send = MemoryProducer.send

    def broken(
        self: MemoryProducer, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0
    ) -> None:
        kept = [
            replace(message, headers={key: value for key, value in message.headers.items() if value})
            for message in batch
        ]
        send(self, kept, done, deadline=deadline, delay=delay)

    MemoryProducer.send = broken  # type: ignore[method-assign]


def confirmation_before_the_brokers() -> None:
    send = MemoryProducer.send

    def broken(
        self: MemoryProducer, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0
    ) -> None:
        for index in range(len(batch)):
            done(index, None)
        send(self, batch, lambda _, __: None, deadline=deadline, delay=delay)

    MemoryProducer.send = broken  # type: ignore[method-assign]


def per_process_treated_as_competing() -> None:
    subscribe = MemoryProvider.subscribe

    def broken(self: MemoryProvider, subscription: Subscription, subscriber: Subscriber) -> Consumer:
        shared = replace(subscription, destination=replace(subscription.destination, member=""))
        return subscribe(self, shared, subscriber)

    MemoryProvider.subscribe = broken  # type: ignore[method-assign]


def attempts_not_counted() -> None:
    """Those that earlier copies recorded."""
    of = _copies.Failures.of

    def broken(message: Message) -> _copies.Failures:
        return of(replace(message, headers={}))

    _copies.Failures.of = broken  # type: ignore[method-assign]


def copy_under_the_originals_id() -> None:
    copy = _copies.Copies._copy

    def broken(self: _copies.Copies, message: Message, headers: dict[str, str], what: str, *, durable: bool) -> Message:
        return replace(copy(self, message, headers, what, durable=durable), dedup_id=message.dedup_id)

    _copies.Copies._copy = broken  # type: ignore[method-assign]


MUTANTS = {
    mutant.breaks.__name__: mutant
    for mutant in (
        Mutant(
            accept_before_on,
            "test_what_was_accepted_late_is_delivered_again",
            "an event is accepted after its listener returned, and not before",
        ),
        Mutant(
            credit_without_bound,
            "test_the_window_is_never_exceeded",
            "delivered and unsettled is at most the window",
        ),
        Mutant(
            redelivery_flag_lost,
            "test_unsettled_messages_of_a_lost_connection_are_redelivered_and_flagged",
            "a redelivered message is flagged, as delivery_count = delivered says",
        ),
        Mutant(
            no_resubscription,
            "test_health_and_consumers_come_back_after_a_cut",
            "listeners really consume again after an outage",
        ),
        Mutant(
            header_dropped,
            "test_event_and_headers_arrive_as_sent",
            "headers arrive as they were sent",
        ),
        Mutant(
            confirmation_before_the_brokers,
            "test_a_send_in_an_outage_is_confirmed_when_the_broker_has_it",
            "a send is confirmed when the broker has it, and not before",
            cases=2,
        ),
        Mutant(
            per_process_treated_as_competing,
            "test_per_process_listeners_get_a_copy_each",
            "per-process listeners each get every event",
        ),
        Mutant(
            attempts_not_counted,
            "test_attempts_are_counted_across_processes",
            "attempts are counted across processes, up to max_attempts",
            cases=2,
        ),
        Mutant(
            copy_under_the_originals_id,
            "test_a_failed_event_is_tried_again_until_it_succeeds",
            "a failed event is tried again",
        ),
        *extreme_mutants.MUTANTS,
        *life_mutants.MUTANTS,
        *process_mutants.MUTANTS,
    )
}
