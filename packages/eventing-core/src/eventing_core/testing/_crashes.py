"""Conformance: a process dies, and what it had, or was, is for others."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from eventing_core.errors import EventingError
from eventing_core.testing._kit import Kit, topic_of
from eventing_core.testing._probe import LIMIT, Log

#: How many messages a process sends at once that dies of it, and how many are confirmed by then.
BATCH, CONFIRMED = 500, 20


def other_process(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test where other processes reach the broker, and what it holds outlives them."""

    @wraps(test)
    def run(self: object, kit: Kit) -> None:
        if getattr(self, "broker_in_process", False):
            kit.finding.be_not_applicable("broker_in_process")
        elif not kit.capabilities.retains:
            kit.not_applicable("retains")
        else:
            test(self, kit)

    return run


class CrashTests:
    """See the module. Each process is killed in the middle, without a word to the broker."""

    @other_process
    def test_what_a_dead_process_prefetched_goes_to_others_in_order(self, kit: Kit) -> None:
        """All of it, not only what it had begun."""
        _, queue = kit.filled("abcdef")
        kit.crash(queue, 4)
        other = kit.listen(kit.provider(), queue, window=10)
        other.wait(6, "what a dead process had prefetched goes to another one: otherwise it is handled by nobody")
        assert sorted(other.bodies()) == [*"abcdef"], "what a dead process had prefetched is redelivered once"
        had = [body for body in other.bodies() if body in "abcd"]
        assert had == [*"abcd"], "what a dead process had prefetched is redelivered in order"

    @other_process
    def test_a_dead_exclusive_consumer_has_a_successor(self, kit: Kit) -> None:
        """It waits for the dead one no longer than `LIMIT`, and goes on in order."""
        if not kit.capabilities.exclusive:
            kit.not_applicable("exclusive")  # asserted to be refused for an ordered listener
            return
        _, queue = kit.filled("abc")
        kit.crash(queue, 2, exclusive=True)
        heir = kit.listen(kit.provider(), queue, window=3, exclusive=True)
        heir.wait(3, "another one takes over from an exclusive consumer that died: otherwise its queue is stuck")
        assert heir.bodies() == [*"abc"], "who takes over from a dead exclusive consumer goes on in order"

    @other_process
    def test_the_queue_of_a_dead_process_is_its_successors(self, kit: Kit) -> None:
        """A process that crashed comes back under its name, and gets what it missed."""
        got: Log[int] = Log()
        kind = kit.event()
        listener = kit.listener(kind, lambda event: got.add(event.number), per_process=True)
        if not kit.capabilities.per_process:
            kit.not_applicable("per_process")  # asserted to be refused
            return
        server = kit.name("server")
        kit.manager(listener, server_name=server).stop()
        sender = kit.new_manager()
        sender.send_event(kind(1))
        kit.crash(kit.queue(listener, member=server), 1)
        sender.send_event(kind(2))
        comes_back = "a process that crashed comes back under its name: otherwise it is 'in use' forever"
        try:
            kit.manager(listener, server_name=server, start_timeout=LIMIT)
        except EventingError as error:
            raise AssertionError(comes_back) from error
        got.until(lambda numbers: {1, 2} <= {*numbers}, f"{comes_back}, or misses events")

    @other_process
    def test_what_was_confirmed_to_a_dead_sender_is_there(self, kit: Kit) -> None:
        """It died in the middle of a batch, when a part was confirmed."""
        _, queue = kit.filled("")
        confirmed = kit.crash_sending(topic_of(queue), BATCH, CONFIRMED)
        there = {int(message.body) for message in kit.read(queue)}
        missing = sorted({*confirmed} - there)
        assert not missing, f"what was confirmed is there, though its sender died with the rest of its batch: {missing}"
