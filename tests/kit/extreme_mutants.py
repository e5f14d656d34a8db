"""Bugs with names, sizes, numbers and times, in the in-memory provider."""

from __future__ import annotations

import threading
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from eventing_core.memory import _engine, _store
from eventing_core.memory._address import Address
from eventing_core.memory._connection import Consumer
from eventing_core.memory._producer import MemoryProducer
from eventing_core.memory._provider import MemoryProvider
from eventing_core.memory._queue import MemoryDelivery
from eventing_core.memory._store import Store
from eventing_core.provider import Destination, Done, Message, Observer
from tests.kit.mutant import Mutant


def change_names(change: Callable[[str], str]) -> None:
    def key(destination: Destination) -> tuple[str, str, str, str]:
        return destination.kind, change(destination.topic), change(destination.group), destination.member

    _engine.key_of = _store.key_of = key  # type: ignore[attr-defined]


def names_lowercased() -> None:
    change_names(str.lower)


def names_of_ascii() -> None:
    change_names(lambda name: name.encode("ascii", "replace").decode())


def names_composed() -> None:
    change_names(lambda name: unicodedata.normalize("NFC", name))


def names_cut_short() -> None:
    change_names(lambda name: name[:10])


def names_with_other_separators() -> None:
    change_names(lambda name: name.replace("_", "-").replace(".", "-"))


def names_joined_by_dashes() -> None:
    """As an event's and a listener's name become one queue's."""

    def key(destination: Destination) -> tuple[str, str, str, str]:
        if destination.kind == "topic":
            return "topic", destination.topic, "", ""
        return destination.kind, f"{destination.topic}-{destination.group}", "", destination.member

    _engine.key_of = _store.key_of = key  # type: ignore[attr-defined]


def change_sends(change: Callable[[MemoryProducer, Sequence[Message]], Sequence[Message]]) -> None:
    """What is confirmed is the batch, what is stored is something else."""
    send = MemoryProducer.send

    def broken(
        self: MemoryProducer, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0
    ) -> None:
        send(self, change(self, batch), done, deadline=deadline, delay=delay)

    MemoryProducer.send = broken  # type: ignore[method-assign]


def change_headers(change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
    change_sends(lambda _, batch: [replace(message, headers=change(message.headers)) for message in batch])


def long_headers_cut() -> None:
    change_headers(lambda headers: {key: value[:10_000] for key, value in headers.items()})


def header_keys_lowercased() -> None:
    change_headers(lambda headers: {key.lower(): value for key, value in headers.items()})


def headers_beyond_64_dropped() -> None:
    change_headers(lambda headers: dict([*headers.items()][:64]))


def window_of_100_at_most() -> None:
    Consumer.window = lambda self, size: self.engine.set_window(self, min(size, 100))  # type: ignore[method-assign]


def window_of_256_times_two() -> None:
    """A frame that counts in steps."""
    Consumer.window = lambda self, size: self.engine.set_window(self, size + size // 256 * 12)  # type: ignore[method-assign]


def change_stores(change: Callable[[Address, Sequence[Message]], Sequence[Message]]) -> None:
    store = Store.store

    def broken(self: Store, address: Address, batch: Sequence[Message], delay: float) -> None:
        store(self, address, change(address, batch), delay)

    Store.store = broken  # type: ignore[method-assign]


def queue_of_5000_drops_the_rest() -> None:
    change_stores(
        lambda address, batch: batch if len(batch) < 5000 and address.room(100_000) > 95_000 else batch[:5000]
    )


def dead_letters_beyond_500_dropped() -> None:
    change_stores(lambda address, batch: batch[:500] if address.destination.kind == "dead" else batch)


def sixth_listener_gets_nothing() -> None:
    store = Store.store

    def broken(self: Store, address: Address, batch: Sequence[Message], delay: float) -> None:
        queues = address.queues
        address.queues = queues[:5]
        store(self, address, batch, delay)
        address.queues = queues

    Store.store = broken  # type: ignore[method-assign]


def deliveries_by_a_slow_poll() -> None:
    deliver = Store._deliver

    def broken(consumer: Consumer, batch: list[MemoryDelivery]) -> None:
        time.sleep(1.2)
        deliver(consumer, batch)

    Store._deliver = staticmethod(broken)  # type: ignore[method-assign]


def delays_much_too_long() -> None:
    send = MemoryProducer.send

    def broken(
        self: MemoryProducer, batch: Sequence[Message], done: Done, *, deadline: float, delay: float = 0.0
    ) -> None:
        send(self, batch, done, deadline=deadline, delay=delay + 2)

    MemoryProducer.send = broken  # type: ignore[method-assign]


def busy_loop() -> None:
    open_it = MemoryProvider.open

    def broken(self: MemoryProvider, observer: Observer) -> None:
        open_it(self, observer)
        connection = self.connection

        def spin() -> None:
            while connection is not None and connection.open:
                pass

        threading.Thread(target=spin, daemon=True).start()

    MemoryProvider.open = broken  # type: ignore[method-assign]


_APART = "test_names_are_kept_apart"
_HEADERS = "test_large_and_many_headers_arrive_or_are_refused"
_WINDOW = "test_a_large_window_is_used_to_the_full"
_SOON = "test_a_delay_is_not_much_longer_than_asked"

MUTANTS = [
    *(
        Mutant(breaks, _APART, "names are kept apart")
        for breaks in (
            names_lowercased,
            names_of_ascii,
            names_composed,
            names_cut_short,
            names_with_other_separators,
            names_joined_by_dashes,
        )
    ),
    *(
        Mutant(breaks, _HEADERS, "large and many headers arrive as they were sent, or the send is refused")
        for breaks in (long_headers_cut, header_keys_lowercased, headers_beyond_64_dropped)
    ),
    Mutant(window_of_100_at_most, _WINDOW, "a window of 500 is used to the full"),
    Mutant(window_of_256_times_two, _WINDOW, "delivered and unsettled is at most the window"),
    Mutant(queue_of_5000_drops_the_rest, _WINDOW, "none is lost in a long queue"),
    Mutant(
        dead_letters_beyond_500_dropped,
        "test_a_thousand_dead_letters_are_kept_and_can_be_read",
        "a thousand dead letters are kept, and can be read",
    ),
    Mutant(
        sixth_listener_gets_nothing,
        "test_many_listeners_of_one_provider_get_every_event",
        "each of many listeners gets every event",
    ),
    Mutant(
        deliveries_by_a_slow_poll,
        "test_an_idle_listener_has_an_event_soon",
        "an idle listener has an event within 1.0 s",
    ),
    Mutant(delays_much_too_long, _SOON, "a delay of 0.5 s is not much longer than asked"),
    Mutant(busy_loop, "test_waiting_costs_next_to_nothing", "this is a busy loop"),
]
