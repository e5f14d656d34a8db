"""What the log says of a connection: each trouble once, however often it is tried."""

from __future__ import annotations

import ipaddress
import logging

from eventing_core.errors import AuthenticationError, ProtocolMismatchError, TlsError, UnsupportedBrokerError
from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._loop import quietly

_log = logging.getLogger("eventing.sockets")

#: What keeps a connection from coming back until somebody changes something.
_LASTING = (AuthenticationError, TlsError, ProtocolMismatchError, UnsupportedBrokerError)


class ConnectionLog:
    """The log lines of one connection. But for `begins`, it runs on the I/O thread."""

    def __init__(self) -> None:
        #: What kept it from connecting again, since it was connected.
        self._reported: set[type[Exception]] = set()
        self._connected_to = ""

    @staticmethod
    def begins(config: SocketConfig) -> None:
        """It is about to connect: warn where a password is sent in clear text."""
        for each in config.of_each_broker():
            if each.has_password and not each.tls and not _is_loopback(each.host):
                with quietly:
                    _log.warning(
                        "%s: the password is sent in clear text: set tls = true to encrypt the connection", each.place
                    )

    def connected(self, place: str) -> None:
        """A broker has agreed: say so where it is another one than before."""
        self._reported.clear()
        before, self._connected_to = self._connected_to, place
        if before not in {"", place}:
            with quietly:
                _log.warning("%s: connected, in place of %s", place, before)

    def failed(self, error: Exception) -> None:
        """A round of attempts to connect again failed: say so aloud, once, where waiting alone won't help."""
        kind = type(error)
        with quietly:
            if kind in self._reported or not isinstance(error, _LASTING):
                _log.debug("%s; trying again", error)
            else:
                _log.error("%s; trying again, until the broker or the settings are changed", error)
        self._reported.add(kind)


def _is_loopback(host: str) -> bool:
    if host.lower() in {"localhost", "localhost."}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
