"""Time limits that callers give."""

from __future__ import annotations

import threading
from numbers import Real
from typing import cast

from eventing_core.errors import ConfigError

#: A year, or half of what the platform can wait; longer limits mean this one. In seconds.
LONGEST_WAIT = min(threading.TIMEOUT_MAX / 2, 31_536_000.0)


def seconds(what: str, given: object, default: float) -> float:
    """The time limit that a caller gave, at most `LONGEST_WAIT`; or the default, a setting, which is below that.

    Raises:
        ConfigError: no number, or negative, or NaN. It says ``what`` is wrong.
    """
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, Real):
        msg = f"{what} must be a number of seconds, or None, not of type {type(given).__name__}"
        raise ConfigError(msg)
    limit = cast("float", given)
    if not limit >= 0:  # NaN isn't, either
        msg = f"{what} must be a number of seconds, at least 0, not {limit}"
        raise ConfigError(msg)
    return float(min(limit, LONGEST_WAIT))
