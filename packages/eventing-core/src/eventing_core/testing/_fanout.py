"""Conformance: who gets an event: competing listeners, per-process ones, different ones."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from eventing_core.testing._kit import Kit, Sample
from eventing_core.testing._probe import LIMIT, Log


class FanOutTests:
    """See the module."""

    def test_competing_listeners_share_the_events(self, kit: Kit) -> None:
        """Listeners of one name on several managers handle each event once in all."""
        got: Log[int] = Log()
        kind = kit.event()
        listener = kit.listener(kind, lambda event: got.add(event.number))
        managers = [kit.manager(listener) for _ in range(3)]
        managers[0].send_events(kind(number) for number in range(60))
        got.wait(60, "competing listeners handle every event")
        for manager in managers:
            manager.stop()
        assert sorted(got.items()) == list(range(60)), "each event is handled by one of the competing listeners"

    def test_competing_listeners_work_concurrently(self, kit: Kit) -> None:
        """While one process is busy, another one gets the next event."""
        busy = threading.Barrier(2)
        got: Log[int] = Log()

        def on(event: Sample) -> None:
            busy.wait(LIMIT)
            got.add(event.number)

        kind = kit.event()
        listener = kit.listener(kind, on, prefetch=1)
        kit.manager(listener)
        kit.manager(listener).send_events([kind(1), kind(2)])
        got.wait(2, "two competing processes run at the same time")

    def test_per_process_listeners_get_a_copy_each(self, kit: Kit) -> None:
        """Every process gets every event."""
        got: Log[tuple[str, int]] = Log()
        kind = kit.event()
        name = kit.name("Listener")

        def make(process: str) -> Any:
            return kit.listener(kind, lambda event: got.add((process, event.number)), name=name, per_process=True)

        if not kit.capabilities.per_process:
            kit.assert_refused(make("x"), "per_process")
            return
        managers = [kit.manager(make(process)) for process in ("a", "b")]
        managers[0].send_events(kind(number) for number in range(20))
        got.wait(40, "per-process listeners each get every event")
        for manager in managers:
            manager.stop()
        assert sorted(got.items()) == [(process, number) for process in ("a", "b") for number in range(20)]

    def test_different_listeners_get_every_event_each(self, kit: Kit) -> None:
        """Two listeners of different names don't compete, in one manager or in two."""
        got: Log[tuple[str, int]] = Log()
        kind = kit.event()
        one, two, three = (kit.listener(kind, partial(_add_as, got, name)) for name in ("one", "two", "three"))
        manager = kit.manager(one, two)
        kit.manager(three)
        manager.send_events(kind(number) for number in range(10))
        everything = got.wait(30, "different listeners each get every event")
        assert sorted(everything) == sorted((name, n) for name in ("one", "two", "three") for n in range(10))

    def test_events_reach_their_own_listeners_alone(self, kit: Kit) -> None:
        """An event doesn't come to the listeners of another one."""
        first, second = kit.event(), kit.event()
        got: Log[object] = Log()
        manager = kit.manager(kit.listener(first, got.add), kit.listener(second, got.add))
        manager.send_event(first(1))
        manager.send_event(second(2))
        assert {type(event) for event in got.wait(2, "events reach their own listeners")} == {first, second}
        manager.stop()
        assert len(got.items()) == 2, "an event reaches its own listeners alone"

    def test_many_events_and_listeners_work_concurrently(self, kit: Kit) -> None:
        """Subscribed at the same time, in two managers; each listener gets its own event."""
        got: Log[tuple[str, int]] = Log()
        kinds = [kit.event() for _ in range(12)]
        listeners = [kit.listener(kind, partial(_add_as, got, str(place))) for place, kind in enumerate(kinds)]
        managers = [kit.manager(*listeners[:6]), kit.manager(*listeners[6:])]
        for place, kind in enumerate(kinds):
            managers[place % 2].send_events([kind(place), kind(place)])
        everything = got.wait(24, "many listeners get their events")
        assert sorted(everything) == sorted([(str(place), place) for place in range(12)] * 2)

    def test_a_busy_process_takes_no_more_than_its_prefetch(self, kit: Kit) -> None:
        """Under a backlog: what is delivered to it and unsettled is bounded, and all else goes to another process."""
        handled: Log[int] = Log()
        stuck: Log[int] = Log()
        proceed = kit.blocker()
        kind = kit.event()
        name = kit.name("Listener")

        def get_stuck(event: Sample) -> None:
            if len(handled.items()) >= 40:
                stuck.add(event.number)
                proceed.wait(2 * LIMIT)  # longer than it is waited for the others
            handled.add(event.number)

        # What is beyond the window, where that isn't exact, is bounded in bytes: so it is few of large ones.
        prefetch, most, text = (8, 8, "") if kit.claims("exact_window") else (8, 150, "x" * 100_000)
        slow = kit.listener(kind, get_stuck, name=name, prefetch=prefetch)
        kit.manager(slow).stop()
        kit.new_manager().send_events(kind(number, text) for number in range(400))
        kit.manager(slow)
        stuck.wait(1, "a backlog is handled")
        kit.manager(kit.listener(kind, lambda event: handled.add(event.number), name=name, prefetch=100))
        handled.wait(400 - most, "a busy process takes no more of a backlog than its prefetch")
        proceed.set()
        assert sorted(handled.wait(400, "all of a backlog is handled")) == list(range(400))


def _add_as(got: Log[tuple[str, int]], name: str, event: Sample) -> None:
    got.add((name, event.number))
