"""What becomes of a delivery that comes again: for all that a broker may tell, and what was lost before."""

from __future__ import annotations

import pytest

from eventing_core.provider import CRASH_LIMIT
from eventing_core.receive.machine import _crash_guard
from eventing_core.receive.machine._actions import Facts, Rules
from eventing_core.receive.machine._cases import Case
from eventing_core.receive.machine._crash_guard import CrashGuard, Verdict

RUN, ALONE, RECOUNT, LOOP = Verdict.RUN, Verdict.ALONE, Verdict.RECOUNT, Verdict.LOOP


def given(count: int, recorded: int = 0, event: str | None = "a") -> Case[object]:
    return Case.of(object(), Facts(event, count, crashes=recorded))


@pytest.mark.parametrize("ordered", [False, True])
def test_a_broker_that_counts_is_believed(ordered: bool) -> None:
    guard = CrashGuard(Rules(ordered=ordered))
    assert [guard.judge(given(count)) for count in range(1, 10)] == [RUN, RUN, *[ALONE] * 5, LOOP, LOOP]


def test_what_was_lost_here_is_no_crash_but_the_broker_may_count_no_further() -> None:
    guard = CrashGuard(Rules())
    for count in range(CRASH_LIMIT):
        guard.lost([given(count)])
    assert guard.judge(given(CRASH_LIMIT - 1)) is RUN
    assert guard.judge(given(CRASH_LIMIT)) is RECOUNT
    assert guard.judge(given(CRASH_LIMIT, event="b")) is LOOP
    assert guard.judge(given(CRASH_LIMIT, event=None)) is LOOP


def test_in_order_nothing_leaves_before_it_loops() -> None:
    guard = CrashGuard(Rules(ordered=True))
    guard.lost([given(count) for count in range(CRASH_LIMIT)])
    assert guard.judge(given(CRASH_LIMIT)) is RUN


def test_only_what_was_lost_here_is_taken_off() -> None:
    guard = CrashGuard(Rules())
    guard.survived([Facts("a", 2), Facts("a", 4), Facts("a", 4), Facts("b", 3), Facts(None, 3)])
    assert [guard.crashes(given(count)) for count in (2, 3, 4, 5)] == [2, 2, 3, 3]


def test_what_is_settled_gets_no_excuse_any_more() -> None:
    guard = CrashGuard(Rules())
    guard.lost([given(2), given(3)])
    assert guard.crashes(given(4)) == 2
    guard.settled(given(4))
    assert [guard.crashes(given(count)) for count in (4, 5)] == [4, 5]


def test_the_oldest_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_crash_guard, "_REMEMBERED", 2)
    guard = CrashGuard(Rules())
    guard.lost([given(3, event=name) for name in "abc"])
    assert [guard.crashes(given(4, event=name)) for name in "abc"] == [4, 3, 3]


def test_a_flag_has_a_copy_count_until_a_connection_is_lost() -> None:
    guard = CrashGuard(Rules(flags=True))
    assert (guard.judge(given(1)), guard.crashes(given(1)), guard.is_flagged(given(1))) == (RECOUNT, 1, True)
    assert guard.judge(given(1, recorded=1)) is RUN  # that copy itself is not flagged
    assert guard.judge(given(4, recorded=4)) is ALONE
    assert guard.judge(given(5, recorded=4)) is RECOUNT
    assert guard.judge(given(8, recorded=7)) is LOOP
    guard.lost([])
    assert guard.judge(given(1)) is RUN
    assert guard.judge(given(5, recorded=4)) is ALONE
    assert guard.judge(given(8, recorded=7)) is RECOUNT


def test_in_order_flags_count_nothing() -> None:
    guard = CrashGuard(Rules(flags=True, ordered=True))
    assert [guard.judge(given(1)), guard.judge(given(CRASH_LIMIT))] == [RUN, RUN]
    assert not guard.by_copies
