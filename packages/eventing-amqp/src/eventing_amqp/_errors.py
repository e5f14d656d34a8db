"""From what the engine, TLS and the system tell, to the errors of Eventing. Pure."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from eventing_core.errors import (
    AuthenticationError,
    BrokerConnectionError,
    ConnectionRefusedByHostError,
    ConnectTimeoutError,
    HostNotFoundError,
    ProtocolMismatchError,
    QueueNameConflictError,
    ServerNameInUseError,
    SubscriptionError,
    TlsError,
)

#: What AMQP 1.0 begins with, with and without SASL (specification part 2, section 2.2, and part 5, section 5.3.2).
_PROTOCOL = (b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x01\x00\x00")
_UNAUTHORIZED = "amqp:unauthorized-access"

#: Why the way to the host is barred, beside the refusal itself.
_BARRED = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EHOSTDOWN)


def of_socket(error: Exception, place: str) -> BrokerConnectionError:
    """For what went wrong before AMQP: resolving, connecting, the TLS handshake."""
    if isinstance(error, BrokerConnectionError):
        return error
    if isinstance(error, socket.gaierror | UnicodeError):
        return HostNotFoundError(f"{place}: the host name can't be resolved ({_reason(error)})")
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return TlsError(f"{place}: TLS failed: {_tls_reason(error)}")
    if isinstance(error, TimeoutError):
        return ConnectTimeoutError(f"{place}: no answer within the connect time limit")
    if isinstance(error, OSError) and error.errno in _BARRED:
        return ConnectionRefusedByHostError(f"{place}: {_reason(error)}")
    return BrokerConnectionError(f"{place}: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _tls_reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or str(error)
    reason = str(getattr(error, "reason", None) or error)
    if reason in {"WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "RECORD_LAYER_FAILURE"}:
        return f"{reason}; is this port one without TLS?"
    return reason


def of_silence(place: str, heard: bytes, *, tls: bool) -> BrokerConnectionError:
    """For a handshake that was not done in time."""
    if heard[:8] in _PROTOCOL:
        return ConnectTimeoutError(f"{place}: the broker did not finish the handshake within the connect time limit")
    mend = "" if tls else "; if the port is for TLS, set tls = true"
    return ProtocolMismatchError(
        f"{place}: connected, but nothing there speaks AMQP 1.0: {_came(heard)} within the connect time limit{mend}"
    )


def of_handshake(place: str, heard: bytes, condition: tuple[str, str] | None) -> BrokerConnectionError:
    """For a connection that ended before it was open."""
    if heard[:8] not in _PROTOCOL:
        mend = "; this looks like TLS: set tls = true" if heard[:2] in {b"\x15\x03", b"\x16\x03"} else ""
        return ProtocolMismatchError(f"{place}: nothing there speaks AMQP 1.0: {_came(heard)}{mend}")
    return of_loss(place, condition)


def of_loss(place: str, condition: tuple[str, str] | None) -> BrokerConnectionError:
    """For a connection that ended."""
    name, description = condition or ("", "")
    if name == _UNAUTHORIZED:
        return AuthenticationError(f"{place}: {_refusal(description)}")
    text = ": ".join(part for part in (name, description) if part)
    return BrokerConnectionError(f"{place}: the connection ended: {text}" if text else f"{place}: the connection ended")


def _refusal(description: str) -> str:
    if "mech=none" in description:
        return "the broker offers no way to log in that fits: with a user it is PLAIN, without one ANONYMOUS"
    if "mech=PLAIN" in description:
        return "the broker refuses user or password"
    if "mech=EXTERNAL" in description:
        return "the broker refuses the client certificate; or set user and password"
    return f"the broker lets no guests in: set user and password ({description})"


def _came(heard: bytes) -> str:
    return f"{heard[:16]!r} came" if heard else "nothing came"


def is_consumer_limit(description: str) -> bool:
    """Whether a queue has its one consumer already."""
    return "AMQ229200" in description or "Maximum Consumer Limit" in description


def of_attach(queue: str, address: str, condition: tuple[str, str] | None) -> SubscriptionError:
    """For a refused or closed link of a receiver."""
    name, description = condition or ("", "")
    if name == "amqp:not-found" and "does not exist for address" in description:
        return of_conflict(queue, address, "another address")
    what = "the broker denies the right" if name == _UNAUTHORIZED or "AMQ229032" in description else "refused"
    text = ": ".join(part for part in (name, description) if part)
    return SubscriptionError(f"queue {queue!r} of address {address!r}: {what} ({text or 'no reason given'})")


def of_conflict(queue: str, address: str, owner: str) -> QueueNameConflictError:
    """For a queue name that another address owns."""
    return QueueNameConflictError(
        f"the queue name {queue!r}, wanted for {address!r}, belongs to {owner!r} on this broker, where queue names are "
        'unique. Give the listener another name, or set queue_name = "{event}.{listener}".'
    )


def of_server_name(queue: str, server_name: str, waited: float) -> ServerNameInUseError:
    """For a per-process queue that is in use."""
    return ServerNameInUseError(
        f"another live process consumes from {queue!r} under the server name {server_name!r} (waited {waited:g} s). "
        "Give each process a server_name of its own."
    )
