"""Counts lost connections, by what is logged."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Self


class Losses(logging.Handler):
    """While its block lasts.

    Attributes:
        shared: losses of connections that managers have for all of their listeners.
        apart: losses of connections that listeners have to themselves.
        errors: what was logged as an error.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.shared = self.apart = 0
        self.errors: list[str] = []
        self._logger = logging.getLogger("eventing")
        self._level = self._logger.level

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self.errors.append(text)
        if "connection lost" in text:
            if "connection of its own" in text:
                self.apart += 1
            else:
                self.shared += 1

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        self._logger.setLevel(logging.INFO)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)
