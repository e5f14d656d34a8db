"""What a delivery that comes again is taken for: once for all that a broker may tell, and what was lost before."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from eventing_core._crash_guard import CrashGuard
from eventing_core.memory import MemoryProvider
from eventing_core.memory._queue import MemoryDelivery
from eventing_core.provider import CRASH_LIMIT, REDELIVERIES, Message


def guard(counting: Literal["flag", "delivered"] = "delivered", *, ordered: bool = False) -> CrashGuard:
    return CrashGuard(replace(MemoryProvider.capabilities, delivery_count=counting), ordered=ordered)


def given(count: int, recorded: int = 0, name: str = "a") -> MemoryDelivery:
    headers = {REDELIVERIES: str(recorded)} if recorded else {}
    return MemoryDelivery(Message(body=b"", message_id=name, headers=headers), 1, count)


def kind(guard: CrashGuard, delivery: MemoryDelivery) -> str:
    record = guard.read(delivery)
    verdict = guard.judge(record)
    # What the first look keeps from the tokens must not be let run: nobody would run it.
    assert not (guard.rejects(record) and verdict.runs)
    assert guard.may_reject(delivery) or not guard.rejects(record)
    if verdict.suspect:
        return "suspect"
    return "" if verdict.runs else "loops" if verdict.loops else "leaves"


@pytest.mark.parametrize("ordered", [False, True])
def test_a_broker_that_counts_is_believed(ordered: bool) -> None:
    kinds = [kind(guard(ordered=ordered), given(count)) for count in range(1, 10)]
    assert kinds == ["", "", "suspect", "suspect", "suspect", "suspect", "suspect", "loops", "loops"]


def test_what_was_lost_here_is_no_crash_but_the_broker_may_count_no_further() -> None:
    ours = guard()
    for count in range(2, CRASH_LIMIT):
        ours.begun(ours.read(given(count)))
        ours.lost([], connection=True)
    assert kind(ours, given(CRASH_LIMIT - 1)) == ""
    assert kind(ours, given(CRASH_LIMIT)) == "leaves"
    assert not ours.judge(ours.read(given(CRASH_LIMIT))).counted
    assert ours.rejects(ours.read(given(CRASH_LIMIT)))
    assert kind(ours, given(CRASH_LIMIT, name="b")) == "loops"


def test_in_order_nothing_leaves_before_it_loops() -> None:
    ours = guard(ordered=True)
    ours.lost([given(count) for count in range(2, CRASH_LIMIT)], connection=True)
    assert kind(ours, given(CRASH_LIMIT)) == ""
    assert not ours.rejects(ours.read(given(CRASH_LIMIT)))


def test_what_is_settled_gets_no_excuse_any_more() -> None:
    ours = guard()
    ours.begun(ours.read(given(2)))
    ours.lost([given(3)], connection=True)
    again = given(4)
    assert ours.judge(ours.read(again)).crashes == 2
    ours.begun(ours.read(again))
    ours.settled([again])
    ours.lost([], connection=True)
    assert [ours.judge(ours.read(given(count))).crashes for count in (4, 5)] == [4, 5]


def test_a_flag_has_a_copy_count_until_a_connection_is_lost() -> None:
    ours = guard("flag")
    assert (kind(ours, given(1)), ours.judge(ours.read(given(1))).crashes, ours.judge(ours.read(given(1))).counted) == (
        "leaves",
        1,
        True,
    )
    assert kind(ours, given(1, recorded=1)) == ""  # that copy itself is not flagged
    assert kind(ours, given(4, recorded=4)) == "suspect"
    assert kind(ours, given(5, recorded=4)) == "leaves"
    assert kind(ours, given(8, recorded=7)) == "loops"
    ours.lost([], connection=False)
    assert kind(ours, given(1)) == "leaves"
    assert ours.rejects(ours.read(given(1)))
    for connection in (True, False):  # the next connection may take some tries
        ours.lost([], connection=connection)
        assert kind(ours, given(1)) == ""
        assert kind(ours, given(5, recorded=4)) == "suspect"
    assert kind(ours, given(8, recorded=7)) == "leaves"


def test_in_order_flags_count_nothing() -> None:
    ours = guard("flag", ordered=True)
    assert [kind(ours, given(1)), kind(ours, given(CRASH_LIMIT))] == ["", ""]
    assert not ours.copies_count
