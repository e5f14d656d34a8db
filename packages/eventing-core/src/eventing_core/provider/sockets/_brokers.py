"""Which of several brokers to try next. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._errors import of_all


class Brokers:
    """Rounds of attempts, in each of which every broker is tried once, beginning with the one that was connected.

    Args:
        configs: the settings for each of them.
    """

    def __init__(self, configs: Sequence[SocketConfig]) -> None:
        self._configs = configs
        self._index = 0
        #: Why those that were tried in this round failed.
        self._failures: list[Exception] = []

    @property
    def current(self) -> SocketConfig:
        """The one that is connected to, or tried."""
        return self._configs[self._index]

    def connected(self) -> None:
        """The current one has agreed: the round is over."""
        self._failures = []

    def turn(self) -> None:
        """Try the next one first."""
        self._index = (self._index + 1) % len(self._configs)

    def failed(self, error: Exception) -> Exception | None:
        """Note why the current one could not be had, and turn to the next.

        None: that is to be tried at once. Otherwise the round is over, and this is what came of it.
        """
        self._failures.append(error)
        self.turn()
        if len(self._failures) < len(self._configs):
            return None
        failures, self._failures = self._failures, []
        return of_all(failures)
