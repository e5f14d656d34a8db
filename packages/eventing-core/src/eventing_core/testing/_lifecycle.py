"""Conformance: starting, stopping and going away lose nothing and count nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from eventing_core import ManagerStoppedError, ServerNameInUseError
from eventing_core.testing._kit import Kit, Sample
from eventing_core.testing._probe import LIMIT, Log

#: How long it is looked whether a stop waits, in seconds.
A_MOMENT = 0.2


class LifecycleTests:
    """See the module."""

    def test_what_is_sent_while_the_listener_is_away_is_delivered_later(self, kit: Kit) -> None:
        """Stop, send, start: a queue lives on without its consumers."""
        got: Log[int] = Log()
        kind = kit.event()
        listener = kit.listener(kind, lambda event: got.add(event.number))
        kit.manager(listener).stop()
        sender = kit.new_manager()
        sender.send_events(kind(number) for number in range(10))
        sender.stop()
        kit.manager(listener)
        assert got.wait(10, "what was sent while the listener was away is delivered") == list(range(10))

    def test_a_process_that_comes_back_gets_what_it_missed(self, kit: Kit) -> None:
        """The queue of a per-process listener is its server's, across restarts."""
        got: Log[int] = Log()
        kind = kit.event()
        listener = kit.listener(kind, lambda event: got.add(event.number), per_process=True)
        if not kit.capabilities.per_process:
            kit.assert_refused(listener, "per_process")
            return
        server = kit.name("server")
        kit.manager(listener, server_name=server).stop()
        kit.new_manager().send_event(kind(1))
        kit.manager(listener, server_name=server)
        assert got.wait(1, "a server that comes back gets what it missed") == [1]

    def test_a_stop_lets_running_listeners_finish(self, kit: Kit) -> None:
        """Stop waits for them, they may still send, and what they did is accepted."""
        began: Log[int] = Log()
        ended: Log[int] = Log()
        proceed = kit.blocker()
        kind, other = kit.event(), kit.event()

        def on(event: Sample) -> None:
            began.add(event.number)
            proceed.wait(LIMIT)
            manager.send_event(other(event.number))
            ended.add(event.number)

        listener, echo = kit.listener(kind, on), kit.listener(other, lambda _: None)
        kit.manager(echo).stop()
        manager = kit.manager(listener)
        manager.send_events([kind(1), kind(2)])
        began.wait(1, "a listener runs")
        stopping = threading.Thread(target=manager.stop)
        stopping.start()
        stopping.join(A_MOMENT)
        assert stopping.is_alive(), "a stop waits for running listeners"
        proceed.set()
        stopping.join(LIMIT)
        assert ended.items() == [1], "a stop lets running listeners finish, and begins no more"
        left = [message.body for message in kit.read(kit.queue(listener=listener))]
        assert len(left) == 1, f"what a listener finished during a stop is accepted, the rest is returned: {left}"
        assert len(kit.read(kit.queue(listener=echo))) == 1, "a listener may send during a stop"

    @pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "async"])
    def test_a_stop_cut_short_returns_its_events_uncounted(self, kit: Kit, *, asynchronous: bool) -> None:
        """What didn't finish in time is delivered again, as if nothing had happened."""
        began: Log[int] = Log()
        blocked = kit.blocker()

        def on(event: Sample) -> None:
            began.add(event.number)
            blocked.wait(LIMIT)

        async def on_async(event: Sample) -> None:
            began.add(event.number)
            await asyncio.Event().wait()

        kind = kit.event()
        listener = kit.listener(kind, on_async if asynchronous else on, asynchronous=asynchronous)
        manager = kit.manager(listener)
        manager.send_events([kind(1), kind(2)])
        began.wait(1, "a listener runs")
        manager.stop(A_MOMENT)
        left = kit.read_counted(kit.queue(listener=listener))
        assert [message.body for message, _ in left] == [b'{"number":1,"text":""}', b'{"number":2,"text":""}'], (
            "what a stop cut short is returned, in order"
        )
        assert not any("eventing-attempts" in message.headers for message, _ in left), (
            "a stop cut short does not count as an attempt"
        )
        if kit.claims("uncounted_release"):
            assert [count for _, count in left] == [0, 0], "an orderly stop does not count as a delivery"
        blocked.set()
        assert began.items() == [1], "a stop begins nothing new"

    def test_what_was_accepted_late_is_delivered_again(self, kit: Kit) -> None:
        """Accepted is only what ``on`` returned from: closed in the middle, the event goes to another process."""
        began: Log[int] = Log()
        proceed = kit.blocker()
        finished: Log[int] = Log()
        kind = kit.event()
        name = kit.name("Listener")

        def interrupted(event: Sample) -> None:
            began.add(event.number)
            proceed.wait(LIMIT)

        first = kit.manager(kit.listener(kind, interrupted, name=name))
        first.send_event(kind(1))
        began.wait(1, "a listener runs")
        first._provider.close(0.0)  # noqa: SLF001 (there is no nicer way to take its connection away)
        kit.manager(kit.listener(kind, lambda event: finished.add(event.number), name=name))
        assert finished.wait(1, "an event is accepted after its listener returned, and not before") == [1]

    def test_stopping_is_idempotent(self, kit: Kit) -> None:
        """Also from several threads at a time, and without a start."""
        manager = kit.manager(kit.listener(kit.event(), lambda _: None))
        threads = [threading.Thread(target=manager.stop) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert not any(thread.is_alive() for thread in threads), "stop returns in every thread"
        manager.stop()
        assert not manager.health().provider.connected
        kit.new_manager().stop()

    def test_sending_after_a_stop_is_refused(self, kit: Kit) -> None:
        """By every way of sending, at once, and in doubt of nothing."""
        kind = kit.event()
        manager = kit.manager()
        manager.stop()
        with pytest.raises(ManagerStoppedError):
            manager.send_event(kind(1))
        with pytest.raises(ManagerStoppedError):
            manager.submit_event(kind(1))
        with pytest.raises(ManagerStoppedError):
            asyncio.run(manager.send_event_async(kind(1)))
        with pytest.raises(ManagerStoppedError):
            manager.start()

    def test_a_stop_leaves_no_thread(self, kit: Kit) -> None:
        """Nothing of a manager and its provider is left."""
        kind = kit.event()
        kit.manager().stop()
        before = set(threading.enumerate())
        got: Log[Any] = Log()
        manager = kit.manager(kit.listener(kind, got.add), kit.listener(kit.event(), _nothing, asynchronous=True))
        manager.send_event(kind(1))
        got.wait(1, "an event arrives")
        assert set(threading.enumerate()) > before
        manager.stop()
        left = [thread.name for thread in threading.enumerate() if thread not in before]
        assert not left, f"a stop leaves no thread: {left}"

    def test_health_reports_the_current_state(self, kit: Kit) -> None:
        """Connected and consuming from start to stop."""
        manager = kit.new_manager(kit.listener(kit.event(), lambda _: None))
        assert not manager.health().provider.connected
        manager.start()
        health = manager.health()
        assert health.provider.connected, "health says that a started manager is connected"
        assert health.consuming, "health says that listeners consume"
        assert health.provider.generation == 1
        manager.stop()
        health = manager.health()
        assert not health.provider.connected, "health says that a stopped manager is not connected"
        assert not health.consuming, "health says that a stopped manager's listeners don't consume"

    def test_a_server_name_in_use_is_refused(self, kit: Kit) -> None:
        """Two live processes of one name would compete for what each of them should get."""
        got: Log[int] = Log()
        kind = kit.event()
        listener = kit.listener(kind, lambda event: got.add(event.number), per_process=True)
        if not kit.capabilities.per_process:
            kit.assert_refused(listener, "per_process")
            return
        server = kit.name("server")
        first = kit.manager(listener, server_name=server)
        with pytest.raises(ServerNameInUseError, match=server):
            kit.new_manager(listener, server_name=server, start_timeout=LIMIT).start()
        first.send_event(kind(1))
        assert got.wait(1, "the first process of a server name goes on") == [1]
        first.stop()
        kit.manager(listener, server_name=server)


async def _nothing(_: object) -> None:
    pass
