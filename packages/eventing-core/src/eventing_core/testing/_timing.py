"""Conformance: what takes how long, and what it costs to wait."""

from __future__ import annotations

import time

from eventing_core.testing._kit import Kit
from eventing_core.testing._probe import Log, until

#: How long one event may take to an idle listener, in seconds: the fastest of `TRIES`.
LATENCY = 1.0
TRIES = 5

#: A delay, and how much later than that its message may come, in seconds.
DELAY, LATER = 0.5, 2.0

#: How long it is looked what an idle manager costs, in seconds, and the part of a processor's time it may take.
IDLE = 1.5
COST = 0.25


class TimingTests:
    """See the module. Bounds are wide: a busy machine keeps them, and a busy loop doesn't."""

    def test_an_idle_listener_has_an_event_soon(self, kit: Kit) -> None:
        """Not only when something else wakes the provider."""
        got: Log[int] = Log()
        kind = kit.event()
        manager = kit.manager(kit.listener(kind, lambda event: got.add(event.number)))
        manager.send_event(kind(0))
        got.wait(1, "an event arrives")
        times = []
        for number in range(1, TRIES + 1):
            begin = time.monotonic()
            manager.send_event(kind(number))
            got.wait(number + 1, "an idle listener has an event soon")
            times.append(time.monotonic() - begin)
        assert min(times) < LATENCY, f"an idle listener has an event within {LATENCY} s: {times}"

    def test_a_delay_is_not_much_longer_than_asked(self, kit: Kit) -> None:
        """Retries wait for it."""
        provider, queue = kit.filled("")
        if not kit.capabilities.send_delay:
            kit.not_applicable("send_delay")  # asserted to be refused
            return
        recorder = kit.listen(provider, queue, window=10)
        begin = time.monotonic()
        kit.put(provider, queue, kit.messages("a"), delay=DELAY)
        recorder.wait(1, "a delayed message comes when it is due")
        took = time.monotonic() - begin
        assert took < DELAY + LATER, f"a delay of {DELAY} s is not much longer than asked, or retries come late: {took}"

    def test_waiting_costs_next_to_nothing(self, kit: Kit) -> None:
        """Idle listeners and senders take no processor's time: no busy loop."""
        kind = kit.event()
        manager = kit.manager(kit.listener(kind, lambda _: None), kit.listener(kit.event(), lambda _: None))
        manager.send_event(kind(1))
        until(lambda: manager.health().consuming, "listeners consume")
        # What was begun with the start may take its time: one idle stretch of several is enough.
        costs = []
        for _ in range(3):
            begin, used = time.monotonic(), time.process_time()
            time.sleep(IDLE / 3)
            costs.append((time.process_time() - used) / (time.monotonic() - begin))
        assert min(costs) < COST, f"waiting costs next to nothing, and this is a busy loop: {costs} of a processor"
