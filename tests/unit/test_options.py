"""`Options` takes what makes sense and nothing else."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from eventing_core import ConfigError
from eventing_core.configure._options import Options


def test_defaults() -> None:
    assert Options().model_dump() == {
        "workers": 8,
        "send_timeout": 30.0,
        "start_timeout": 90.0,
        "stop_timeout": 30.0,
        "stuck_after": 300.0,
        "max_in_flight": 10_000,
        "max_body_bytes": 67_108_864,
        "unrouted": "warn",
        "warn_not_durable": True,
        "strict": False,
        "health": {"port": None, "host": "127.0.0.1", "details": False},
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("workers", 0),
        ("workers", 1025),
        ("workers", 1.5),
        ("send_timeout", 0),
        ("send_timeout", float("nan")),
        ("send_timeout", float("inf")),
        ("start_timeout", -1),
        ("stop_timeout", -0.1),
        ("stop_timeout", 1e12),
        ("max_in_flight", 0),
        ("unrouted", "explode"),
        ("strict", "perhaps"),
        ("wrokers", 1),
    ],
)
def test_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^Options: (unknown key ')?{key}") as caught:
        Options(**{key: value})  # type: ignore[arg-type]
    assert "input_value" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_stopping_at_once_is_fine() -> None:
    assert Options(stop_timeout=0).stop_timeout == 0


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        Options().workers = 9
