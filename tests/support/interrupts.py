"""Exceptions of signal handlers, wherever CPython lets one come."""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

import eventing_core

_CORE = eventing_core.__path__[0]

#: After these, CPython looks for signals. It also does at the beginning of each function.
_LOOKED_AFTER = {code for name, code in dis.opmap.items() if name.startswith("CALL") or name == "JUMP_BACKWARD"}


@functools.cache
def _handlers(code: CodeType) -> list[tuple[int, int, int]]:
    """From which instruction to which, which handler holds."""
    return [(entry.start, entry.end, entry.target) for entry in dis._parse_exception_table(code)]  # type: ignore[attr-defined]


def _handler_of(code: CodeType, at: int) -> int:
    return next((target for start, end, target in _handlers(code) if start <= at < end), -1)


class Interruption:
    """Within it, a `KeyboardInterrupt` comes at the n-th place, counted in the core's own code on this thread.

    Attributes:
        came: it did; else there are fewer places than that.
        place: where, for messages.
    """

    def __init__(self, at: int, *, within: str = "") -> None:
        self._left = at
        self._within = f"{_CORE}/{within}"
        #: By frame, the instruction before the one that is next.
        self._before: dict[FrameType, int] = {}
        self.came = False
        self.place = ""

    def __enter__(self) -> Self:
        self._tracer = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        sys.settrace(self._tracer)
        self._before.clear()

    def _called(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if event != "call" or not frame.f_code.co_filename.startswith(self._within):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if frame.f_lasti <= 0 or frame not in self._before:  # else a generator goes on
            self._look(frame)
        return self._step

    def _step(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        if event == "opcode":
            code, at = frame.f_code, frame.f_lasti
            before = self._before.get(frame)
            self._before[frame] = at
            # A trace function's exception comes at the next instruction, a signal handler's at the one before. So the
            # places are left out where that makes a difference: the last call of a block.
            if (
                before is not None
                and code.co_code[before] in _LOOKED_AFTER
                and _handler_of(code, before) == _handler_of(code, at)
            ):
                self._look(frame)
        elif event == "return":
            self._before.pop(frame, None)
        return self._step

    def _look(self, frame: FrameType) -> None:
        self._left -= 1
        if self._left == 0:
            self.came = True
            self.place = f"{frame.f_code.co_filename.removeprefix(_CORE)}:{frame.f_lineno} {frame.f_code.co_qualname}"
            raise KeyboardInterrupt


def at_each_place(act: Callable[[], object], check: Callable[[str], None], *, step: int = 1, within: str = "") -> int:
    """Interrupt an act at each of its places in turn, and check what is left each time; how many there were."""
    at = 1
    while True:
        interruption = Interruption(at, within=within)
        try:
            with interruption:
                act()
        except KeyboardInterrupt:
            pass
        check(interruption.place)
        if not interruption.came:
            return at - 1
        at += step
