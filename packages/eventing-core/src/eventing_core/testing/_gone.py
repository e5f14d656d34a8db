"""Conformance: a process is gone without a word, where there is no connection that a broker would see go."""

from __future__ import annotations

from eventing_core.testing._kit import Kit
from eventing_core.testing._outage import check_counts

#: How often a process dies before it has to be counted.
CRASHES = 5


class GoneTests:
    """See the module. Where there is a network, its loss shows the same; see `OutageTests`."""

    def test_unsettled_messages_of_a_dead_process_are_redelivered_and_flagged(self, kit: Kit) -> None:
        """Within `LIMIT`, and the delivery count is what the capability says."""
        if kit.capabilities.network:
            kit.not_applicable("network")  # a lost connection has the same effect
            return
        provider, queue = kit.filled("a")
        check_counts(kit, lambda: kit.crash(queue, 1)[0], CRASHES)
        kit.listen(provider, queue, window=1).wait(1, "what a dead process had is delivered again")

    def test_a_delivery_that_is_held_for_long_stays_held(self, kit: Kit) -> None:
        """A lease is renewed: what a dead process had is delivered again, what a live one has for longer is not."""
        if not kit.capabilities.lease:
            kit.not_applicable("lease")
            return
        provider, queue = kit.filled("ab")
        holder = kit.listen(provider, queue, window=1)
        holder.wait(1)
        kit.crash(queue, 1)
        other = kit.listen(kit.provider(), queue, window=10)
        other.wait(1, "what a dead process had is delivered again")
        assert other.bodies() == ["b"], "what is held for long stays held: its lease is renewed"
        holder.settle(holder.deliveries.items())
        holder.handle.close()
        other.settle(other.deliveries.items())
        other.handle.close()
        assert kit.read(queue) == [], "what was held for long can be accepted"
