"""From what the system and TLS tell, to the errors of Eventing. Pure."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Sequence

from eventing_core.errors import (
    BrokerConnectionError,
    ConnectionRefusedByHostError,
    ConnectTimeoutError,
    HeaderError,
    HostNotFoundError,
    ProtocolMismatchError,
    TlsError,
)
from eventing_core.provider._interface import Destination, Message
from eventing_core.provider.sockets._protocols import WireProtocol, protocol_of

#: Why the way to the host is barred, beside the refusal itself.
_BARRED = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EHOSTDOWN)


def of_socket(error: Exception, place: str) -> BrokerConnectionError:
    """For errors below the protocol: name resolution, connecting, TLS handshake, reading, writing."""
    if isinstance(error, BrokerConnectionError):
        return error
    if isinstance(error, socket.gaierror | UnicodeError):
        return HostNotFoundError(f"{place}: the host name can't be resolved ({_reason(error)}): check host")
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return TlsError(f"{place}: TLS failed: {_tls_reason(error)}")
    if isinstance(error, TimeoutError):
        return ConnectTimeoutError(
            f"{place}: no answer within the connect time limit: check host and port, and whether a firewall drops "
            "connections"
        )
    if isinstance(error, OSError) and error.errno in _BARRED:
        return ConnectionRefusedByHostError(f"{place}: {_reason(error)}: is the broker running? Check host and port")
    return BrokerConnectionError(f"{place}: {_reason(error)}")


def of_all(errors: Sequence[Exception]) -> Exception:
    """For several brokers, none of which could be reached: what each says, of their type where all have the same."""
    if len(errors) == 1:
        return errors[0]
    kinds = {type(error) for error in errors}
    kind = kinds.pop() if len(kinds) == 1 else BrokerConnectionError
    together = kind("; ".join(map(str, errors)))
    together.__cause__ = ExceptionGroup("no broker could be reached", errors)
    return together


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def speaks_no_tls(error: Exception) -> bool:
    """Whether the other side doesn't seem to know TLS."""
    known = {"WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "RECORD_LAYER_FAILURE"}
    return isinstance(error, ssl.SSLError) and error.reason in known


def _tls_reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or str(error)
    reason = str(getattr(error, "reason", None) or error)
    if "_ALERT_" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        # That there is none is a bad one to some brokers.
        return f"{reason}: the broker asks for a client certificate that it trusts (cert_file)"
    if "_ALERT_HANDSHAKE_FAILURE" in reason:
        # In TLS 1.2 this may be the answer to a client without a certificate.
        return f"{reason}: no version or cipher in common, or the broker asks for a client certificate (cert_file)"
    return reason


def of_silence(place: str, protocol: str, heard: bytes, *, spoken: bool, tls: bool) -> BrokerConnectionError:
    """For a handshake that was not done in time; ``spoken``: what was heard is the protocol."""
    if spoken:
        return ConnectTimeoutError(
            f"{place}: the broker began the handshake and did not finish it within the connect time limit: see the "
            "broker's log, or raise connect_timeout"
        )
    return of_mismatch(place, protocol, heard, tls=tls, when=" within the connect time limit")


def of_mismatch(place: str, protocol: str, heard: bytes, *, tls: bool = True, when: str = "") -> ProtocolMismatchError:
    """For a peer that says nothing of the protocol; ``tls``: the connection was encrypted; ``when``: until when."""
    found = protocol_of(heard)
    if found is not None and not protocol.startswith(found.name):
        return of_protocol(place, protocol, found, heard)
    came = f"received {heard[:16]!r}" if heard else f"received nothing{when}"
    fix = "check host and port" if heard or tls else "check host and port, and set tls = true if the port is for TLS"
    return ProtocolMismatchError(f"{place}: the port does not speak {protocol}: {came}; {fix}")


def of_protocol(place: str, wanted: str, found: WireProtocol, heard: bytes = b"") -> ProtocolMismatchError:
    """For a port that speaks another protocol."""
    came = f" (received {heard[:16]!r})" if heard else ""
    return ProtocolMismatchError(
        f"{place}: the port speaks {found.name}, not {wanted}{came}: {found.fix.format(wanted=wanted)}"
    )


def of_no_tls(place: str, reason: str, found: WireProtocol | None) -> TlsError:
    """For a port that does not answer to TLS; ``found``: what it speaks without."""
    what = f"the port speaks {found.name} without TLS" if found is not None else "the port does not speak TLS"
    return TlsError(f"{place}: {what} ({reason}): set tls = false, or set port to one that is for TLS")


def of_size(place: str, limit: int) -> BrokerConnectionError:
    """For a message that would be too large."""
    return BrokerConnectionError(f"{place}: received a message with more than {limit} bytes (max_message_bytes)")


def of_encoding(destination: Destination, message: Message, error: UnicodeEncodeError) -> HeaderError:
    """For a message that can't be encoded as UTF-8. The error names the header, if a header is the cause."""
    bad = next((key for key, value in message.headers.items() if not (is_encodable(key) and is_encodable(value))), None)
    what = "an id, or the content type," if bad is None else f"the header {bad[:60]!r}"
    return HeaderError(f"{destination}: {what} can't be encoded ({error.reason}); nothing was sent")


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can carry a text: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_hangup(error: Exception) -> bool:
    """Whether the peer has ended the connection, also by a reset."""
    return isinstance(error, ConnectionResetError | BrokenPipeError) and not isinstance(error, ssl.SSLError)
