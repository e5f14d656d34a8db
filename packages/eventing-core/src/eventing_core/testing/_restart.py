"""Conformance: the broker restarts, and everything goes on by itself."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from eventing_core.errors import SendError
from eventing_core.receive._queues import dead_letters_of
from eventing_core.testing._delivery import Capture
from eventing_core.testing._kit import Kit, Sample
from eventing_core.testing._network import needs
from eventing_core.testing._probe import LIMIT, Log, until

Restart = Callable[[], object]


class RestartTests:
    """See the module."""

    @needs("restart_broker")
    def test_durable_events_survive_a_restart_of_the_broker(self, kit: Kit, restart_broker: Restart) -> None:
        """Sent while their listener was down; with their headers, in their order. So do dead letters."""
        if not kit.capabilities.durable:
            kit.not_applicable("durable")
            return
        got: Log[int] = Log()
        kind = kit.event(durable=True)
        listener = kit.listener(kind, lambda event: got.add(event.number))
        kit.manager(listener).stop()
        kit.new_manager().send_events((kind(number) for number in range(20)), headers={"own": "kept"})
        dead = dead_letters_of(kit.queue(listener=listener))
        kit.put(kit.provider(), dead, kit.messages("d"))
        restart_broker()
        capture = Capture()
        kit.manager(listener, pipelines=[capture])
        assert got.wait(20, "durable events survive a restart of the broker") == list(range(20))
        assert {envelope.get("own", "") for envelope in capture.envelopes.items()} == {"kept"}
        assert [message.body for message in kit.read(dead)] == [b"d"], "dead letters survive a restart of the broker"

    @needs("restart_broker")
    def test_health_and_consumers_come_back_after_a_restart_of_the_broker(
        self, kit: Kit, restart_broker: Restart
    ) -> None:
        """Every listener consumes again, in a new generation; the event that was being handled comes again."""
        got: Log[int] = Log()
        began: Log[int] = Log()
        proceed = kit.blocker()
        kind, other = kit.event(), kit.event()

        def on(event: Sample) -> None:
            began.add(event.number)
            proceed.wait(LIMIT)

        async def on_async(event: Sample) -> None:
            got.add(event.number)

        listeners = [kit.listener(other, on), kit.listener(kind, on_async, asynchronous=True)]
        if kit.claims("per_process"):
            listeners.append(kit.listener(kind, lambda event: got.add(event.number), per_process=True))
        manager = kit.manager(*listeners)
        manager.send_event(other(1))
        began.wait(1, "a listener runs")
        restart_broker()
        proceed.set()
        until(
            lambda: manager.health().provider.generation > 1 and manager.health().consuming,
            "health says that all listeners consume again after a restart of the broker",
        )
        manager.send_event(kind(2))
        got.wait(len(listeners) - 1, "listeners really consume again after a restart of the broker")
        if kit.claims("durable"):
            began.wait(2, "an event that was being handled when the broker restarted is delivered again")

    @needs("restart_broker")
    def test_no_confirmed_send_is_lost_by_a_restart_of_the_broker(self, kit: Kit, restart_broker: Restart) -> None:
        """A sender that goes on all the time: each event that was confirmed is handled, once or more."""
        if not kit.capabilities.durable:
            kit.not_applicable("durable")
            return
        handled: Log[int] = Log()
        confirmed: Log[int] = Log()
        enough = kit.blocker()
        kind = kit.event(durable=True)
        kit.manager(kit.listener(kind, lambda event: handled.add(event.number)))
        sender = kit.new_manager()

        def send() -> None:
            for number in itertools.count():
                if enough.is_set():
                    return
                try:
                    sender.send_event(kind(number), timeout=LIMIT)
                except SendError:  # told, hence not lost silently
                    continue
                confirmed.add(number)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        confirmed.wait(50, "sends are confirmed")
        restart_broker()
        confirmed.wait(len(confirmed.items()) + 50, "sends are confirmed again after a restart of the broker")
        enough.set()
        thread.join(LIMIT)
        until(
            lambda: {*confirmed.items()} <= {*handled.items()},
            "no send that was confirmed is lost by a restart of the broker",
        )
