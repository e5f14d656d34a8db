"""Calls that block, made on an event loop: where the loop isn't the manager's own, a warning for each line."""

from __future__ import annotations

import contextlib
import logging
import sys
from types import FrameType

_log = logging.getLogger("eventing")

#: Of frames, these are not the caller's: containers make listeners and managers on behalf of who asks them.
_NOT_THE_CALLER = frozenset({__name__.partition(".")[0], "injector", "contextlib"})

#: Lines that were warned of; no more than so many.
_warned: set[tuple[str, int]] = set()
_LIMIT = 1000


def warn_of_blocking(method: str, instead: str) -> None:
    """Warn that the caller's line blocks the event loop it runs on; once for each line.

    Nothing in IPython and Jupyter, which run every cell on a loop.
    """
    if _is_notebook():
        return
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 (documented; inspect's way is slower and does the same)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_CALLER:
        frame = frame.f_back
    if frame is None:
        return
    site = frame.f_code.co_filename, frame.f_lineno
    if site in _warned or len(_warned) >= _LIMIT:
        return
    _warned.add(site)
    with contextlib.suppress(Exception):  # a logging handler's must not keep an event from being sent
        _log.warning("%s:%d: %s blocks the event loop that calls it; use '%s'", *site, method, instead)


def _is_notebook() -> bool:
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython is not None and get_ipython() is not None
