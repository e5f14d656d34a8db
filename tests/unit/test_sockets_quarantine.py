"""How a listener stands whose messages end the connection."""

from __future__ import annotations

import itertools
import random

import pytest

from eventing_core.provider.sockets import Quarantine, Standing, quoted_list
from eventing_core.provider.sockets._quarantine import ENOUGH, LONG_QUIET, QUIET, STANDING_TRANSITIONS, SUSPICION, Sign


def isolated(*came: int) -> Quarantine:
    quarantine = Quarantine()
    quarantine.blamed({}, [], 0.0)
    quarantine.blamed(dict.fromkeys(came, ""), [], 1.0)
    assert quarantine.standing is Standing.ISOLATED
    return quarantine


def test_each_standing_knows_each_sign() -> None:
    known = [(source, sign) for (source, _), signs in STANDING_TRANSITIONS.items() for sign in signs]
    assert len(known) == len({*known})
    assert {*known} == {*itertools.product(Standing, Sign)}


def test_one_loss_is_a_suspicion_and_two_are_enough() -> None:
    quarantine = Quarantine()
    assert quarantine.limit(100) == 100
    quarantine.blamed({}, [], 0.0)
    assert not quarantine.is_isolated
    assert quarantine.limit(100) == 100
    quarantine.blamed({}, [], SUSPICION)
    assert quarantine.is_isolated
    assert quarantine.limit(100) == 1
    assert quarantine.limit(0) == 0
    assert quarantine.is_searching


def test_a_suspicion_is_dropped_after_a_while() -> None:
    quarantine = Quarantine()
    quarantine.blamed({7: ""}, [], 0.0)
    quarantine.blamed({8: ""}, [], SUSPICION + 1)
    assert quarantine.standing is Standing.SUSPECTED
    assert quarantine.losses == 1
    assert {*quarantine.seen} == {8}


def test_time_alone_drops_a_suspicion() -> None:
    quarantine = Quarantine()
    quarantine.blamed({7: ""}, [8], 0.0)
    quarantine.pass_time(SUSPICION)
    assert quarantine.is_searching
    quarantine.pass_time(SUSPICION + 1)
    assert quarantine.standing is Standing.NORMAL
    assert not quarantine.is_searching
    assert not quarantine.seen


def test_the_first_message_that_never_came_is_the_one() -> None:
    quarantine = Quarantine()
    quarantine.blamed({1: "", 2: ""}, [], 0.0)
    assert quarantine.candidate([1, 2, 3, 4, 5]) is None
    quarantine.blamed({1: "", 2: "", 4: ""}, [], 1.0)
    assert quarantine.candidate([1, 2, 3, 4, 5]) == 3


def test_what_came_to_the_front_meanwhile_is_not_the_one() -> None:
    quarantine = isolated(1)
    assert quarantine.candidate([9, 3, 1]) is None
    quarantine.blamed({9: ""}, [], 2.0)
    assert quarantine.candidate([9, 3, 1]) is None
    quarantine.blamed({9: ""}, [], 3.0)
    assert quarantine.candidate([8, 9, 3, 1]) is None
    quarantine.blamed({8: ""}, [], 4.0)
    assert quarantine.candidate([8, 9, 3, 1]) is None
    quarantine.blamed({8: ""}, [], 5.0)
    assert quarantine.candidate([8, 9, 3, 1]) == 3


def test_nothing_is_the_one_where_all_came() -> None:
    quarantine = isolated(1, 2, 4)
    for at in range(3):
        assert quarantine.candidate([1, 2, 4]) is None
        assert quarantine.candidate([]) is None
        quarantine.blamed({}, [], 2.0 + at)


def test_what_was_acknowledged_is_not_the_one() -> None:
    quarantine = Quarantine()
    quarantine.blamed({2: ""}, [1], 0.0)
    assert quarantine.candidate([1, 2, 3]) is None
    quarantine.blamed({}, [], 1.0)
    assert quarantine.candidate([1, 2, 3]) == 3


def test_the_same_loss_is_not_a_second_one() -> None:
    quarantine = isolated()
    for _ in range(3):
        assert quarantine.candidate([1, 2]) is None


def test_a_known_message_is_the_one_after_the_first_loss() -> None:
    quarantine = Quarantine()
    quarantine.blamed({1: ""}, [], 0.0, culprit=5, why="too large")
    assert quarantine.is_searching
    assert quarantine.candidate([2, 5]) == 5
    assert quarantine.suspects == {5: "too large"}
    quarantine.set_aside(5, 1.0)
    assert not quarantine.is_searching
    assert quarantine.candidate([2, 5]) is None


def test_nothing_is_the_one_without_a_loss() -> None:
    assert Quarantine().candidate([1, 2]) is None


def test_the_window_is_wider_after_enough_deliveries() -> None:
    quarantine = isolated()
    quarantine.set_aside(3, 2.0)
    assert quarantine.quiet_in(2.0) == QUIET
    quarantine.delivered(ENOUGH - 1)
    assert not quarantine.has_enough
    assert not quarantine.quiet(2.0)
    quarantine.delivered(1)
    assert quarantine.has_enough
    assert quarantine.quiet_in(2.0) == 0.0
    assert quarantine.quiet(2.0)
    assert quarantine.standing is Standing.APART
    assert quarantine.limit(100) == 100
    assert quarantine.quiet_in(2.0) is None


def test_the_window_is_wider_after_some_time() -> None:
    quarantine = isolated()
    quarantine.set_aside(3, 2.0)
    assert not quarantine.quiet(1.9 + QUIET)
    assert quarantine.quiet(2.0 + QUIET)


def test_it_takes_longer_while_the_message_may_be_behind_others() -> None:
    quarantine = isolated(1, 2)
    quarantine.delivered(ENOUGH)
    assert not quarantine.has_enough
    assert not quarantine.quiet(1.0 + QUIET)
    assert quarantine.quiet_in(1.0) == LONG_QUIET
    quarantine.settled([1, 2])
    assert quarantine.quiet(1.0)


def test_a_loss_on_its_own_connection_isolates_it_at_once() -> None:
    quarantine = isolated()
    quarantine.set_aside(3, 2.0)
    assert quarantine.quiet(2.0 + QUIET)
    quarantine.blamed({}, [], 50.0)
    assert quarantine.standing is Standing.ISOLATED
    assert quarantine.losses == 1


def test_a_list_for_a_selector() -> None:
    assert quoted_list(["a", "it's"]) == "'a', 'it''s'"


@pytest.mark.parametrize("seed", range(200))
def test_walks_find_each_offending_message_and_no_other(seed: int) -> None:
    """A queue, a broker that hands over in its order and fails at some messages, and a window of any size."""
    chance = random.Random(seed)  # noqa: S311 (repeatable)
    queue = [*range(1, chance.randint(2, 40))]
    bad = {*chance.sample(queue, chance.randint(0, min(5, len(queue))))}
    good = [number for number in queue if number not in bad]
    quarantine, now, aside, handled, losses = Quarantine(), 0.0, set[int](), list[int](), 0
    fresh = itertools.count(100)
    for _ in range(2_000):
        if not queue:
            break
        now += chance.random()
        if chance.random() < 0.1:
            # Its delay is over, or its priority is higher.
            queue.insert(0, next(fresh))
            good.append(queue[0])
        if quarantine.is_searching:
            number = quarantine.candidate(queue[:200])
            if number is not None:
                assert number in bad, "an innocent message was set aside"
                queue.remove(number)
                aside.add(number)
                quarantine.set_aside(number, now)
                continue
        window = quarantine.limit(chance.randint(1, 10))
        tried = queue[: window + 1]
        failing = [number for number in tried if number in bad]
        came = [number for number in tried if number not in bad][:window]
        # Some of what came is acknowledged, and of that the broker notes some.
        done = came[: chance.randint(0, len(came))]
        noted = done if not failing else done[: chance.randint(0, len(done))]
        for number in noted:
            queue.remove(number)
            handled.append(number)
        quarantine.settled(done)
        if failing:
            losses += 1
            out = {number: "" for number in came if number not in done}
            quarantine.blamed(out, done, now)
        else:
            quarantine.delivered(len(done))
            quarantine.quiet(now)
    assert not queue, f"{queue} left, {quarantine.standing}"
    assert aside == bad
    assert sorted(handled) == sorted(good)
    assert losses <= 4 + 4 * len(bad)
