"""What a dead letter leaves out where the broker can't store it whole. Pure, apart from `Refused`.

The body always stays. First, long values of Eventing's own are shortened, and headers that no text encoding can carry
are dropped; then whole headers are dropped, the largest first: one, then three, then seven, and so on, so that a
message of thousands of headers takes few tries.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from eventing_core.errors import HeaderError, SendError

#: The names of the headers that a dead letter had to leave out.
TRUNCATED = "eventing_truncated"

#: Characters that long values of our own keep.
_SHORT = 100

#: Characters of a name in the list of those left out, and of the whole list.
_NAME_LIMIT, _LIST_LIMIT = 60, 1000

#: So many refusals are remembered.
_REMEMBERED = 1000


def is_permanent(error: Exception) -> bool:
    """Whether the broker can never store what was sent, as it is."""
    # Where a header can't be encoded, nothing was sent.
    return error.permanent if isinstance(error, SendError) else isinstance(error, HeaderError | UnicodeEncodeError)


def truncate(
    headers: Mapping[str, str], step: int, *, keep: frozenset[str], shorten: frozenset[str]
) -> dict[str, str] | None:
    """The headers with less in them, the more so the higher the step (from 1); None: there is no more to leave out.

    Args:
        headers: all of them.
        step: how often the broker has refused what is left.
        keep: keys that are never dropped.
        shorten: keys of our own whose values may be shortened.
    """
    count = 2 ** (step - 1) - 1
    left = {key: value[:_SHORT] if key in shorten else value for key, value in headers.items() if _is_sound(key, value)}
    before = left.pop(TRUNCATED, "")
    droppable = sorted((key for key in left if key not in keep), key=lambda key: -_size(key, left[key]))
    if step > 1 and len(droppable) <= (count - 1) // 2:
        return None
    dropped = [*(key for key in headers if key not in left and key != TRUNCATED), *droppable[:count]]
    for key in droppable[:count]:
        del left[key]
    if dropped or before:
        left[TRUNCATED] = _list(before, dropped)
    return left


def _is_sound(key: str, value: str) -> bool:
    try:
        (key + value).encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in key + value


def _size(key: str, value: str) -> int:
    # An upper bound of what brokers make of it: UTF-8 for some, two bytes for a character for others.
    return len(key.encode()) + len(value.encode())


def _list(before: str, names: list[str]) -> str:
    """The names, as far as there is room for them, and how many more there are."""
    text = before[:_LIST_LIMIT]
    for at, name in enumerate(names):
        short = name if len(name) <= _NAME_LIMIT else f"{name[: _NAME_LIMIT - 3]}..."
        # Commas separate names; NUL and lone surrogates are what the name may have been dropped for.
        short = short.replace(",", "%2C").replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
        if len(text) + len(short) > _LIST_LIMIT:
            return f"{text}, and {len(names) - at} more"
        text = f"{text}, {short}" if text else short
    return text


class Refused:
    """What the broker has refused lately, each by a key of its own, and how often. Thread-safe, bounded.

    A refusal may cost the connection, and with it everything that is known of a delivery: the next one of the same
    message begins with what was learned.
    """

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}
        #: Guards the dictionary.
        self._lock = threading.Lock()

    def note(self, key: str, step: int) -> None:
        """Remember a refusal; without a key it can't be."""
        if not key:
            return
        with self._lock:
            self._steps[key] = max(step, self._steps.pop(key, 0))
            if len(self._steps) > _REMEMBERED:
                del self._steps[next(iter(self._steps))]

    def step(self, key: str) -> int:
        """The highest step that was noted; 0 when nothing is known."""
        with self._lock:
            return self._steps.get(key, 0)
