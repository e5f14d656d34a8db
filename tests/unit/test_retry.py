from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from eventing_core import ConfigError, Retry


def test_the_default_attempts_span_more_than_a_minute_however_the_jitter_falls():
    retry = Retry()
    waits = [min(retry.initial * retry.factor**number, retry.max_delay) for number in range(retry.max_attempts - 1)]
    assert sum(waits) * (1 - retry.jitter) > 66


def test_defaults_are_those_of_the_documentation():
    assert dataclasses.asdict(Retry()) == {
        "max_attempts": 8,
        "pause_after": 5,
        "initial": 0.2,
        "factor": 3,
        "max_delay": 60,
        "jitter": 0.5,
        "fatal": (),
    }


def test_waits_grow_by_the_factor_up_to_the_longest():
    retry = Retry(initial=1, factor=3, max_delay=20, jitter=0)
    assert [retry.delay(failures) for failures in range(1, 6)] == [1, 3, 9, 20, 20]


def test_waits_never_overflow():
    assert Retry(factor=10, jitter=0).delay(100_000) == 60


def test_jitter_shortens_a_wait_by_at_most_its_share():
    retry = Retry(initial=8, max_delay=8, jitter=0.25)
    waits = [retry.delay(1) for _ in range(500)]
    assert 6 <= min(waits) < 6.5
    assert 7.5 < max(waits) <= 8


def test_no_wait():
    assert Retry(initial=0).delay(1) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pause_after": -1}, "pause_after must be a whole number, at least 0"),
        ({"pause_after": True}, "pause_after must be a whole number, at least 0"),
        ({"max_attempts": 0}, "max_attempts must be a whole number, at least 1"),
        ({"initial": -1}, "initial must be a number of seconds, at least 0"),
        ({"initial": math.nan}, "initial must be a number of seconds, at least 0"),
        ({"factor": 0.5}, "factor must be a number, at least 1"),
        ({"factor": math.inf}, "factor must be a number, at least 1"),
        ({"max_delay": math.inf}, "max_delay must be a number of seconds, at least 0"),
        ({"jitter": 1.1}, "jitter must be a number between 0 and 1"),
        ({"jitter": math.nan}, "jitter must be a number between 0 and 1"),
        ({"fatal": ("ValueError",)}, "fatal must be a tuple of exception classes"),
        ({"fatal": ValueError}, "fatal must be a tuple of exception classes"),
        (
            {"max_attempts": 0, "jitter": 2},
            "max_attempts must be a whole number, at least 1; jitter must be a number between 0 and 1",
        ),
    ],
)
def test_refuses_settings_out_of_range(settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        Retry(**settings)
    assert str(caught.value) == f"Retry: {message}"
