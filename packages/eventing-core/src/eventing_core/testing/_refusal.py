"""Conformance: what the broker refuses is told, and nothing is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from eventing_core import Retry, SendEventsError
from eventing_core.errors import SendRejectedError
from eventing_core.provider import Destination
from eventing_core.receive._queues import dead_letters_of
from eventing_core.testing._failures import BrokenError
from eventing_core.testing._kit import Kit, Sample, topic_of
from eventing_core.testing._network import needs
from eventing_core.testing._probe import LIMIT, until

Refuse = Callable[[Destination], AbstractContextManager[object]]


class RefusalTests:
    """See the module."""

    @needs("refuse_sends")
    def test_a_send_that_the_broker_refuses_raises(self, kit: Kit, refuse_sends: Refuse) -> None:
        """By every way of sending; other events are sent all the while, and this one when it is allowed again."""
        kind, other = kit.event(), kit.event()
        listener, echo = kit.listener(kind, lambda _: None), kit.listener(other, lambda _: None)
        kit.manager(listener, echo).stop()
        manager = kit.new_manager()
        queue = kit.queue(listener=listener)
        with refuse_sends(topic_of(queue)):
            with pytest.raises(SendRejectedError):
                manager.send_event(kind(1))
            with pytest.raises(SendEventsError) as raised:
                manager.send_events([kind(2), kind(3)])
            failures = [(index, type(error)) for index, error in raised.value.failures]
            assert failures == [(index, SendRejectedError) for index in range(raised.value.taken)], (
                "each refused send is reported"
            )
            assert isinstance(manager.submit_event(kind(4)).exception(LIMIT), SendRejectedError)
            with pytest.raises(SendRejectedError):
                asyncio.run(manager.send_event_async(kind(4)))
            manager.send_event(other(5))
        manager.send_event(kind(6))
        bodies = [message.body for message in kit.read(queue)]
        assert bodies == [b'{"number":6,"text":""}'], "what the broker refuses is not stored, and what it accepts is"
        assert len(kit.read(kit.queue(listener=echo))) == 1, "a refusal concerns no other event"

    @needs("refuse_sends")
    def test_an_event_whose_dead_letter_is_refused_stays(self, kit: Kit, refuse_sends: Refuse) -> None:
        """The original is accepted when its copy is confirmed, and not before; health says that something is wrong."""
        kind = kit.event()

        def on(_: Sample) -> None:
            raise BrokenError

        listener = kit.listener(kind, on, retry=Retry(fatal=(BrokenError,)))
        queue = kit.queue(listener=listener)
        manager = kit.manager(listener)
        with refuse_sends(dead_letters_of(queue)):
            manager.send_event(kind(1))
            until(lambda: bool(manager.health().listeners[0].error), "health says that a dead letter can't be stored")
            manager.stop()
        kept = kit.read(queue)
        assert {message.body for message in kept} == {b'{"number":1,"text":""}'}, (
            "an event stays where it is until its copy is confirmed"
        )
        # A refusal can end the connection before the send itself is confirmed: it is sent again.
        assert len(kept) == 1 or not kit.claims("dedup"), "and it is stored once, if the broker drops duplicates"
        assert kit.read(dead_letters_of(queue)) == []
