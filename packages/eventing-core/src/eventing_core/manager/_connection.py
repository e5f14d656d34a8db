"""A manager's connection: opened by whoever needs it first, and closed once."""

from __future__ import annotations

from collections.abc import Callable

from eventing_core import provider as spi
from eventing_core.errors import BrokerConnectionError, ManagerStoppedError
from eventing_core.manager._opening import Opening
from eventing_core.manager._reports import ConnectionReports

#: ``refuse_if_stopping(cause)``: raises `ManagerStoppedError` where the manager is to stop.
Refuse = Callable[[Exception | None], None]


class ManagerConnection:
    """Opens and closes the provider, and has the log told of its connection. Thread-safe.

    Args:
        provider: the transport.
        refuse_if_stopping: a manager that is to stop connects no more.
    """

    def __init__(self, provider: spi.Provider, refuse_if_stopping: Refuse) -> None:
        self._provider = provider
        self._refuse_if_stopping = refuse_if_stopping
        self._opening = Opening(lambda: provider.health().connected)
        self._reports = ConnectionReports(provider, lambda: self._opening.under_way)

    @property
    def is_open(self) -> bool:
        """It was opened, and may be lost since."""
        return self._opening.is_open

    def open(self) -> None:
        """Return once it is open.

        Raises:
            BrokerConnectionError: the first connect failed.
            ManagerStoppedError: the manager was stopped meanwhile.
            ManagerStateError: this thread is connecting.
        """
        try:
            self._opening.open(self._connect, self._check)
        finally:
            self._reports.log()

    def _connect(self) -> None:
        try:
            # A stop that comes after this look ends the connect, as one is under way.
            self._refuse_if_stopping(None)
            self._provider.open(self._reports.observe)
        except BrokerConnectionError as error:
            self._refuse_if_stopping(error)
            raise

    def _check(self) -> None:
        try:
            self._refuse_if_stopping(None)
        except ManagerStoppedError:
            self._provider.close(0.0)
            raise

    def end_opening(self) -> bool:
        """End a connect; False: none is under way."""
        under_way = self._opening.under_way
        if under_way:
            self._provider.close(0.0)
        return under_way

    def close(self, timeout: float) -> None:
        """Close it, within so many seconds."""
        self._opening.close(lambda: self._provider.close(timeout), timeout)
